"""Contract ``v1``: snake_case, prefix ``/api/v1``, errors by RFC 9457."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from preview.auth import Identity, Share
from preview.core.clock import rfc3339, rfc3339_ms
from preview.core.launch_steps import step_fields
from preview.core.lifecycle import State, cause_of
from preview.endpoints import Endpoint
from preview.generations import Generation, StoredFile
from preview.http.contracts.facts import Call, Facts, Json, content_of, folded, time_of, whole
from preview.http.contracts.held import held
from preview.http.core.errors import Problem, problem_of
from preview.http.edits import Saved
from preview.logs import Contract
from preview.settings import Settings, Tier
from preview.storage.tables import PreviewRecord
from preview.supervisor import Confinement
from preview.supervisor.preview.control import Launched

LAUNCH_STATUS = 201

_MIB = 1024 * 1024


def state_word(state: State) -> str:
    """Translate a state to this contract's word."""
    return state.value


def launched(launch: Launched) -> Json:
    """Answer to a launch."""
    record = launch.record
    return {
        "id": record.id,
        "generation_id": record.generation_id,
        "user_id": record.user_id,
        "project_id": record.project_id,
        "status": record.state.value,
        "port": record.port,
        "base_url": record.base_url,
        "session_token": launch.token,
        "created_at": rfc3339(record.created_at),
    }


def status(facts: Facts) -> Json:
    """Answer to a question for the status; a failed preview also says why."""
    record, usage = facts.record, facts.usage
    view: Json = {
        "id": record.id,
        "status": record.state.value,
        "port": record.port,
        "base_url": record.base_url,
        "uptime_seconds": int(facts.uptime_s),
        "memory_usage_mb": None if usage is None else round(usage.memory_bytes / _MIB, 1),
        "cpu_usage_percent": None if usage is None else round(usage.cpu_percent, 1),
        "health": record.health.value,
        "started_at": time_of(record.started_at),
        "steps": [step_fields(one, camel=False) for one in record.steps],
    } | held(facts.confinement)
    if record.state is State.FAILED:
        view |= {"reason": record.reason, "exit_code": record.exit_code, "exit_signal": record.exit_signal}
    return view


def instance(record: PreviewRecord) -> Json:
    """Return a preview, with everything that its owner may know."""
    return {
        "id": record.id,
        "generation_id": record.generation_id,
        "user_id": record.user_id,
        "project_id": record.project_id,
        "status": record.state.value,
        "health": record.health.value,
        "port": record.port,
        "base_url": record.base_url,
        "created_at": rfc3339(record.created_at),
        "started_at": time_of(record.started_at),
        "stopped_at": time_of(record.stopped_at),
        "expires_at": rfc3339(record.expires_at),
        "reason": record.reason,
        "cause": cause_of(record.state, record.reason),
        "exit_code": record.exit_code,
        "exit_signal": record.exit_signal,
    }


def watched_instance(record: PreviewRecord, confinement: Confinement | None, watchers: int) -> Json:
    """One preview: as ``instance``, with its isolation, the steps of its launch and its watchers."""
    steps = [step_fields(one, camel=False) for one in record.steps]
    return instance(record) | held(confinement) | {"steps": steps, "watchers": watchers}


def stopped(record: PreviewRecord) -> Json | None:
    """Answer to a stop: none (204)."""
    del record
    return None


def endpoint(one: Endpoint) -> Json:
    """One endpoint."""
    return {
        "path": one.path,
        "method": one.method,
        "summary": one.summary,
        "description": one.description,
        "tags": list(one.tags),
    }


def endpoints(found: Sequence[Endpoint]) -> Json:
    """Return the list of endpoints."""
    return {"endpoints": [endpoint(one) for one in found], "count": len(found)}


def proxied(call: Call) -> Json:
    """Return a preview's answer."""
    answer = call.answer
    content = content_of(answer)
    view: Json = {
        "status_code": answer.status,
        "headers": folded(answer.headers),
        "body": content.text,
        "elapsed_ms": answer.elapsed_ms,
        "request_id": call.request_id,
        "log": call.log,
    }
    if content.encoding is not None:
        view["encoding"] = content.encoding
    return view


