"""The audited routes: the one table of actions that are worth an entry, and how entries are made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any, cast

import structlog
import trio
from quart import Request, Response, Websocket

from preview.auth import Audit, AuditEntry, Identity
from preview.errors import DatabaseUnavailable

log = structlog.get_logger(__name__)

AUDITED: Mapping[str, str] = MappingProxyType(
    {
        "v1.launch": "launched",
        "plan.launch": "launched",
        "v1.stop": "stopped",
        "plan.stop": "stopped",
        "previews.restart": "restarted",
        "previews.new_token": "preview token created",
        "browser.open_": "open link created",
        "browser.share": "shared",
        "browser.revoke_share": "link revoked",
        "browser.set_access": "access changed",
        "browser.revoke_access": "access revoked",
        "together.join": "guest joined",
        "together.remove": "guest removed",
        "together.add_comment": "commented",
        "together.change_comment": "comment changed",
        "together.delete_comment": "comment deleted",
        "generations.create_generation": "project added",
        "examples.add_example": "project added",
        "imports.add_repository": "project added",
        "imports.update_from_repository": "files changed",
        "snapshots.fork": "project added",
        "generations.rename_generation": "project renamed",
        "generations.delete_generation": "project removed",
        "removed.restore": "project restored",
        "removed.delete": "project deleted",
        "files.replace_files": "files changed",
        "files.change_files": "files changed",
        "versions.restore": "version restored",
        "data.statement": "data queried",
        "data.reset": "data reset",
        "snapshots.restore": "data restored",
        "snapshots.save": "snapshot saved",
        "snapshots.delete": "snapshot deleted",
        "snapshots.undelete": "snapshot undeleted",
        "environment.replace": "settings changed",
        "environment.change": "settings changed",
        "environment.import_": "settings changed",
        "environment.set_secret": "secret set",
        "environment.delete_secret": "secret deleted",
        "saved.set_variable": "request variable set",
        "saved.delete_variable": "request variable deleted",
        "presets.add_preset": "preset changed",
        "presets.replace_preset": "preset changed",
        "presets.delete_preset": "preset deleted",
        "alerts.create_alert": "alert changed",
        "alerts.replace_alert": "alert changed",
        "alerts.delete_alert": "alert deleted",
        "account.create_token": "token created",
        "account.revoke_token": "token revoked",
        "session.login": "signed in",
        "session.exchange": "signed in",
        "session.from_provider": "signed in",
        "invitations.join": "joined",
        "e2b.create": "sandbox created",
        "e2b.connect": "sandbox opened",
        "e2b.kill": "sandbox ended",
        "operator.stop": "operator: preview stopped",
        "operator.remove_environment": "operator: environment removed",
        "operator.drop_template": "operator: template dropped",
        "operator.rebuild_template": "operator: template rebuilt",
        "operator.drain_node": "operator: node drained",
        "operator.resume_node": "operator: node resumed",
        "operator.change_tier": "operator: tier changed",
        "invitations.create": "operator: invitation created",
        "invitations.revoke": "operator: invitation revoked",
        "invitations.remove_member": "operator: person removed",
        "flags.replace": "operator: flag changed",
        "flags.reset": "operator: flag changed",
    }
)
"""Actions by the name of the route: each request is an entry, with its outcome."""

READ: Mapping[str, str] = MappingProxyType(
    {
        "data.databases": "data read",
        "data.rows": "data read",
        "snapshots.diff": "data read",
        "environment.read": "settings read",
        "operator.audit": "operator: audit read",
    }
)
"""Actions by the name of the route: one entry for the same person and thing in ten minutes, once it has succeeded."""

READ_BY_GUESTS: Mapping[str, str] = MappingProxyType(
    {
        "v1_logs.stream": "log read",
        "v1_history.history": "log read",
        "v1_log_sockets.socket": "log read",
        "v1_log_sockets.watch": "log read",
        "requests.list_requests": "requests read",
        "requests.one_request": "requests read",
        "traces.list_traces": "traces read",
        "traces.one_trace": "traces read",
        "events.of_generation": "events read",
        "failures.failures": "failures read",
        "failures.failure": "failures read",
        "failures.diagnosis": "failures read",
        "v1_proxy.request_": "request sent",
        "call_sockets.socket": "request sent",
        "call_sockets.talk": "request sent",
        "replay.one": "request sent",
    }
)
"""As ``READ``, for guests only, when they are let in: what others read of an owner's preview."""


_SUBJECTS = (
    "preview_id",
    "token_id",
    "invitation_id",
    "alert_id",
    "environment_id",
    "template_key",
    "node_name",
    "generation_id",
    "project_id",
    "name",
    "user_id",
)
_ENTRY = "preview.audit_entry"
_DETAIL = "preview.audit_detail"
_OWNER = "preview.audit_owner"
# An entry is no reason to keep a client waiting.
_PATIENCE_S = 2.0
_REFUSED, _FAILED = 400, 500

