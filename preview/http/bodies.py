"""The bodies and queries that are understood. Types are strict: ``"30"`` is not a number."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from preview.lifecycle import State

__all__ = [
    "Base64File",
    "EnvelopeBody",
    "ExtendBody",
    "GenerationBody",
    "HistoryQuery",
    "ListQuery",
    "PageQuery",
    "PlanLaunchBody",
    "StreamQuery",
    "V1LaunchBody",
]

_MAX_START_S = 3600
_MAX_EXTENSION_S = 7 * 24 * 3600


_START: Any = Field(
    default=None,
    description="As the table `[start]` of `preview.toml`, which it wins over: `app`, `command`, `directory`, …",
    examples=[{"app": "app.main:app"}],
)
_ENV: Any = Field(default=None, description="Variables for the backend.", examples=[{"DEBUG": "true"}])


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class PlanLaunchBody(_Body):
    """Launch in contract ``plan``; what is given must agree with the path and the generation."""

    generationId: str | None = None  # noqa: N815  the contract's word
    projectId: str | None = None  # noqa: N815  the contract's word
    start: dict[str, Any] | None = _START
    env: dict[str, Any] | None = _ENV


class V1LaunchBody(_Body):
    """Launch in contract ``v1``; ``timeout``: seconds allowed for start-up."""

    project_id: str | None = None
    timeout: Annotated[float, Field(gt=0, le=_MAX_START_S)] | None = None
    start: dict[str, Any] | None = _START
    env: dict[str, Any] | None = _ENV


class EnvelopeBody(_Body):
    """A request for the preview."""

    method: str = Field(max_length=32, examples=["GET"])
    path: str = Field(examples=["/books?limit=10"], description="Absolute path on the preview.")
    query: dict[str, Any] = Field(default_factory=dict, description="Text, numbers, booleans or lists of these.")
    body: Any = Field(default=None, description="Any JSON, or text; null sends no content.")
    headers: dict[str, str] = Field(default_factory=dict)


class ExtendBody(_Body):
    """How much longer a preview shall live, in seconds."""

    seconds: Annotated[float, Field(gt=0, le=_MAX_EXTENSION_S)]


class Base64File(_Body):
    """A file that is not text."""

    base64: str


class GenerationBody(_Body):
    """A generation's files by path."""

    project_id: str | None = None
    name: str = Field(default="", max_length=256)
    files: dict[str, str | Base64File]


class PageQuery(BaseModel):
    """A page of a list."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    cursor: str | None = Field(default=None, max_length=512, description="``next_cursor`` of the page before.")
    limit: int = Field(default=50, ge=1, le=200)


class ListQuery(PageQuery):
    """A page of the user's previews."""

    status: State | None = None


class HistoryQuery(BaseModel):
    """Lines of the past."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    preview_id: str | None = Field(default=None, max_length=64, description="Which preview; else the newest.")
    after: int = Field(default=0, ge=0, description="Only lines behind this number.")
    before: int | None = Field(default=None, ge=1, description="Only lines before this number: the last of these.")
    limit: int = Field(default=500, ge=1, le=1000)


class StreamQuery(BaseModel):
    """Where a log stream begins."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    last_event_id: int | None = Field(default=None, ge=0, description="As ``Last-Event-ID``, which wins.")
    tail: int | None = Field(default=None, ge=0, le=1_000_000, description="Only the last so many lines.")
    ticket: str | None = Field(default=None, max_length=256, description="From ``POST …/preview/logs/ticket``.")
    follow: bool = Field(default=True, description="``false``: end with the newest line.")
