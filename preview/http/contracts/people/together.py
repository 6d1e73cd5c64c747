"""Guests, presence and comments."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from preview.auth import Identity
from preview.auth.guests import COLOURS, MOST_NAME_CHARACTERS
from preview.http.core.answers import Answer, Time
from preview.together import OWNER_ID, Comment, Target, TargetKind, Viewer
from preview.together.comments import MOST_CHARACTERS, plain_text

_Role = Literal["owner", "watch", "use"]
_Name = Annotated[str, Field(max_length=MOST_NAME_CHARACTERS)]
_PREVIEW_ID: Any = Field(default=None, max_length=64, description="Default: the generation's newest one.")


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


def _not_empty(text: str) -> str:
    shown = plain_text(text)
    if not shown:
        raise ValueError("The text has no visible characters.")
    return shown


class JoinBody(_Body):
    """Secret of a share link with the role `watch` or `use`, and the guest's name."""

    token: str = Field(max_length=200, description="The end of the link's URL.")
    name: _Name = Field(default="", description="Default: `Guest` and a number.")


class TargetBody(_Body):
    """A line, a request or a failure."""

    kind: Literal["line", "request", "failure"]
    id: str = Field(
        pattern=r"^([1-9][0-9]{0,14}|[0-9a-f]{8,16})$",
        description="The number; for a failure, its id.",
        examples=["17"],
    )

    def target(self) -> Target:
        """Return the target."""
        return Target(TargetKind(self.kind), self.id)


class MeBody(_Body):
    """A change of what others see of the caller. Missing fields stay."""

    name: _Name | None = Field(default=None, description="Guests only.")
    target: TargetBody | None = Field(default=None, description="The line or request that you look at; null: none.")
    comments_read: Literal[True] | None = Field(
        default=None, description="True: you have read all comments. Owner only."
    )


class CommentBody(_Body):
    """A new comment."""

    preview_id: str | None = _PREVIEW_ID
    target: TargetBody
    text: Annotated[str, Field(min_length=1, max_length=MOST_CHARACTERS), AfterValidator(_not_empty)] = Field(
        description="Plain text."
    )


class CommentChange(_Body):
    """A change of a comment."""

    resolved: bool


class OneCommentQuery(BaseModel):
    """The preview of a comment."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    preview_id: str | None = _PREVIEW_ID


class CommentsQuery(OneCommentQuery):
    """A page of comments."""

    cursor: str | None = Field(default=None, max_length=512, description="`next` of the previous page.")
    limit: int = Field(default=100, ge=1, le=200)


class TargetShape(Answer):
    """A line, a request or a failure."""

    kind: Literal["line", "request", "failure"]
    id: str

    @classmethod
    def of(cls, target: Target) -> Self:
        """Return the target."""
        return cls(kind=target.kind.value, id=target.id)


class ViewerShape(Answer):
    """A person who has the preview's page open."""

    id: str = Field(description="`owner`, or the guest's id.", examples=["guest_789abcdefghjkmnp"])
    name: str
    role: _Role
    colour: int = Field(ge=0, lt=COLOURS, description="Index of a colour; 0 is the owner's.")
    target: TargetShape | None = Field(description="The line or request that the person looks at.")

    @classmethod
    def of(cls, viewer: Viewer) -> Self:
        """Return the viewer."""
        target = None if viewer.target is None else TargetShape.of(viewer.target)
        return cls.taken_from(viewer, target=target)


class ViewerList(Answer):
    """People who have the preview's page open now, in the order in which they came."""

    items: list[ViewerShape]
    next: None = Field(default=None, description="Always null: few people watch one preview.")


class MeShape(Answer):
    """The caller, as others see them, and what they may do."""

    id: str
    name: str
    role: _Role
    colour: int
    generation_id: str
    project: str = Field(description="Name of the generation, or its id.")
    preview_id: str
    expires_at: Time = Field(description="Time at which the access ends, at the latest.")

    @classmethod
    def of(cls, identity: Identity, *, generation_id: str, project: str, preview_id: str) -> Self:
        """Return the caller."""
        guest = identity.guest
        return cls(
            id=OWNER_ID if guest is None else guest.id,
            name="Owner" if guest is None else guest.name,
            role="owner" if guest is None else role_of(identity),
            colour=0 if guest is None else guest.colour,
            generation_id=generation_id,
            project=project,
            preview_id=preview_id,
            expires_at=identity.expires_at,
        )


class CommentShape(Answer):
    """A comment; its text is plain text of a person, never markup."""

    id: str = Field(examples=["comment_789abcdefghjkmnp"])
    preview_id: str
    target: TargetShape
    author_id: str = Field(description="`owner`, or the guest's id.")
    author: str
    role: _Role
    text: str
    resolved: bool
    created_at: Time

    @classmethod
    def of(cls, comment: Comment) -> Self:
        """Return the comment, without the owner's user id."""
        return cls.taken_from(
            comment,
            target=TargetShape.of(comment.target),
            author_id=OWNER_ID if comment.role == "owner" else comment.author_id,
            resolved=comment.is_resolved,
        )


class CommentPage(Answer):
    """A page of comments, newest first."""

    preview_id: str
    items: list[CommentShape]
    next: str | None = Field(description="`cursor` of the next page; null on the last one.")


def role_of(identity: Identity) -> _Role:
    """Return the caller's role."""
    if identity.guest is None:
        return "owner"
    return "use" if identity.guest.role.value == "use" else "watch"
