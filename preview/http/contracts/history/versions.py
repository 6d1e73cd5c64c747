"""Versions of a generation's files."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field

from preview.generations import FailedStart, Version, VersionFile, VersionOrigin, VersionPage
from preview.http.core.answers import Answer, Time
from preview.settings import Settings
from preview.worker import FileDifference


class FailedStartShape(Answer):
    """A launch, or a reload, that failed."""

    preview_id: str = Field(description="The launch; see `/launches/{preview_id}`.")
    kind: Literal["launch", "reload"] = Field(description="After a failed reload the previous process still serves.")
    reason: str


class VersionShape(Answer):
    """A version of a generation's files."""

    number: int = Field(description="Counts the changes of the files.", examples=[7])
    created_at: Time
    author: str = Field(description="Id of the user who made it.")
    agent: str = Field(description="Program that made it, as it named itself; may be empty.")
    source: VersionOrigin = Field(description="Kind of the change.")
    message: str
    file_count: int
    size_bytes: int
    added: int = Field(description="Number of files that the version before did not have.")
    changed: int = Field(description="Number of files with new content.")
    removed: int = Field(description="Number of files that only the version before had.")
    failed: FailedStartShape | None = Field(description="The newest failure, if the version has never started.")

    @classmethod
    def of_version(cls, version: Version, failed: FailedStart | None) -> Self:
        """Return the version."""
        return cls.taken_from(version, failed=None if failed is None else FailedStartShape.model_validate(failed))


class VersionList(Answer):
    """A page of versions, newest first."""

    items: list[VersionShape]
    next: int | None = Field(description="Continue with `before`; null on the last page.")
    oldest: int = Field(description="Oldest version that is kept; older ones were removed, or predate versioning.")
    past_bytes: int = Field(description="Size of all past files, each content once, and 256 bytes for each file.")
    limit_versions: int = Field(description="Maximum number of versions; beyond it, the oldest are removed.")
    limit_bytes: int = Field(description="Maximum of `past_bytes`; beyond it, the oldest versions are removed.")

    @classmethod
    def of(cls, page: VersionPage, settings: Settings) -> Self:
        """Return the page with the limits that apply."""
        return cls(
            items=[VersionShape.of_version(one, page.failed.get(one.number)) for one in page.items],
            next=page.next,
            oldest=page.oldest,
            past_bytes=page.past_bytes,
            limit_versions=settings.generation_versions,
            limit_bytes=settings.version_bytes,
        )


class VersionFileShape(Answer):
    """A file of a version."""

    path: str
    size_bytes: int
    sha256: str = Field(description="SHA-256 of the content, in hexadecimal.")


class VersionDetail(VersionShape):
    """A version with its files, in the order of their paths."""

    files: list[VersionFileShape]

    @classmethod
    def of(cls, version: Version, failed: FailedStart | None, files: list[VersionFile]) -> Self:
        """Return the version and its files."""
        shown = None if failed is None else FailedStartShape.model_validate(failed)
        return cls.taken_from(version, failed=shown, files=[VersionFileShape.model_validate(one) for one in files])


class FileDifferenceShape(Answer):
    """Difference of one file."""

    path: str
    change: Literal["added", "removed", "changed"]
    size_before: int | None
    size_after: int | None
    diff: str | None = Field(description="Unified diff; null if it is left out.")
    left_out: str | None = Field(description="Reason why there is no diff, or why it is cut; null for a whole one.")


class VersionDiff(Answer):
    """Difference between two versions, in the order of the paths."""

    version: int
    against: int = Field(description="The older side; 0: no files.")
    added: int
    changed: int
    removed: int
    files: list[FileDifferenceShape]

    @classmethod
    def of(cls, version: int, against: int, files: list[FileDifference]) -> Self:
        """Return the difference."""
        counts = {kind: sum(one.change == kind for one in files) for kind in ("added", "changed", "removed")}
        return cls.model_validate(
            {
                "version": version,
                "against": against,
                **counts,
                "files": [FileDifferenceShape.model_validate(one) for one in files],
            }
        )
