"""Contract ``plan``: camelCase, prefix ``/api/generations``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field

from preview.core.clock import utc_now
from preview.core.lifecycle import State
from preview.endpoints import Endpoint, Listing
from preview.http.contracts import shared
from preview.http.contracts.content import content_of, folded
from preview.http.core.answers import Answer, AnyJson, PlanAnswer, Seconds, Time, camel, without_none
from preview.http.core.errors import Problem
from preview.logs import Contract
from preview.proxy import ProxyResponse
from preview.settings import Settings, Tier
from preview.storage.tables import PreviewRecord
from preview.supervisor import Launched

# Code that the contract uses for all failed launches; ``details.reason`` has the exact code.
_LAUNCH_FAILED = "launch_failed"


class PlanLaunched(PlanAnswer):
    """The preview exists, and its log can be watched."""

    status: Literal["launched"]
    preview_instance_id: str = Field(examples=["preview_789abcdefghjkmnp"])
    generation_id: str
    base_url: str | None = Field(examples=["http://localhost:3001"])
    preview_token: str
    expires_at: Time
    health_check_url: str | None

    @classmethod
    def of(cls, launch: Launched) -> Self:
        """Return the response to this launch."""
        record = launch.record
        health = f"{record.base_url}{record.health_path}" if record.base_url else None
        named = {"preview_instance_id": record.id, "preview_token": launch.token, "health_check_url": health}
        return cls.taken_from(record, status="launched", **named)


class PlanListedEndpoint(PlanAnswer):
    """An endpoint in a status."""

    method: str
    path: str
    description: str | None

    @classmethod
    def of(cls, one: Endpoint) -> Self:
        """Return the endpoint with its description, or else its summary."""
        return cls(method=one.method, path=one.path, description=one.description or one.summary)


class PlanStatus(PlanAnswer):
    """Status of the preview."""

    preview_instance_id: str
    status: Literal["launching", "running", "stopping", "stopped", "failed"]
    base_url: str | None
    uptime: int = Field(description="Seconds since the launch.")
    last_health_check: Time | None
    health_status: shared.HealthWord
    created_at: Time
    expires_at: Time
    generated_endpoints: list[PlanListedEndpoint]
    steps: shared.Steps[shared.PlanLaunchStep]
    isolation: shared.Known[shared.PlanIsolation]
    limits: shared.PlanLimits | None
    reached: shared.Reached[shared.PlanReachedLimit]
    crash: shared.PlanCrash | None = Field(
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
        record = facts.record
        return cls.taken_from(
            record,
            preview_instance_id=record.id,
            status="launching" if record.state is State.STARTING else record.state,
            uptime=int(facts.uptime_s),
            health_status=record.health,
            generated_endpoints=[PlanListedEndpoint.of(one) for one in facts.endpoints],
            **shared.status_fields(facts),
        )


class PlanStopped(PlanAnswer):
    """A stopped preview; its processes, port and files are removed."""

    status: Literal["stopped"]
    message: str
    stopped_at: Time

    @classmethod
    def of(cls, record: PreviewRecord) -> Self:
        """Return the response to a stop."""
        message = "Preview instance stopped successfully"
        return cls(status="stopped", message=message, stopped_at=record.stopped_at or utc_now())


class PlanEndpoint(PlanListedEndpoint):
    """An endpoint; unknown schemas are left out."""

    source: shared.EndpointSource
    request_schema: dict[str, dict[str, str]] | None = None
    request_body: Any = None
    response_schema: Any = None

    @classmethod
    def of(cls, one: Endpoint) -> Self:
        """Return the endpoint with its known schemas."""
        query = {"query": dict(one.query)} if one.query else None
        schemas = without_none(request_schema=query, request_body=one.request_body, response_schema=one.response_schema)
        described = one.description or one.summary
        return cls(method=one.method, path=one.path, description=described, source=one.source.value, **schemas)


class PlanEndpoints(PlanAnswer):
    """The generation's endpoints."""

    endpoints: list[PlanEndpoint]
    complete: shared.Complete
    unread: shared.Unread

    @classmethod
    def of(cls, found: Listing) -> Self:
        """Return the list of endpoints."""
        endpoints = [PlanEndpoint.of(one) for one in found.endpoints]
        return cls(endpoints=endpoints, complete=found.complete, unread=list(found.unread))


