"""Events of a user: the newest state as JSON, and the data of each event."""

from __future__ import annotations

import json
from typing import Literal, Self

from pydantic import Field

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


def removed_comment(generation_id: str, comment_id: str) -> str:
    """Return the data of `comment_removed`."""
    return json.dumps({"generation_id": generation_id, "id": comment_id})


def removed_generation(generation_id: str) -> str:
    """Return the data of `generation_removed`."""
    return json.dumps({"generation_id": generation_id})
