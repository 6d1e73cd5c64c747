"""Contract ``plan``: camelCase, prefix ``/api/generations``."""

from __future__ import annotations

from collections.abc import Sequence

from preview.core.clock import rfc3339, utc_now
from preview.core.launch_steps import step_fields
from preview.core.lifecycle import State
from preview.endpoints import Endpoint
from preview.http.contracts.facts import Call, Facts, Json, camel_keys, content_of, folded, time_of, whole
from preview.http.contracts.held import held
from preview.http.core.errors import Problem
from preview.logs import Contract
from preview.settings import Settings, Tier
from preview.storage.tables import PreviewRecord
from preview.supervisor.preview.control import Launched

LAUNCH_STATUS = 200

# Codes that the document knows only as a failed launch; the exact one stands in ``details.reason``.
_LAUNCH_FAILED = "launch_failed"


def state_word(state: State) -> str:
    """Translate a state to this contract's word."""
    return "launching" if state is State.STARTING else state.value


def launched(launch: Launched) -> Json:
    """Answer to a launch."""
    record = launch.record
    return {
        "status": "launched",
        "previewInstanceId": record.id,
        "generationId": record.generation_id,
        "baseUrl": record.base_url,
        "previewToken": launch.token,
        "expiresAt": rfc3339(record.expires_at),
        "healthCheckUrl": f"{record.base_url}{record.health_path}" if record.base_url else None,
    }


def status(facts: Facts) -> Json:
    """Answer to a question for the status; a failed preview also says why."""
    record = facts.record
    view: Json = {
        "previewInstanceId": record.id,
        "status": state_word(record.state),
        "baseUrl": record.base_url,
        "uptime": int(facts.uptime_s),
        "lastHealthCheck": time_of(record.last_health_check),
        "healthStatus": record.health.value,
        "createdAt": rfc3339(record.created_at),
        "expiresAt": rfc3339(record.expires_at),
        "generatedEndpoints": [
            {"method": one.method, "path": one.path, "description": one.description or one.summary}
            for one in facts.endpoints
        ],
        "steps": [step_fields(one, camel=True) for one in record.steps],
    } | camel_keys(held(facts.confinement))
    if record.state is State.FAILED:
        view |= {"reason": record.reason, "exitCode": record.exit_code, "exitSignal": record.exit_signal}
    return view


def stopped(record: PreviewRecord) -> Json | None:
    """Answer to a stop."""
    return {
        "status": "stopped",
        "message": "Preview instance stopped successfully",
        "stoppedAt": rfc3339(record.stopped_at or utc_now()),
    }


def endpoint(one: Endpoint) -> Json:
    """One endpoint; a schema key only where a schema is known."""
    view: Json = {"method": one.method, "path": one.path, "description": one.description or one.summary}
    if one.query:
        view["requestSchema"] = {"query": dict(one.query)}
    if one.request_body is not None:
        view["requestBody"] = one.request_body
    if one.response_schema is not None:
        view["responseSchema"] = one.response_schema
    return view


def endpoints(found: Sequence[Endpoint]) -> Json:
    """Return the list of endpoints."""
    return {"endpoints": [endpoint(one) for one in found]}


def proxied(call: Call) -> Json:
    """Return a preview's answer."""
    answer = call.answer
    content = content_of(answer)
    view: Json = {
        "statusCode": answer.status,
        "data": content.parsed if content.is_json else content.text,
        "headers": folded(answer.headers),
        "requestId": call.request_id,
        "log": None if call.log is None else camel_keys(call.log),
    }
    if content.encoding is not None:
        view["encoding"] = content.encoding
    return view


def config(settings: Settings, tier: Tier, record: PreviewRecord | None) -> Json:
    """Return the limits of this user."""
    del record
    return {
        "previewTimeout": whole(min(settings.max_uptime_s, tier.max_life_s)),
        "maxInstances": tier.max_previews,
        "sessionExpiry": whole(settings.session_timeout_s),
        "autoStopInactiveAfter": whole(settings.inactive_timeout_s),
        "environment": {"NODE_ENV": settings.node_env, "LOG_LEVEL": settings.log_level},
        "limitations": {
            "tier": tier.name,
            "maxConcurrentPreviews": tier.max_previews,
            "maxSessionDuration": whole(tier.max_life_s),
            "features": {"websocketLogs": tier.websocket_logs, "advancedMetrics": tier.advanced_metrics},
        },
    }


def ticket(value: str, expires_in_s: float) -> Json:
    """Return a stream ticket. Its keys are the contract's own, in this document too."""
    return {"ticket": value, "expires_in": whole(expires_in_s)}


def problem(error: Problem, *, instance: str, route: str) -> Json:
    """Return an error.

    Args:
        error: What happened.
        instance: Unused: this document has no field for it.
        route: Name of the route; ``launch`` and ``request`` have shapes of their own.
    """
    del instance
    if route == "request":
        return {"statusCode": error.status, "error": error.code, "message": error.detail} | _details(error, error.code)
    if error.is_launch:
        message = error.detail if error.detail.startswith("Cannot launch") else f"Cannot launch: {error.detail}"
        shown = message if route == "launch" else error.detail
        return {"status": "failed", "error": _LAUNCH_FAILED, "message": shown} | _details(error, _LAUNCH_FAILED)
    status = {"launch": "failed"}.get(route, "error")
    if error.status_in(Contract.PLAN) == 404:
        status = "not_found"
    return {"status": status, "error": error.code, "message": error.detail} | _details(error, error.code)


def _details(error: Problem, shown_code: str) -> Json:
    """``details`` where there are any; the exact code is among them where another one is shown."""
    details = camel_keys(error.details)
    if shown_code != error.code:
        details = {"reason": error.code} | details
    return {"details": details} if details else {}
