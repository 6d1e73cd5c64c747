"""Lines about previews in the service's own log: one per state change, one per call.

Operators search for the names in ``EVENTS``, so names and fields are stable. ``docs/settings.md`` lists them in a
table, and a test compares the two. No line contains a token, a query, a header or a body.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import structlog

from preview.core.lifecycle import State, StopCause
from preview.core.quoting import visible
from preview.storage.tables import PreviewRecord

log = structlog.get_logger(__name__)

_WHOSE = ("preview_id", "generation_id", "project_id", "user_id")
_END = (*_WHOSE, "by", "uptime_s", "reason", "exit_code", "exit_signal")

EVENTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "preview launched": _WHOSE,
        "preview running": (*_WHOSE, "uptime_s"),
        "preview crashed": (*_WHOSE, "reason", "restarts_in_s"),
        "preview stopped": _END,
        "preview expired": _END,
        "preview failed": _END,
        "call carried": (*_WHOSE, "request_id", "method", "path", "status", "code", "elapsed_ms"),
    }
)
"""Fields of each event, in the order of the table."""

# A reason may quote a few lines of output, which the preview's own log has in full. Escaping makes it at most six times
# as long.
_MAX_CHARS = 500

_BY_DEADLINE = {StopCause.EXPIRED: "deadline", StopCause.INACTIVE: "inactivity"}


def log_transition(record: PreviewRecord, *, uptime_s: float | None = None) -> None:
    """Log the new state of a preview; ``stopping`` is not logged, as the end follows.

    The cause of a stop is read from the record's reason, so rows left by a crash are logged in the same way.

    Args:
        record: The preview, in its new state.
        uptime_s: Seconds since the launch; None if unknown.
    """
    uptime_s = None if uptime_s is None else round(uptime_s, 3)
    if record.state is State.STARTING:
        _say("preview launched", record)
    elif record.state is State.RUNNING:
        _say("preview running", record, uptime_s=uptime_s)
    elif record.state is not State.STOPPING:
        event, by = _ending(record)
        _say(
            event,
            record,
            by=by,
            uptime_s=uptime_s,
            reason=record.reason,
            exit_code=record.exit_code,
            exit_signal=record.exit_signal,
        )


def log_crash(record: PreviewRecord, *, reason: str, restarts_in_s: float) -> None:
    """Log a crash after which the preview's process is started again."""
    _say("preview crashed", record, reason=reason, restarts_in_s=restarts_in_s)


def log_call(
    record: PreviewRecord,
    *,
    request_id: str,
    method: str,
    path: str,
    status: int | None,
    code: str | None,
    elapsed_s: float,
) -> None:
    """Log one call that was forwarded to a preview.

    Args:
        record: The preview.
        request_id: Id in the response.
        method: Method, in upper case.
        path: Path without the query.
        status: Status of the preview's response; None without a response.
        code: Error code if there was no response, else None.
        elapsed_s: Seconds from sending to the response.
    """
    elapsed_ms = round(elapsed_s * 1000, 1)
    _say(
        "call carried",
        record,
        request_id=request_id,
        method=method,
        path=path,
        status=status,
        code=code,
        elapsed_ms=elapsed_ms,
    )


def _ending(record: PreviewRecord) -> tuple[str, str]:
    """Return the event of an end, and who or what ended the preview."""
    cause = record.cause
    if cause in _BY_DEADLINE:
        return "preview expired", _BY_DEADLINE[cause]
    event = "preview failed" if record.state is State.FAILED else "preview stopped"
    if cause is StopCause.USER:
        # Only the owner may stop a preview.
        return event, record.user_id
    return event, "service" if cause is None else cause.value


def _say(event: str, record: PreviewRecord, **fields: str | float | None) -> None:
    whose = {
        "preview_id": record.id,
        "generation_id": record.generation_id,
        "project_id": record.project_id,
        "user_id": record.user_id,
    }
    said = {
        name: _on_one_line(value) if isinstance(value, str) else value for name, value in {**whose, **fields}.items()
    }
    log.info(event, **said)


def _on_one_line(text: str) -> str:
    """Bound and escape foreign text, because a host's own logging may print it as it is."""
    cut = text if len(text) <= _MAX_CHARS else f"{text[:_MAX_CHARS]}…"
    return visible(cut).replace("\n", "\\n").replace("\t", "\\t")
