"""Events of a user: the newest state as JSON, and the data of each event."""

from __future__ import annotations

import json
from typing import Annotated, Literal, Self

from pydantic import Field, RootModel

from preview.http.contracts import v1
from preview.http.contracts.generations import GenerationShape
from preview.http.contracts.log_events import ExpiredEvent
from preview.http.contracts.people.together import CommentShape
from preview.http.core.answers import Answer
from preview.supervisor import LivePreview
from preview.together import Audience


class PresentViewer(Answer):
    """A person who has the preview's page open."""

    id: str
    name: str
    role: Literal["owner", "watch", "use"]
    colour: int


class PreviewPeople(Answer):
    """People who look at a live preview."""

    generation_id: str
    preview_id: str
    viewers: list[PresentViewer]
    unread: int = Field(description="Comments of guests since the owner has read them; for the owner only, else 0.")

    @classmethod
    def of(cls, preview: LivePreview, audience: Audience, *, is_owner: bool) -> Self:
        """Return who looks at this preview."""
        return cls(
            generation_id=preview.record.generation_id,
            preview_id=preview.id,
            viewers=[PresentViewer.model_validate(one) for one in audience.viewers],
            unread=audience.unread if is_owner else 0,
        )


class EventsState(Answer):
    """The live previews that somebody looks at or has commented on."""

    items: list[PreviewPeople]
    next: None = Field(default=None, description="Always null: a user has few live previews.")


class CommentEvent(Answer):
    """A new or changed comment."""

    generation_id: str
    comment: CommentShape


class StartEvent(EventsState):
    """First event of a stream, and again after events were lost."""

    type: Literal["start"]
    resumed: bool = Field(description="False: events may be missing, so read your lists again.")


class PreviewEvent(v1.Instance):
    """A preview's new state."""

    type: Literal["preview"]


class GenerationEvent(GenerationShape):
    """A new or changed generation, without `files`."""

    type: Literal["generation"]


class GenerationRemovedEvent(Answer):
    """A generation is gone."""

    type: Literal["generation_removed"]
    generation_id: str


class ViewersEvent(PreviewPeople):
    """People who look at a preview have come or gone."""

    type: Literal["viewers"]


class CommentChangedEvent(CommentEvent):
    """A new or changed comment."""

    type: Literal["comment"]


class CommentRemovedEvent(Answer):
    """A comment is gone."""

    type: Literal["comment_removed"]
    generation_id: str
    id: str = Field(description="The comment.")


class GuestEndEvent(Answer):
    """The preview of a guest is over, and nothing follows."""

    type: Literal["end"]


class AccountEvent(
    RootModel[
        Annotated[
            StartEvent
            | PreviewEvent
            | GenerationEvent
            | GenerationRemovedEvent
            | ViewersEvent
            | CommentChangedEvent
            | CommentRemovedEvent
            | GuestEndEvent
            | ExpiredEvent,
            Field(discriminator="type"),
        ]
    ]
):
    """One event of all that changes: the SSE event's name is `type` here, and its data has the other fields."""


def removed_comment(generation_id: str, comment_id: str) -> str:
    """Return the data of `comment_removed`."""
    return json.dumps({"generation_id": generation_id, "id": comment_id})


def removed_generation(generation_id: str) -> str:
    """Return the data of `generation_removed`."""
    return json.dumps({"generation_id": generation_id})
