"""The answers of contract ``v1`` as schemas; tests hold the views to them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from preview.http.openapi.shapes_logs import LaunchStepShape

Word = Literal["starting", "running", "stopping", "stopped", "failed"]
NetworkWord = Literal["none", "loopback-only", "host"]
HealthWord = Literal["unknown", "healthy", "unhealthy"]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Launched(_Shape):
    """The preview exists, and its log can be watched."""

    id: str = Field(examples=["preview_789abcdefghjkmnp"])
    generation_id: str
    user_id: str
    project_id: str
    status: Word
    port: int | None
    base_url: str | None = Field(examples=["http://localhost:3001"])
    session_token: str = Field(description="The preview token, shown only here.")
    created_at: str


class Isolation(_Shape):
    """Isolation of a preview."""

    runtime: str = Field(examples=["sandbox", "plain"])
    network: NetworkWord = Field(description="What it reaches.")
    holds: list[str] = Field(description="What holds, a few words each.")


class LimitsShape(_Shape):
    """Limits of a preview; null: not enforced here."""

    memory_mb: int = Field(description="MiB of memory, the whole tree.")
    cpu_cores: float | None = Field(description="Processor time per time.")
    processes: int | None = Field(description="Processes and threads.")
    open_files: int = Field(description="Of each process.")
    disk_mb: int = Field(description="MiB in its own folders.")
    file_bytes: int = Field(description="Size of one file.")
    temp_bytes: int | None = Field(description="Size of `/tmp`, in memory.")
    output_bytes_per_s: int = Field(description="What it may print, averaged over some seconds.")


class ReachedLimit(_Shape):
    """A limit that a preview has reached."""

    limit: Literal["memory", "cpu", "processes", "disk", "output"]
    message: str = Field(examples=["held to 256 processes: further ones were refused"])


class Status(_Shape):
    """Status of the preview; memory and CPU of its whole process tree."""

    id: str
    status: Word
    port: int | None
    base_url: str | None
    uptime_seconds: int
    memory_usage_mb: float | None
    cpu_usage_percent: float | None
    health: HealthWord
    started_at: str | None
    steps: list[LaunchStepShape] = Field(description="Of its launch, in their order; empty for an old preview.")
    isolation: Isolation | None = Field(description="Null where it is not known any more.")
    limits: LimitsShape | None
    reached: list[ReachedLimit] = Field(description="Each limit that it was held to so far, or ended by.")
    reason: str | None = Field(default=None, description="Only where it failed.")
    exit_code: int | None = None
    exit_signal: int | None = None


class Instance(_Shape):
    """A preview, live or over."""

    id: str
    generation_id: str
    user_id: str
    project_id: str
    status: Word
    health: HealthWord
    port: int | None
    base_url: str | None
    created_at: str
    started_at: str | None
    stopped_at: str | None
    expires_at: str
    reason: str | None
    cause: Literal["user", "expired", "inactive", "shutdown"] | None = Field(
        description="Why it was stopped; null where it lives, or has failed."
    )
    exit_code: int | None
    exit_signal: int | None


class WatchedInstance(Instance):
    """A preview that was asked for by its id."""

    steps: list[LaunchStepShape] = Field(description="Of its launch, in their order; empty for an old preview.")
    isolation: Isolation | None = Field(description="Null where it is not known any more.")
    limits: LimitsShape | None
    reached: list[ReachedLimit] = Field(description="Each limit that it was held to so far, or ended by.")
    watchers: int = Field(description="Open log streams.")


class InstancePage(_Shape):
    """A page of previews, newest first."""

    previews: list[Instance]
    next_cursor: str | None


class ListedEndpoint(_Shape):
    """An endpoint."""

    path: str
    method: str
    summary: str | None
    description: str | None
    tags: list[str]


class Endpoints(_Shape):
    """The generation's endpoints."""

    endpoints: list[ListedEndpoint]
    count: int


class PlannedStep(_Shape):
    """Runs before the application."""

    name: str = Field(examples=["migrations"])
    command: list[str]
    directory: str
    why: str
    required: bool = Field(description="Whether its failure ends the launch.")


class PlannedVariable(_Shape):
    """A variable for the application's environment."""

    name: str
    value: str | None = Field(description="Null where it is not shown: a secret, or given by a person.")
    origin: Literal["made up", "example file", "supplied", "preview.toml", "launch request"]
    where: str
    secret: bool