def config(settings: Settings, tier: Tier, record: PreviewRecord | None) -> Json:
    """Return the limits of this user, and the address of their preview, if any."""
    return {
        "port": None if record is None else record.port,
        "base_url": None if record is None else record.base_url,
        "session_timeout": whole(settings.session_timeout_s),
        "max_uptime": whole(min(settings.max_uptime_s, tier.max_life_s)),
        "memory_limit_mb": settings.memory_limit_mb,
        "timeout_seconds": whole(settings.startup_timeout_s),
    }


def ticket(value: str, expires_in_s: float) -> Json:
    """Return a stream ticket."""
    return {"ticket": value, "expires_in": whole(expires_in_s)}


def preview_token(token: str, record: PreviewRecord) -> Json:
    """Return a further preview token."""
    return {"session_token": token, "expires_at": rfc3339(record.token_expires_at)}


def open_link(url: str, address: str, expires_in_s: float) -> Json:
    """Return a link that opens a preview once, and its target."""
    return {"url": url, "address": address, "expires_in": whole(expires_in_s)}


def share_link(one: Share, url: str) -> Json:
    """Return a share link."""
    return {
        "id": one.id,
        "url": url,
        "created_at": rfc3339_ms(int(one.created_at * 1000)),
        "expires_at": rfc3339_ms(int(one.expires_at * 1000)),
    }


def access(address: str, public: bool, shares: Iterable[tuple[Share, str]]) -> Json:
    """Describe the access to a preview in a browser."""
    return {"address": address, "public": public, "shares": [share_link(one, url) for one, url in shares]}


def session(identity: Identity) -> Json:
    """Describe the session's user."""
    return {"user_id": identity.user.id, "tier": identity.user.tier, "expires_at": time_of(identity.expires_at)}


def generation(one: Generation, files: Iterable[tuple[str, int]] | None = None) -> Json:
    """Return a generation; with its files' paths and sizes if given."""
    view: Json = {
        "id": one.id,
        "project_id": one.project_id,
        "user_id": one.user_id,
        "name": one.name,
        "created_at": rfc3339(one.created_at),
        "file_count": one.file_count,
        "size_bytes": one.size_bytes,
    }
    if files is not None:
        view["files"] = [{"path": path, "size_bytes": size} for path, size in files]
    return view


def file_list(files: Iterable[StoredFile], tag: str) -> Json:
    """Return a generation's files."""
    listed = [{"path": one.path, "size_bytes": one.size_bytes, "sha256": one.sha256} for one in files]
    return {"files": listed, "etag": tag}


def files_changed(saved: Saved, tag: str) -> Json:
    """Answer to a change of files: what is different now, and what became of the preview."""
    edited, reload = saved.edited, saved.reload
    shown: Json = {
        "status": reload.status,
        "preview_id": reload.preview_id,
        "elapsed_ms": round(reload.elapsed_s * 1000, 1),
        "error": None,
    }
    if reload.error is not None:
        told = problem_of(reload.error)
        shown["error"] = {"code": told.code, "detail": told.detail, "details": dict(told.details)}
    return {
        "generation_id": edited.generation.id,
        "changed": sorted(edited.written),
        "removed": list(edited.removed),
        "file_count": edited.generation.file_count,
        "size_bytes": edited.generation.size_bytes,
        "etag": tag,
        "reload": shown,
    }


def problem(error: Problem, *, instance: str, route: str) -> Json:
    """Return an error as RFC 9457 requires, with a stable ``code`` and machine-readable ``details``.

    Args:
        error: What happened.
        instance: Path of the request.
        route: Unused: all routes share one shape.
    """
    del route
    return {
        "type": f"urn:preview:problem:{error.code}",
        "title": error.title,
        "status": error.status_in(Contract.V1),
        "detail": error.detail,
        "instance": instance,
        "code": error.code,
        "details": dict(error.details),
    }
