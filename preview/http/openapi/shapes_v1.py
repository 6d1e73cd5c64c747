"""The answers of contract ``v1`` as schemas; tests hold the views to them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "Alive",
    "Config",
    "Endpoints",
    "GenerationPage",
    "GenerationShape",
    "Instance",
    "InstancePage",
    "Launched",
    "LogPage",
    "Plan",
    "PreviewToken",
    "Problem",
    "Proxied",
    "Session",
    "Status",
    "Ticket",
    "WatchedInstance",
]

Word = Literal["starting", "running", "stopping", "stopped", "failed"]
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


class Status(_Shape):
    """How the preview is; memory and CPU over its whole process tree."""

    id: str
    status: Word
    port: int | None
    base_url: str | None
    uptime_seconds: int
    memory_usage_mb: float | None
    cpu_usage_percent: float | None
    health: HealthWord
    started_at: str | None
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
    exit_code: int | None
    exit_signal: int | None


class WatchedInstance(Instance):
    """A preview that was asked for by its id."""

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
    """How a generation is started; folders are relative to it."""

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


class Proxied(_Shape):
    """The preview's answer, whatever its status."""

    status_code: int
    headers: dict[str, str | list[str]]
    body: str
    elapsed_ms: float
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


class Session(_Shape):
    """Who is asking."""

    user_id: str
    tier: str | None = Field(description="As the token says; null: as the service knows it.")
    expires_at: str | None


class Line(_Shape):
    """A line of a preview's log."""

    seq: int
    timestamp: str
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"]
    source: Literal["subprocess", "system"]
    message: str


class LogPage(_Shape):
    """Lines of the past, oldest first; a number that is missing is gone."""

    lines: list[Line]
    first_kept: int = Field(description="The oldest line that is kept; 0 where there is none.")


class FileShape(_Shape):
    """A file of a generation."""

    path: str
    size_bytes: int


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


class Alive(_Shape):
    """How the service is."""

    status: Literal["ok", "ready", "stopping", "database_unavailable"]
