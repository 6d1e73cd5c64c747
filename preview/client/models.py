"""Responses of the service as pydantic models. Fields that a later version adds are ignored."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

State: TypeAlias = Literal["starting", "running", "stopping", "stopped", "failed"]
Health: TypeAlias = Literal["unknown", "healthy", "unhealthy"]


class Shape(BaseModel):
    """The base of all models."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Generation(Shape):
    """The files of one version of a project."""

    id: str
    project_id: str
    name: str
    version: int


class Launched(Shape):
    """A preview that was launched or restarted.

    Attributes:
        session_token: Preview token, for requests to it.
    """

    id: str
    generation_id: str
    project_id: str
    status: State
    port: int | None
    base_url: str | None
    session_token: str


class NewToken(Shape):
    """A further preview token."""

    session_token: str


class FirstAnswer(Shape):
    """The first request to the application, and its response."""

    path: str
    status: int


class Step(Shape):
    """A step of the launch."""

    name: str
    state: Literal["waiting", "running", "done", "failed", "stopped"]
    started_at: datetime | None
    elapsed_ms: int | None
    detail: str | None
    reused: bool
    answer: FirstAnswer | None = None


class ReachedLimit(Shape):
    """A limit that the preview has reached."""

    limit: str
    message: str


class PreviewStatus(Shape):
    """State, health, resources and steps of a preview; ``reason`` and exit only if it failed."""

    id: str
    status: State
    port: int | None
    base_url: str | None
    uptime_seconds: int
    memory_usage_mb: float | None
    cpu_usage_percent: float | None
    health: Health
    started_at: datetime | None
    steps: list[Step]
    reached: list[ReachedLimit]
    checks: str | None = None
    reason: str | None = None
    exit_code: int | None = None
    exit_signal: int | None = None


class Instance(Shape):
    """A preview in a list, live or ended."""

    id: str
    generation_id: str
    project_id: str
    status: State
    health: Health
    base_url: str | None
    created_at: datetime
    stopped_at: datetime | None
    reason: str | None
    exit_code: int | None


class InstancePage(Shape):
    """A page of previews, newest first."""

    previews: list[Instance]
    next_cursor: str | None


class LogRange(Shape):
    """First and last line that were published during a request, unrelated ones included."""

    first_seq: int
    last_seq: int


class ProxiedAnswer(Shape):
    """The application's response to one request, as the service returns it."""

    status_code: int
    headers: dict[str, str | list[str]]
    body: str
    elapsed_ms: float
    request_id: str
    log: LogRange | None
    encoding: Literal["base64"] | None = None


class RecordedRequest(Shape):
    """A request that the preview received.

    Attributes:
        failure: Id of the failure that it caused, if any.
    """

    number: int
    preview_id: str
    request_id: str
    started_at: datetime
    origin: str
    who: str
    method: str
    target: str
    status: int | None
    error: str | None
    failure: str | None


class RequestPage(Shape):
    """A page of recorded requests, newest first; ``next`` continues with ``before``."""

    items: list[RecordedRequest]
    next: int | None
    preview_id: str


class Frame(Shape):
    """A place in a stack."""

    path: str
    line: int
    function: str
    code: str
    is_own: bool


class Occurrence(Shape):
    """One time at which a failure occurred."""

    at: datetime
    first_line: int
    last_line: int
    request_id: str | None
    message: str


class Failure(Shape):
    """All failures of one cause.

    Attributes:
        frame: The deepest line of the project's own code.
    """

    id: str
    type: str
    message: str
    frame: Frame | None
    count: int
    first: Occurrence
    last: Occurrence


class FailureList(Shape):
    """Failures of a preview, newest first."""

    items: list[Failure]
    preview_id: str


class Endpoint(Shape):
    """An endpoint of the application."""

    path: str
    method: str
    summary: str | None
    tags: list[str]
    source: str
    file: str | None
    line: int | None


class EndpointList(Shape):
    """The endpoints; ``unread`` has a sentence for each part that could not be read."""

    endpoints: list[Endpoint]
    complete: bool
    unread: list[str]


class StoredFile(Shape):
    """A file of a generation."""

    path: str
    sha256: str


class FileList(Shape):
    """The files of a generation."""

    files: list[StoredFile]
    etag: str


class ReloadError(Shape):
    """Reason why the preview did not start with changed files."""

    code: str
    detail: str
    details: dict[str, Any]


class Reload(Shape):
    """Effect of changed files: ``failed`` means that the previous process still serves."""

    status: Literal["reloaded", "failed", "none"]
    preview_id: str | None
    elapsed_ms: float
    error: ReloadError | None


class FilesChanged(Shape):
    """A stored change of the files, and its effect on the running preview."""

    version: int
    changed: list[str]
    removed: list[str]
    reload: Reload


class ImportedGeneration(Generation):
    """A generation of a repository; ``notes`` has a sentence for each thing that its files lack."""

    name: str
    origin: str
    commit: str
    notes: list[str]


class ImportedChange(FilesChanged):
    """A change of the files to those of a repository; ``origin`` and ``commit`` name just these files."""

    etag: str
    origin: str
    commit: str
    notes: list[str]


class Snapshot(Shape):
    """Stored data of the application: files and databases at one moment."""

    id: str
    name: str
    kind: str
    created_at: datetime
    size_bytes: int


class SnapshotList(Shape):
    """Data snapshots of a generation, newest first."""

    snapshots: list[Snapshot]


class Restored(Shape):
    """The data was replaced; ``before`` is a snapshot of the replaced data."""

    before: Snapshot
    elapsed_ms: float


class Variable(Shape):
    """A variable of the project's settings; the value of a secret is null."""

    name: str
    value: str | None
    secret: bool


class Environment(Shape):
    """Variables of the project, by name, and why a launch cannot use them, if so."""

    project_id: str
    active_preset: str | None
    effective: list[Variable]
    problem: str | None
