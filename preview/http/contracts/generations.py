"""Generations, their files and their start plans; only contract ``v1`` has them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, Self

from pydantic import Field

from preview.generations import Generation, StoredFile
from preview.http.core.answers import Answer, Time
from preview.http.core.errors import problem_of
from preview.http.edits import Reload, Saved


class PlannedStep(Answer):
    """A step that runs before the application."""

    name: str = Field(examples=["migrations"])
    command: list[str]
    directory: str
    why: str
    required: bool = Field(description="Whether the launch ends if this step fails.")


class PlannedVariable(Answer):
    """A variable for the application's environment."""

    name: str
    value: str | None = Field(description="Null if hidden: a secret, or set in `preview.toml` or the launch request.")
    origin: Literal["made up", "example file", "supplied", "preview.toml", "launch request"]
    where: str
    secret: bool


class PlannedService(Answer):
    """A server that the application needs."""

    kind: str = Field(examples=["PostgreSQL"])
    setting: str | None
    where: str
    at_startup: bool = Field(description="Whether the application cannot start without this server.")
    address: str | None = Field(examples=["localhost:5432"])
    supplied: bool = Field(description="Whether the preview gets a server of this kind.")


class Plan(Answer):
    """Start plan of a generation; folders are relative to the generation."""

    framework: str
    toolchain: Literal["python", "node", "image"]
    server: Literal["asgi", "wsgi", "django", "node", "bun", "command"]
    app: str | None = Field(examples=["app.main:app"])
    app_dir: str | None
    factory: bool
    file: str | None
    directory: str
    python_path: list[str]
    command: list[str]
    manifests: str
    extra_requirements: list[str]
    steps: list[PlannedStep]
    variables: list[PlannedVariable]
    services: list[PlannedService]
    health_path: str | None
    decisions: list[str]
    warnings: list[str]


class FileShape(Answer):
    """A file of a generation."""

    path: str
    size_bytes: int


class HashedFile(FileShape):
    """A file of a generation, with the hash of its content."""

    sha256: str = Field(description="SHA-256 of the content, in hexadecimal.")
    is_text: bool = Field(description="Whether the content is UTF-8 text.")


class FileList(Answer):
    """The files of a generation, in the order of their paths."""

    files: list[HashedFile]
    etag: str = Field(description="Same value as the `ETag` header; for `If-Match`.")

    @classmethod
    def of(cls, files: Iterable[StoredFile], tag: str) -> Self:
        """Return the files, and the entity tag that covers all of them."""
        return cls(files=[HashedFile.model_validate(one) for one in files], etag=tag)


class ReloadError(Answer):
    """Reason why the preview did not start with the changed files."""

    code: str = Field(examples=["launch_failed"], description="Stable error code, as for a failed launch.")
    detail: str
    details: dict[str, Any] = Field(description="As for a failed launch; `last_lines` has the last output.")


class ReloadShape(Answer):
    """Effect of a change of files on the running preview."""

    status: Literal["reloaded", "failed", "none"] = Field(
        description="`failed`: the previous process still serves. `none`: no preview is running, or nothing changed."
    )
    preview_id: str | None
    elapsed_ms: float
    error: ReloadError | None

    @classmethod
    def of(cls, reload: Reload) -> Self:
        """Return the result."""
        error = None if reload.error is None else problem_of(reload.error)
        return cls.taken_from(reload, elapsed_ms=round(reload.elapsed_s * 1000, 1), error=error)


class FilesChanged(Answer):
    """A stored change of a generation's files."""

    generation_id: str
    version: int = Field(description="Number of the newest version: the one that this change made, if it made one.")
    changed: list[str] = Field(description="Paths of files with new content, new files included.")
    added: list[str] = Field(description="Paths among `changed` of files that did not exist before.")
    removed: list[str] = Field(description="Paths of removed files.")
    file_count: int
    size_bytes: int
    etag: str = Field(description="Entity tag of the files after the change.")
    versions_removed: int = Field(description="Number of the oldest versions that were removed to keep to the limits.")
    reload: ReloadShape

    @classmethod
    def of(cls, saved: Saved, tag: str) -> Self:
        """Return the change, and its result for the preview."""
        edited = saved.edited
        return cls.taken_from(
            edited.generation,
            generation_id=edited.generation.id,
            version=edited.generation.revision,
            changed=sorted(edited.written),
            added=edited.added,
            versions_removed=edited.forgotten,
            removed=edited.removed,
            etag=tag,
            reload=ReloadShape.of(saved.reload),
        )


class GenerationShape(Answer):
    """A generation; only `GET` of one generation returns `files`."""

    id: str
    project_id: str
    user_id: str
    name: str
    created_at: Time
    file_count: int | None
    size_bytes: int | None
    version: int = Field(description="Number of the newest version of the files.")
    group: str = Field(description="Group in its owner's list of projects; empty for none.", examples=["Shops"])
    origin: str = Field(
        description="Address of the repository that the files were imported from; empty for none.",
        examples=["https://github.com/ann/shop"],
    )
    files: list[FileShape] | None = None

    @classmethod
    def of(cls, one: Generation, files: Iterable[tuple[str, int]]) -> Self:
        """Return the generation with its files' paths and sizes."""
        listed = [{"path": path, "size_bytes": size} for path, size in files]
        return cls.taken_from(one, files=listed)


class ImportedGeneration(GenerationShape):
    """A generation that was imported from GitHub."""

    commit: str = Field(description="Hash of the commit; empty if it is not known.")
    notes: list[str] = Field(description="Sentences about what the files lack, such as submodules.")


class ImportedChange(FilesChanged):
    """A change of a generation's files to those of a repository."""

    origin: str = Field(description="Address of the repository; with `commit`, the same files again.")
    commit: str = Field(description="Hash of the commit; empty if it is not known.")
    notes: list[str] = Field(description="Sentences about what the files lack, such as submodules.")


class ImportSource(Answer):
    """Address that repositories are imported from."""

    address: str = Field(description="Address of GitHub; empty if imports are off.", examples=["https://github.com"])
    size_bytes: int = Field(description="Maximum size of a repository's archive.")


class GenerationPage(Answer):
    """A page of generations, newest first."""

    generations: list[GenerationShape]
    next_cursor: str | None


class RemovedShape(Answer):
    """A removed generation that can be restored."""

    id: str
    project_id: str
    name: str
    size_bytes: int = Field(description="Counted as stored until it is deleted.")
    removed_at: Time
    expires_at: Time = Field(description="Time at which it is deleted.")


class RemovedList(Answer):
    """The removed generations, the last removed first."""

    items: list[RemovedShape]
    kept_s: float = Field(
        description="Seconds that a removed generation can be restored; 0: it is deleted at once.", examples=[86400]
    )
    next: None = Field(default=None, description="Always null: few are kept.")


class ExampleShape(Answer):
    """An example project."""

    name: str = Field(examples=["bookshop"])
    title: str
    framework: str = Field(examples=["FastAPI"])
    summary: str
    first_request: str = Field(examples=["GET /books"])


class ExampleList(Answer):
    """The example projects."""

    items: list[ExampleShape]
    next: str | None
