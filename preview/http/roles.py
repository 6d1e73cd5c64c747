"""The routes that guests of a share link may use, by role: the one table. A route that is not in it is denied.

A test walks all routes of the OpenAPI document with each role.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from preview.auth import Role

_WATCH = frozenset(
    {
        "v1.status",
        "v1.endpoints",
        "v1.preview_endpoints",
        "v1_logs.stream",
        "v1_history.history",
        "v1_log_sockets.socket",
        "v1_log_sockets.watch",
        "requests.list_requests",
        "requests.one_request",
        "failures.failures",
        "failures.failure",
        "failures.diagnosis",
        "events.of_generation",
        "together.me",
        "together.change_me",
        "together.viewers",
        "together.leave",
        "together.list_comments",
    }
)
_USE = _WATCH | {
    "v1_proxy.request_",
    "call_sockets.socket",
    "call_sockets.talk",
    "saved.list_saved",
    # On a trial only; see the route.
    "replay.one",
    "together.add_comment",
    "together.change_comment",
    # Their own comments only; see the route.
    "together.delete_comment",
}

GUEST_ROUTES: Mapping[Role, frozenset[str]] = MappingProxyType(
    {Role.OPEN: frozenset(), Role.WATCH: _WATCH, Role.USE: _USE}
)
"""Names of routes by role. Owners may use all routes of their own; operators see ``routes.people.operator``."""

ENDS_BY_ITSELF = frozenset({"together.viewers"})
"""Streams that tell a removed guest so, and then end. All other open requests of a removed guest are cut off."""
