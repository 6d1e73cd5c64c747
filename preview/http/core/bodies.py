"""Models of request bodies and queries. Types are strict: ``"30"`` is not a number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from preview.core.lifecycle import State
from preview.detection.overrides.start_schema import Env, PlanStart, Start
from preview.generations import ArchiveKind
from preview.http.core.line_query import LineQuery
from preview.proxy import METHODS

_MAX_START_S = 3600
_MAX_EXTENSION_S = 7 * 24 * 3600
# The setting has the real limit; a value above this one is a mistake in the unit.
_MAX_SHARE_S = 10 * 365 * 24 * 3600
# More lines than any preview writes, and within a database's integer.
MAX_SEQ = 10**18 - 1


_START: Any = Field(
    default=None,
    description="Overrides the table `[start]` of `preview.toml`, with the same keys.",
    examples=[{"app": "app.main:app"}],
)
_LABELS: Any = Field(
    default=None,
    description="Labels that the node must have; only in a cluster.",
    examples=[{"region": "north"}],
)
_ENV: Any = Field(
    default=None,
    description="Environment variables for the backend; at most 128 KiB in all.",
    examples=[{"DEBUG": "true"}],
)


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


def whole(value: object) -> object:
    """Return a number like 100.0 as the integer that it is in JSON Schema."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


_LABEL = StringConstraints(pattern=r"^[A-Za-z0-9_.-]+$", max_length=100)
Labels = Annotated[dict[Annotated[str, _LABEL], Annotated[str, _LABEL]], Field(max_length=20)]


class PlanLaunchBody(_Body):
    """Launch in contract ``plan``; ids in the body must match the path and the generation."""

    generationId: str | None = None  # noqa: N815  the contract's word
    projectId: str | None = None  # noqa: N815  the contract's word
    start: PlanStart = _START
    env: Env | None = _ENV
    labels: Labels | None = _LABELS


class V1LaunchBody(_Body):
    """Launch in contract ``v1``; ``timeout`` is the number of seconds allowed for start-up."""

    project_id: str | None = None
    timeout: Annotated[float, Field(gt=0, le=_MAX_START_S)] | None = None
    start: Start = _START
    env: Env | None = _ENV
    labels: Labels | None = _LABELS


class EnvelopeBody(_Body):
    """A request to send to the preview."""

    method: str = Field(
        max_length=32,
        examples=["GET"],
        description="HTTP method, in upper or lower case.",
        json_schema_extra={"enum": [*sorted(METHODS)]},
    )
    path: str = Field(
        examples=["/books?limit=10"],
        description="Absolute path on the preview.",
        json_schema_extra={"pattern": "^/(?!/)"},
    )
    query: dict[str, Any] = Field(default_factory=dict, description="Text, numbers, booleans or lists of these.")
    body: Any = Field(default=None, description="Any JSON value, or text; null sends no content.")
    encoding: Literal["base64"] | None = Field(
        default=None, description="`base64`: the body is text in base64, and its bytes are sent."
    )
    headers: dict[str, str] = Field(default_factory=dict)


class V1EnvelopeBody(EnvelopeBody):
    """A request to send to the preview, in contract ``v1``."""

    stream: bool = Field(
        default=False, description="Respond with Server-Sent Events: `head`, `piece` as the response comes, `end`."
    )
    resolve: bool = Field(
        default=False,
        description="Put the generation's variables in for `{{name}}` in path, query, header values and a body of "
        "text or JSON.",
    )


class ProbeBody(_Body):
    """A probe of a generation."""

    seconds: Annotated[float, Field(ge=1, le=_MAX_START_S)] = Field(
        default=30, description="Time for the whole probe; at most the service's setting."
    )
    endpoints: list[Annotated[str, Field(max_length=1000)]] = Field(
        default_factory=list,
        max_length=100,
        examples=[["GET /books/{id}"]],
        description="Endpoints, as `GET /books/{id}` or `/books/{id}`; empty for all.",
    )


class ExtendBody(_Body):
    """Extension of a preview's life, in seconds."""

    seconds: Annotated[float, Field(gt=0, le=_MAX_EXTENSION_S)]