class PlannedService(_Shape):
    """A server that the application asks for."""

    kind: str = Field(examples=["PostgreSQL"])
    setting: str | None
    where: str
    at_startup: bool = Field(description="It does not come up without it.")
    address: str | None = Field(examples=["localhost:5432"])


class Plan(_Shape):
    """Start of a generation; folders are relative to it."""

    framework: str
    toolchain: Literal["python", "node"]
    server: Literal["asgi", "wsgi", "django", "node", "command"]
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


class LogRange(_Shape):
    """Numbers of the lines that were published while the request was under way, its own or others'."""

    first_seq: int
    last_seq: int


class Proxied(_Shape):
    """The preview's answer, whatever its status."""

    status_code: int
    headers: dict[str, str | list[str]]
    body: str
    elapsed_ms: float
    request_id: str = Field(description="The `X-Request-Id` that the preview got; its lines carry it where known.")
    log: LogRange | None
    encoding: Literal["base64"] | None = None


class Config(_Shape):
    """The limits that hold, in seconds and MiB."""

    port: int | None
    base_url: str | None
    session_timeout: float
    max_uptime: float
    memory_limit_mb: int
    timeout_seconds: float


class Ticket(_Shape):
    """A stream ticket, for one user and one preview."""

    ticket: str
    expires_in: float = Field(description="Seconds.")


class PreviewToken(_Shape):
    """A further preview token, as good as that of the launch."""

    session_token: str
    expires_at: str


class OpenLinkShape(_Shape):
    """A link that opens a preview once."""

    url: str = Field(examples=["http://preview-789abcdefghjkmnp.localhost:8000/.preview/open?code=…"])
    address: str = Field(description="Where it leads, without the code.")
    expires_in: float = Field(description="Seconds.")


class ShareShape(_Shape):
    """A link to pass on."""

    id: str = Field(examples=["share_789abcdefghjkmnp"])
    url: str
    created_at: str
    expires_at: str


class AccessShape(_Shape):
    """Access to a preview in a browser, besides its owner's."""

    address: str
    public: bool
    shares: list[ShareShape] = Field(description="Those that are good now, the oldest first.")


class Session(_Shape):
    """Session of the user."""

    user_id: str
    tier: str | None = Field(description="As the token says; null: as the service knows it.")
    expires_at: str | None


class FileShape(_Shape):
    """A file of a generation."""

    path: str
    size_bytes: int


class HashedFile(FileShape):
    """A file of a generation, with what it holds."""

    sha256: str = Field(description="Of its content, hex.")


class FileList(_Shape):
    """The files of a generation, in the order of their paths."""

    files: list[HashedFile]
    etag: str = Field(description="As the header; for `If-Match`.")


class ReloadError(_Shape):
    """Reason why a change did not start."""

    code: str = Field(examples=["launch_failed"], description="Stable; as of a launch that fails.")
    detail: str
    details: dict[str, Any] = Field(description="As of a launch that fails; `last_lines` is what it printed.")


class ReloadShape(_Shape):
    """Result for the preview."""

    status: Literal["reloaded", "failed", "none"] = Field(
        description="`failed`: the process from before serves on. `none`: nothing runs, or nothing has changed."
    )
    preview_id: str | None
    elapsed_ms: float
    error: ReloadError | None


class FilesChanged(_Shape):
    """A change of files that is kept."""

    generation_id: str
    changed: list[str] = Field(description="Paths whose content is new.")
    removed: list[str] = Field(description="Paths that were there and are not any more.")
    file_count: int
    size_bytes: int
    etag: str = Field(description="Of the files as they are now.")
    reload: ReloadShape


class GenerationShape(_Shape):
    """A generation; `files` only where one is asked for."""

    id: str
    project_id: str
    user_id: str
    name: str
    created_at: str
    file_count: int | None
    size_bytes: int | None
    files: list[FileShape] | None = None


class GenerationPage(_Shape):
    """A page of generations, newest first."""

    generations: list[GenerationShape]
    next_cursor: str | None


class Problem(_Shape):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str = Field(description="Stable; switch on it.")
    details: dict[str, Any]


class EarlyProblem(_Shape):
    """An error of a request that is refused by its head alone (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str


class Alive(_Shape):
    """State of the service."""

    status: Literal["ok", "ready", "disk_full", "stopping", "database_unavailable"]
    message: str | None = Field(
        default=None, description="Why it is not ready, or that the disk is full, and what to do."
    )