class PlanProxied(PlanAnswer):
    """The preview's response, whatever its status."""

    holds_any = True

    status_code: int
    data: AnyJson = Field(description="A JSON value, if the content is JSON; else text, or base64 as `encoding` says.")
    headers: dict[str, str | list[str]]
    request_id: str = Field(description="The `X-Request-Id` that was sent; log lines of this request have it if known.")
    log: shared.PlanLogRange | None
    encoding: Literal["base64"] | None = None

    @classmethod
    def of(cls, answer: ProxyResponse, request_id: str, lines: range) -> Self:
        """Return the response to the request with this id; ``lines`` were published during the request."""
        content = content_of(answer)
        return cls(
            status_code=answer.status,
            data=content.data,
            headers=folded(answer.headers),
            request_id=request_id,
            log=shared.PlanLogRange.of(lines),
            **without_none(encoding=content.encoding),
        )


class PlanEnvironment(Answer):
    """Settings in the preview's environment."""

    NODE_ENV: str
    LOG_LEVEL: str


class PlanFeatures(PlanAnswer):
    """Features of the tier."""

    websocket_logs: bool
    advanced_metrics: bool


class PlanLimitations(PlanAnswer):
    """Limits of the tier."""

    tier: str
    max_concurrent_previews: int
    max_session_duration: Seconds
    features: PlanFeatures


class PlanConfig(PlanAnswer):
    """Limits that apply to the user; durations are in seconds."""

    preview_timeout: Seconds
    max_instances: int
    session_expiry: Seconds
    auto_stop_inactive_after: Seconds
    environment: PlanEnvironment
    limitations: PlanLimitations

    @classmethod
    def of(cls, settings: Settings, tier: Tier, _: PreviewRecord | None) -> Self:
        """Return the limits of this user."""
        return cls(
            preview_timeout=min(settings.max_uptime_s, tier.max_life_s),
            max_instances=tier.max_previews,
            session_expiry=settings.session_timeout_s,
            auto_stop_inactive_after=settings.inactive_timeout_s,
            environment=PlanEnvironment(NODE_ENV=settings.node_env, LOG_LEVEL=settings.log_level),
            limitations=PlanLimitations(
                tier=tier.name,
                max_concurrent_previews=tier.max_previews,
                max_session_duration=tier.max_life_s,
                features=PlanFeatures.model_validate(tier),
            ),
        )


class PlanError(PlanAnswer):
    """An error."""

    status: Literal["error", "failed", "not_found"]
    error: str = Field(description="Stable error code.")
    message: str
    details: dict[str, Any] | None = None

    @classmethod
    def of(cls, error: Problem, *, is_launch_route: bool) -> Self:
        """Return the error; on the launch route, its message begins with "Cannot launch"."""
        if error.is_launch:
            message = error.detail
            if is_launch_route and not message.startswith("Cannot launch"):
                message = f"Cannot launch: {message}"
            return cls(status="failed", error=_LAUNCH_FAILED, message=message, **_details(error, _LAUNCH_FAILED))
        status: Literal["error", "failed", "not_found"] = "failed" if is_launch_route else "error"
        if error.status_in(Contract.PLAN) == 404:
            status = "not_found"
        return cls(status=status, error=error.code, message=error.detail, **_details(error, error.code))


class PlanProxyError(PlanAnswer):
    """An error of a request that the service forwards to the preview."""

    status_code: int
    error: str = Field(description="Stable error code.")
    message: str
    details: dict[str, Any] | None = None

    @classmethod
    def of(cls, error: Problem) -> Self:
        """Return the error of the route that sends a request to the preview."""
        return cls(status_code=error.status, error=error.code, message=error.detail, **_details(error, error.code))


def _details(error: Problem, shown_code: str) -> dict[str, Any]:
    """Return ``details``, if any. They include the exact code if ``shown_code`` is another one."""
    reason = {} if shown_code == error.code else {"reason": error.code}
    return without_none(details=(reason | _camel_keys(error.details)) or None)


def _camel_keys(value: Any) -> Any:
    """Return the same value with the keys of all its mappings in camelCase."""
    if isinstance(value, Mapping):
        return {camel(str(key)): _camel_keys(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_camel_keys(item) for item in value]
    return value
