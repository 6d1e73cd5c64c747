"""The audited routes: the one table of changes that are worth an entry, and how entries are made."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast

import structlog
import trio
from quart import Request, Response

from preview.auth import Audit, Identity
from preview.errors import DatabaseUnavailable

log = structlog.get_logger(__name__)

AUDITED: Mapping[str, str] = MappingProxyType(
    {
        "v1.launch": "launched",
        "plan.launch": "launched",
        "v1.stop": "stopped",
        "plan.stop": "stopped",
        "previews.restart": "restarted",
        "browser.share": "shared",
        "browser.revoke_share": "link revoked",
        "browser.set_access": "access changed",
        "browser.revoke_access": "access revoked",
        "together.remove": "guest removed",
        "generations.create_generation": "project added",
        "examples.add_example": "project added",
        "snapshots.fork": "project added",
        "generations.rename_generation": "project renamed",
        "generations.delete_generation": "project removed",
        "removed.restore": "project restored",
        "removed.delete": "project deleted",
        "files.replace_files": "files changed",
        "files.change_files": "files changed",
        "versions.restore": "version restored",
        "data.reset": "data reset",
        "snapshots.restore": "data restored",
        "snapshots.delete": "snapshot deleted",
        "snapshots.undelete": "snapshot brought back",
        "environment.replace": "settings changed",
        "environment.change": "settings changed",
        "environment.import_": "settings changed",
        "environment.set_secret": "secret set",
        "environment.delete_secret": "secret deleted",
        "presets.add_preset": "preset changed",
        "presets.replace_preset": "preset changed",
        "presets.delete_preset": "preset deleted",
        "alerts.create_alert": "alert changed",
        "alerts.replace_alert": "alert changed",
        "alerts.delete_alert": "alert deleted",
        "account.create_token": "token made",
        "account.revoke_token": "token revoked",
        "session.exchange": "signed in",
        "e2b.create": "sandbox made",
        "e2b.kill": "sandbox ended",
        "operator.stop": "operator: preview stopped",
        "operator.remove_environment": "operator: environment removed",
    }
)
"""Actions by the name of the route. Requests to previews, comments and reading are not audited."""

_SUBJECTS = ("preview_id", "token_id", "alert_id", "environment_id", "generation_id", "project_id", "name")
_CALLER = "preview.caller"
_DETAIL = "preview.audit_detail"
_LEFT = " (the client left before the response)"
# An entry is no reason to keep a client waiting.
_PATIENCE_S = 2.0


def remember_caller(scope: Mapping[str, Any], identity: Identity) -> None:
    """Remember who sends this request, for its entry."""
    cast("dict[str, Any]", scope)[_CALLER] = identity


def remember_detail(scope: Mapping[str, Any], detail: str) -> None:
    """Remember a few words for the request's entry: what its method and path do not say. Never a secret."""
    cast("dict[str, Any]", scope)[_DETAIL] = detail


async def audit(audit_log: Audit, request: Request, response: Response | None) -> None:
    """Store an entry about a change that has succeeded. An outage is logged, and the response is sent nevertheless.

    Args:
        audit_log: Stores it.
        request: The request.
        response: Its response; None if its client left before: then the change may have been made.

    Cancellation: the entry is stored, within ``_PATIENCE_S`` seconds.
    """
    action, caller = AUDITED.get(request.endpoint or ""), request.scope.get(_CALLER)
    if action is None or not isinstance(caller, Identity) or (response is not None and response.status_code >= 300):
        return
    more = request.scope.get(_DETAIL)
    detail = f"{request.method} {request.path}" + (f": {more}" if more else "")
    detail += "" if response is not None else _LEFT
    given = request.view_args or {}
    subject = next((str(given[name]) for name in _SUBJECTS if name in given), "")
    who = caller.user.id if caller.guest is None else f"guest {caller.guest.name}"
    try:
        with trio.move_on_after(_PATIENCE_S, shield=True) as scope:
            await audit_log.note(who, action, subject, detail)
    except DatabaseUnavailable as error:
        log.warning("audit entry lost", action=action, user_id=who, error=error.message)
    if scope.cancelled_caught:
        log.warning("audit entry lost", action=action, user_id=who, error="the database is slow")