class OpenBody(_Body):
    """Path on the preview that a link opens; another host is not possible."""

    path: str = Field(
        default="/",
        max_length=2000,
        # One slash, not followed by a slash or backslash: some clients would read either as another host.
        pattern=r"^/([!-.0-\[\]-~][!-\[\]-~]*)?$",
        examples=["/docs"],
    )


class ShareBody(_Body):
    """Lifetime of a share link, in seconds, and its role."""

    expires_in: Annotated[float, Field(gt=0, le=_MAX_SHARE_S)] = 24 * 3600.0
    role: Literal["open", "watch", "use"] = Field(
        default="open",
        description="`open`: the preview itself; `watch`: its page, read-only; `use`: also send requests and comment.",
    )


class AccessBody(_Body):
    """Access to a preview in a browser."""

    public: bool = Field(description="Whether anyone with the address can open the preview until it ends.")


class Base64File(_Body):
    """A file that is not text, encoded in base64."""

    base64: str


class GenerationBody(_Body):
    """Files of a generation, by path."""

    project_id: str | None = None
    name: str = Field(default="", max_length=256)
    files: dict[str, str | Base64File] = Field(json_schema_extra={"minProperties": 1})


class FilesPatch(_Body):
    """Files to write and files to remove; at least one file is required."""

    files: dict[str, str | Base64File] = Field(
        default_factory=dict, description="Content by path, as in `GenerationBody`."
    )
    remove: list[str] = Field(default_factory=list, description="Paths to remove; paths that do not exist are ignored.")


class ArchiveQuery(BaseModel):
    """Form of a download."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    format: ArchiveKind = Field(default=ArchiveKind.ZIP, description="Format of the archive.")


def file_contents(files: Mapping[str, str | Base64File]) -> dict[str, object]:
    """Return the files in the form that ``parse_files_json`` takes."""
    return {path: one if isinstance(one, str) else {"base64": one.base64} for path, one in files.items()}


class SnapshotBody(_Body):
    """A new data snapshot."""

    name: str = Field(default="", max_length=200, description="Name for people; default: the time.")


def _without_default(schema: dict[str, Any]) -> None:
    """Remove the default of a field: a request without the field changes nothing."""
    schema.pop("default", None)


class RenameBody(_Body):
    """Another name or group of a generation. What is left out stays."""

    name: str = Field(
        default="",
        min_length=1,
        max_length=256,
        examples=["Bookshop"],
        description="Name for people.",
        json_schema_extra=_without_default,
    )
    group: str = Field(
        default="",
        max_length=80,
        examples=["Shops"],
        description="Group in your list of projects; empty for none.",
        json_schema_extra=_without_default,
    )

    @property
    def given_name(self) -> str | None:
        """The name; None if it is left out."""
        return self.name or None

    @property
    def given_group(self) -> str | None:
        """The group; None if it is left out."""
        return self.group if "group" in self.model_fields_set else None


class ForkBody(_Body):
    """A new generation with the same files, and with data."""

    snapshot: str | None = Field(
        default=None, max_length=64, description="Id of a data snapshot; default: the running preview's data."
    )
    name: str = Field(default="", max_length=200, description="Name of the new generation; default: the same.")


class StatementBody(_Body):
    """A statement that only reads."""

    sql: str = Field(min_length=1, max_length=100_000, examples=["select * from books"])
    database: str | None = Field(
        default=None, max_length=2000, description="Id from `GET …/preview/data`; may be left out if there is only one."
    )
    limit: Annotated[int, BeforeValidator(whole)] = Field(
        default=100, ge=1, le=1000, description="Maximum number of rows."
    )


class RowsQuery(BaseModel):
    """A page of a table."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    table: str = Field(
        default="", max_length=2000, description="Name of the table, as `GET …/preview/data` lists it; required."
    )
    database: str | None = Field(
        default=None, max_length=2000, description="Id of the database; may be left out if there is only one."
    )
    offset: int = Field(default=0, ge=0, le=10**9, description="Rows to skip.")
    limit: int = Field(default=50, ge=1, le=500)