FindPreview = Callable[[Mapping[str, Any], str], str]
"""Returns the id of the live preview that a route's arguments are about; empty if there is none of this owner."""


@dataclass(frozen=True, slots=True)
class _Request:
    """The entry of a request, and whether it has been written down already."""

    entry: AuditEntry
    is_change: bool


def remember_caller(audit_log: Audit, asked: Request | Websocket, identity: Identity, find: FindPreview) -> None:
    """Write down who sends this request, if its route is audited, before it changes anything."""
    route, scope = asked.endpoint or "", cast("dict[str, Any]", asked.scope)
    action, is_change = AUDITED.get(route), route in AUDITED
    if action is None:
        action = READ.get(route) or (READ_BY_GUESTS.get(route) if identity.guest is not None else None)
    if isinstance(earlier := scope.pop(_ENTRY, None), _Request) and earlier.is_change:
        # A guest's browser may have a session of another user, too, which was tried first.
        audit_log.drop(earlier.entry)
    if action is None:
        return
    given = asked.view_args or {}
    guest = identity.guest
    entry = AuditEntry.new(
        identity.user.id if guest is None else f"guest {guest.name}",
        action,
        identity.user.id,
        subject=next((str(given[name]) for name in _SUBJECTS if name in given), ""),
        preview_id=find(given, identity.user.id) if guest is None else guest.preview_id,
        detail=f"{scope.get('method', 'GET')} {_path(asked.path, given)}",
        via=way_of(scope, identity),
        address=address_of(scope),
    )
    scope[_ENTRY] = _Request(entry, is_change)
    if is_change:
        audit_log.begin(entry)
    elif route in READ_BY_GUESTS:
        # A stream's response begins when it is let in, and may last for hours.
        audit_log.note_soon(entry)


def _path(path: str, given: Mapping[str, Any]) -> str:
    """Return the path without the code of a sign-in link, which is a secret until it is used."""
    return path.replace(given["code"], "CODE") if given.get("code") else path


def way_of(scope: Mapping[str, Any], identity: Identity) -> str:
    """Return the way in which a request has proved who sends it."""
    if identity.guest is not None:
        return f"share {identity.guest.share_id}"
    if identity.token_id is not None:
        return f"token {identity.token_id}"
    return "bearer" if any(name == b"authorization" for name, _ in scope.get("headers", ())) else "browser"


def address_of(scope: Mapping[str, Any]) -> str:
    """Return the client's address, as a trusted proxy reports it; empty on a unix socket."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def remember_detail(scope: Mapping[str, Any], detail: str) -> None:
    """Remember a few words for the request's entry: what its method and path do not say. Never a secret."""
    cast("dict[str, Any]", scope)[_DETAIL] = detail


def remember_owner(scope: Mapping[str, Any], owner_id: str) -> None:
    """Remember whom the request concerns, for its entry: another user than the caller."""
    cast("dict[str, Any]", scope)[_OWNER] = owner_id


async def audit(audit_log: Audit, request: Request, response: Response | None, find: FindPreview) -> None:
    """Store the entry of a request with its outcome. In an outage it is stored later, and the response is sent.

    Args:
        audit_log: Stores it.
        request: The request.
        response: Its response; None if its client left before: then the change may have been made.
        find: See ``FindPreview``.

    Cancellation: the entry is stored, within ``_PATIENCE_S`` seconds, or later.
    """
    scope = cast("dict[str, Any]", request.scope)
    earlier = scope.pop(_ENTRY, None)
    if not isinstance(earlier, _Request):
        return
    entry = _finished(earlier.entry, scope, response, partial(find, request.view_args or {}))
    if not earlier.is_change:
        if request.endpoint in READ and entry.outcome == "ok":
            audit_log.note_soon(entry)
        return
    try:
        with trio.move_on_after(_PATIENCE_S, shield=True) as patience:
            await audit_log.finish(entry)
    except DatabaseUnavailable as error:
        log.warning("audit entry waits", action=entry.action, user_id=entry.user_id, reason=error.message)
    if patience.cancelled_caught:
        log.warning("audit entry waits", action=entry.action, user_id=entry.user_id, reason="the database is slow")


def _finished(
    entry: AuditEntry, scope: Mapping[str, Any], response: Response | None, find: Callable[[str], str]
) -> AuditEntry:
    outcome, detail = "unknown", entry.detail
    if response is not None:
        status = response.status_code
        outcome = "failed" if status >= _FAILED else "refused" if status >= _REFUSED else "ok"
        detail += "" if outcome == "ok" else f" ({status})"
    else:
        detail += " (the client left before the response)"
    if outcome == "ok" and (more := scope.get(_DETAIL)):
        detail += f": {more}"
    made = AuditEntry.new(entry.user_id, entry.action, scope.get(_OWNER, entry.owner_id), detail=detail)
    preview_id = entry.preview_id or find(made.owner_id)
    return replace(entry, owner_id=made.owner_id, detail=made.detail, outcome=outcome, preview_id=preview_id)
