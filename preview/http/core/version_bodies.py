"""Models of queries about versions and launches, and of imports."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from preview.auth import Identity
from preview.generations import MAX_VERSION, VersionNote, VersionOrigin

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def _without_controls(text: str) -> str:
    """Replace characters that cannot be stored or shown."""
    return _CONTROLS.sub(" ", text).strip()


_Text = Annotated[str, AfterValidator(_without_controls)]
_Number = Annotated[int, Field(ge=0, le=MAX_VERSION)]


class _Query(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class NoteQuery(_Query):
    """Note of the version that a change makes."""

    message: _Text = Field(default="", max_length=1000, description="Message of the version that this makes.")
    agent: _Text = Field(default="", max_length=100, description="Name of the program that makes the change.")

    def note(self, identity: Identity, source: VersionOrigin, message: str = "") -> VersionNote:
        """Return the note of a version by this user; ``message`` is the default."""
        agent = self.agent or ("" if identity.token_id is None else f"API token {identity.token_id}")
        return VersionNote(identity.user.id, source, self.message or message, agent)


class ChangeQuery(NoteQuery):
    """Note of a change, and whether it is made."""

    source: Literal["sync", "edit", "upload"] | None = Field(
        default=None, description="Kind of the change; default: `upload` for PUT, `edit` for PATCH."
    )
    dry_run: bool = Field(default=False, description="Only report what would change; nothing is stored or reloaded.")


class VersionsQuery(_Query):
    """A page of versions."""

    before: _Number | None = Field(default=None, description="Only versions below this number.")
    limit: int = Field(default=50, ge=1, le=200)


class DiffQuery(_Query):
    """The other side of a difference."""

    against: _Number | None = Field(
        default=None, description="Version to compare with; default: the one before. 0: no files."
    )


class LaunchCompareQuery(_Query):
    """The other side of a comparison."""

    against: str = Field(default="", max_length=128, description="Id of the earlier launch's preview; required.")


class _Import(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class ImportBody(_Import):
    """A repository of GitHub that becomes a generation."""

    url: str = Field(
        max_length=1024,
        description="Address of a public repository, a branch or a folder of it.",
        examples=["https://github.com/ann/shop", "https://github.com/ann/shops/tree/main/bookshop"],
    )
    name: str = Field(default="", max_length=256, description="Name for people; default: the repository's.")
    project_id: str | None = Field(default=None, description="Project of the generation; default: a new one.")


class ImportChangeBody(_Import):
    """A repository of GitHub whose files a generation gets."""

    url: str = Field(default="", max_length=1024, description="Its address; default: the generation's `origin`.")
    commit: str = Field(
        default="", max_length=64, description="Commit to take, such as the one that `dry_run` has shown."
    )