class OneRequestQuery(BaseModel):
    """The preview of a recorded request."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    preview_id: str | None = Field(
        default=None,
        max_length=128,
        description="A preview of the generation, also an ended one; by default the newest.",
    )


class RequestsQuery(OneRequestQuery):
    """A page of recorded requests."""

    filter: str | None = Field(
        default=None, max_length=1000, description="Only requests that match: `status:>=500 -path:/health`."
    )
    before: int | None = Field(default=None, ge=0, le=10**18, description="Only numbers below this one.")
    after: int | None = Field(
        default=None, ge=0, le=10**18, description="Only numbers above this one, in ascending order."
    )
    limit: int = Field(default=50, ge=1, le=500)
    format: Literal["json", "har"] = Field(
        default="json", description="`har`: an HTTP Archive of the page, oldest first, with headers and bodies."
    )


class RecordQuery(OneRequestQuery):
    """Form of a recorded request."""

    format: Literal["json", "curl", "httpx", "fetch", "pytest"] = Field(
        default="json", description="Others than `json` are text to paste; secrets are left out."
    )


class CaptureBody(BaseModel):
    """Capture setting to apply to a preview's requests."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    capture: Literal["off", "meta", "full"]


class PageQuery(BaseModel):
    """A page of a list."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    cursor: str | None = Field(default=None, max_length=512, description="``next_cursor`` of the previous page.")
    limit: int = Field(default=50, ge=1, le=200)


class OperatorPreviewsQuery(PageQuery):
    """A page of all live previews."""

    # More than a node has by default: this list had no pages once.
    limit: int = Field(default=200, ge=1, le=200)


class AuditQuery(PageQuery):
    """A page of the audit."""

    user_id: str | None = Field(default=None, max_length=128, description="Changes of this user only.")
    action: str | None = Field(default=None, max_length=64, description="Entries of this action only, in its words.")


class ListQuery(PageQuery):
    """A page of the user's previews."""

    status: State | None = None
    generation_id: str | None = Field(default=None, max_length=128, description="Only previews of this generation.")


class _AnsiQuery(LineQuery):
    """Query about colours in messages."""

    ansi: Literal["keep", "strip"] = Field(
        default="strip", description="`keep`: messages keep their ANSI colours; `strip`: messages are plain text."
    )

    @property
    def colours(self) -> bool:
        """True if colours are kept."""
        return self.ansi == "keep"


class HistoryQuery(_AnsiQuery):
    """Selection of past lines."""

    preview_id: str | None = Field(default=None, max_length=64, description="Id of the preview; default: the newest.")
    after: int = Field(default=0, ge=0, le=MAX_SEQ, description="Only lines after this number.")
    before: int | None = Field(
        default=None, ge=1, le=MAX_SEQ, description="Only lines before this number; `limit` keeps the last of them."
    )
    limit: int | None = Field(
        default=None, ge=1, le=1000, description="Maximum number of lines; default: 500 for a page, all for a file."
    )
    format: Literal["json", "jsonl", "text", "csv"] | None = Field(
        default=None, description="`json` for a page, the others for a file; default: as `Accept` requests."
    )


class StreamQuery(_AnsiQuery):
    """Start of a log stream, and its filter."""

    last_event_id: int | None = Field(
        default=None, ge=0, le=MAX_SEQ, description="Like ``Last-Event-ID``, which overrides it."
    )
    after: int | None = Field(
        default=None, ge=0, le=MAX_SEQ, description="Continue right after this line; ``last_event_id`` overrides it."
    )
    tail: int | None = Field(
        default=None, ge=0, le=1_000_000, description="Start with the last N lines that pass the filter."
    )
    ticket: str | None = Field(default=None, max_length=256, description="From ``POST …/preview/logs/ticket``.")
    preview_id: str | None = Field(
        default=None, max_length=128, description="An earlier launch of the generation; a ticket overrides it."
    )
    follow: bool = Field(default=True, description="``false``: end the stream after the newest line.")
