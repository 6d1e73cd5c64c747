"""Contract ``v1``: snake_case, prefix ``/api/v1``, errors by RFC 9457."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

from pydantic import Field

from preview.auth import Identity, Share
from preview.backing import ServerUse
from preview.core.clock import from_ms
from preview.endpoints import Listing
from preview.http.contracts import shared
from preview.http.contracts.content import content_of, folded
from preview.http.core import errors
from preview.http.core.answers import Answer, Seconds, Time, without_none
from preview.logs import Contract
from preview.proxy import ProxyResponse
from preview.settings import Settings, Tier
from preview.storage.tables import PreviewRecord
from preview.supervisor import Confinement
from preview.supervisor import Launched as Launch

_MIB = 1024 * 1024

Word = Literal["starting", "running", "stopping", "stopped", "failed"]


class Launched(Answer):
    """The preview exists, and its log can be watched."""

    id: str = Field(examples=["preview_789abcdefghjkmnp"])
    generation_id: str
    user_id: str
    project_id: str
    status: Word
    port: int | None
    base_url: str | None = Field(examples=["http://localhost:3001"])
    session_token: str = Field(description="The preview token, returned only in this response.")
    created_at: Time

    @classmethod
    def of(cls, launch: Launch) -> Self:
        """Return the response to this launch."""
        return cls.taken_from(launch.record, status=launch.record.state, session_token=launch.token)


class Status(Answer):
    """Status of the preview; memory and CPU usage cover its whole process tree."""

    id: str
    status: Word
    port: int | None
    base_url: str | None
    uptime_seconds: int
    memory_usage_mb: float | None
    cpu_usage_percent: float | None
    health: shared.HealthWord
    started_at: Time | None
    steps: shared.Steps[shared.LaunchStepShape]
    isolation: shared.Known[shared.Isolation]
    limits: shared.LimitsShape | None
    reached: shared.Reached[shared.ReachedLimit]
    checks: str | None = Field(
        description="The last run of the generation's checks; null if there was none since the service started.",
        examples=["12 ok, 1 broke since reload 7"],
    )
    crash: shared.CrashShape | None = Field(
        description="The newest crash after which the process is started again; null if there was none."
    )
    queue: shared.QueuePlace | None = Field(
        default=None, description="Only present while the launch waits for a node of a cluster."
    )
    reason: str | None = Field(default=None, description="Only present if the preview failed.")
    exit_code: int | None = None
    exit_signal: int | None = None

    @classmethod
    def of(cls, facts: shared.Facts) -> Self:
        """Return the status; for a failed preview, include the reason."""
        record, usage = facts.record, facts.usage
        return cls.taken_from(
            record,
            status=record.state,
            checks=facts.checks,
            uptime_seconds=int(facts.uptime_s),
            memory_usage_mb=None if usage is None else round(usage.memory_bytes / _MIB, 1),
            cpu_usage_percent=None if usage is None else round(usage.cpu_percent, 1),
            **shared.status_fields(facts),
        )


class Instance(Answer):
    """A preview, live or ended."""

    id: str
    generation_id: str
    user_id: str
    project_id: str
    status: Word = Field(validation_alias="state")
    health: shared.HealthWord
    port: int | None
    base_url: str | None
    created_at: Time
    started_at: Time | None
    stopped_at: Time | None
    expires_at: Time
    reason: str | None
    cause: Literal["user", "expired", "inactive", "shutdown"] | None = Field(
        description="Why the preview was stopped; null if it is live or has failed."
    )
    exit_code: int | None
    exit_signal: int | None


class WatchedInstance(Instance):
    """A preview in detail, as requested by its id."""

    steps: shared.Steps[shared.LaunchStepShape]
    isolation: shared.Known[shared.Isolation]
    limits: shared.LimitsShape | None
    reached: shared.Reached[shared.ReachedLimit]
    watchers: int = Field(description="Number of open log streams.")

    @classmethod
    def of(cls, record: PreviewRecord, confinement: Confinement | None, watchers: int) -> Self:
        """Return the preview with its isolation, the steps of its launch and its watchers."""
        fields = shared.launch_fields(record, confinement)
        return cls.taken_from(record, status=record.state, watchers=watchers, **fields)


class InstancePage(Answer):
    """A page of previews, newest first."""

    previews: list[Instance]
    next_cursor: str | None


class EndpointParameter(Answer):
    """A parameter, as the OpenAPI document of the running preview describes it."""

    name: str
    location: Literal["path", "query", "header", "cookie"]
    type: str
    required: bool
    default: str | bool | int | float | None
    choices: list[str | bool | int | float] = Field(description="The values that it may have; empty for any.")
    sample: str | bool | int | float | None = Field(description="A value that its schema accepts.")
    description: str


class EndpointBody(Answer):
    """A content type that an endpoint accepts."""

    content_type: str = Field(examples=["application/json"])
    sample: Any = Field(description="A body that the schema accepts; null if there is no schema.")
    files: list[str] = Field(description="Names of the fields that are files, in a form.")
    required: bool


class EndpointCredential(Answer):
    """A way to authenticate at an endpoint, from `securitySchemes`."""

    scheme: str
    kind: Literal["bearer", "basic", "key", "other"]
    location: Literal["header", "query", "cookie", ""]
    name: str = Field(description="For a key: the name of its header, parameter or cookie.")


class ListedEndpoint(Answer):
    """An endpoint."""

    path: str
    method: str
    summary: str | None
    description: str | None
    tags: list[str]
    source: shared.EndpointSource
    file: str | None = Field(description="The source file, relative to the project.", examples=["app/main.py"])
    line: int | None
    parameters: list[EndpointParameter] = Field(description="Empty if the running preview publishes no OpenAPI.")
    bodies: list[EndpointBody]
    credentials: list[EndpointCredential]


class ListedSocket(Answer):
    """A path that takes WebSockets, found in the source."""

    path: str
    summary: str
    protocol: Literal["websocket", "socket.io"]
    file: str | None = Field(description="The source file, relative to the project.", examples=["app/main.py"])
    line: int | None


class Endpoints(Answer):
    """The generation's endpoints."""

    endpoints: list[ListedEndpoint]
    sockets: list[ListedSocket]
    count: int = Field(description="Number of `endpoints`.")
    complete: shared.Complete
    unread: shared.Unread

    @classmethod
    def of(cls, found: Listing) -> Self:
        """Return the list of endpoints."""
        endpoints = [ListedEndpoint.model_validate(one) for one in found.endpoints]
        sockets = [ListedSocket.model_validate(one) for one in found.sockets]
        return cls(
            endpoints=endpoints,
            sockets=sockets,
            count=len(endpoints),
            complete=found.complete,
            unread=list(found.unread),
        )


class Proxied(Answer):
    """The preview's response, whatever its status."""

    status_code: int
    headers: dict[str, str | list[str]]
    body: str
    elapsed_ms: float
    request_id: str = Field(description="The `X-Request-Id` that was sent; log lines of this request have it if known.")
    log: shared.LogRange | None
    encoding: Literal["base64"] | None = None

    @classmethod
    def of(cls, answer: ProxyResponse, request_id: str, lines: range) -> Self:
        """Return the response to the request with this id; ``lines`` were published during the request."""
        content = content_of(answer)
        return cls(
            status_code=answer.status,
            headers=folded(answer.headers),
            body=content.text,
            elapsed_ms=answer.elapsed_ms,
            request_id=request_id,
            log=shared.LogRange.of(lines),
            **without_none(encoding=content.encoding),
        )


class Config(Answer):
    """Limits that apply to the user, in seconds and MiB."""

    port: int | None
    base_url: str | None
    session_timeout: Seconds
    max_uptime: Seconds
    memory_limit_mb: int
    timeout_seconds: Seconds

    @classmethod
    def of(cls, settings: Settings, tier: Tier, record: PreviewRecord | None) -> Self:
        """Return the limits of this user, and the address of their preview, if any."""
        return cls(
            port=None if record is None else record.port,
            base_url=None if record is None else record.base_url,
            session_timeout=settings.session_timeout_s,
            max_uptime=min(settings.max_uptime_s, tier.max_life_s),
            memory_limit_mb=settings.memory_limit_mb,
            timeout_seconds=settings.startup_timeout_s,
        )


class BackingServer(Answer):
    """A server of the preview's own."""

    kind: Literal["PostgreSQL", "MySQL", "Redis", "MongoDB", "RabbitMQ", "Elasticsearch"]
    version: str = Field(examples=["PostgreSQL 15.13"])
    connections: int = Field(description="Connections that are open now.")
    size_bytes: int | None = Field(description="Size of its data; null before the first connection.")


class Services(Answer):
    """The servers that the preview has of its own."""

    services: list[BackingServer]

    @classmethod
    def of(cls, used: Sequence[ServerUse]) -> Self:
        """Return the servers."""
        return cls(services=[BackingServer.taken_from(one) for one in used])


class PreviewToken(Answer):
    """An additional preview token, equivalent to the token of the launch."""

    session_token: str
    expires_at: Time


class OpenLinkShape(Answer):
    """A link that opens a preview once."""

    url: str = Field(examples=["http://preview-789abcdefghjkmnp.localhost:8000/.preview/open?code=…"])
    address: str = Field(description="Address of the preview, without the code.")
    expires_in: Seconds = Field(description="Lifetime in seconds.")


class ShareShape(Answer):
    """A share link, which may be passed on."""

    id: str = Field(examples=["share_789abcdefghjkmnp"])
    url: str
    role: Literal["open", "watch", "use"]
    closed: bool = Field(description="Whether it is closed to new guests, because one of its guests was removed.")
    created_at: Time
    expires_at: Time

    @classmethod
    def of(cls, share: Share, url: str) -> Self:
        """Return the share link."""
        created_at, expires_at = (from_ms(int(at * 1000)) for at in (share.created_at, share.expires_at))
        return cls(
            id=share.id,
            url=url,
            role=share.role.value,
            closed=share.is_closed,
            created_at=created_at,
            expires_at=expires_at,
        )


class AccessShape(Answer):
    """Browser access to a preview, in addition to the owner's access."""

    address: str
    public: bool
    shares: list[ShareShape] = Field(description="Valid share links, oldest first.")


class Session(Answer):
    """Session of the user."""

    user_id: str
    tier: str | None = Field(description="Tier in the token; null if the service's own record of the user applies.")
    expires_at: Time | None

    @classmethod
    def of(cls, identity: Identity) -> Self:
        """Return the session of this user."""
        return cls(user_id=identity.user.id, tier=identity.user.tier, expires_at=identity.expires_at)


class Problem(Answer):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str = Field(description="Stable error code, for programs to decide by.")
    details: dict[str, Any]

    @classmethod
    def of(cls, error: errors.Problem, instance: str) -> Self:
        """Return the error of a request for this path, as RFC 9457 requires."""
        return cls.taken_from(
            error, type=f"urn:preview:problem:{error.code}", status=error.status_in(Contract.V1), instance=instance
        )


class Alive(Answer):
    """State of the service."""

    status: Literal["ok", "ready", "disk_full", "stopping", "database_unavailable"]
    message: str | None = Field(
        default=None, description="Why the service is not ready, or that the disk is full and what to do."
    )
