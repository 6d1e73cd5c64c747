"""The routes that guests of a share link, and API tokens, may use by role: the one table. Others are denied.

A test walks all routes of the OpenAPI document with each role.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from preview.auth import Role, TokenRole

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
        "traces.list_traces",
        "traces.one_trace",
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
    "saved.list_variables",
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

# Routes by the least role of an API token that may use them; all others need ``admin``. Reading is only what shows no
# variable of a project, no link to a preview and no address of a webhook.
_BY_TOKEN_ROLE: Mapping[TokenRole, frozenset[str]] = MappingProxyType(
    {
        TokenRole.READ: frozenset(
            {
                "account.usage",
                "agents.serve",
                "checks.read",
                "data.databases",
                "data.rows",
                "events.events",
                "events.of_generation",
                "examples.list_examples",
                "failures.diagnosis",
                "failures.failure",
                "failures.failures",
                "files.download",
                "files.get_file",
                "files.list_files",
                "filters.explain",
                "firings.preview_firings",
                "generations.get_generation",
                "generations.list_generations",
                "launches.compare_launches",
                "launches.get_launch",
                "launches.list_launches",
                "metrics.show",
                "plan.config",
                "plan.endpoints",
                "plan.preview_endpoints",
                "plan.status",
                "plan_history.history",
                "plan_log_sockets.socket",
                "plan_log_sockets.watch",
                "plan_logs.stream",
                "plans.plan",
                "previews.get_preview",
                "previews.list_previews",
                "previews.services",
                "probes.last",
                "profiles.last",
                "removed.list_removed",
                "requests.capture",
                "requests.list_requests",
                "requests.one_request",
                "session.who",
                "snapshots.diff",
                "snapshots.list_removed",
                "snapshots.list_snapshots",
                "together.list_comments",
                "together.me",
                "together.viewers",
                "traces.list_traces",
                "traces.one_trace",
                "traces.reported_metrics",
                "v1.config",
                "v1.endpoints",
                "v1.preview_endpoints",
                "v1.status",
                "v1_history.history",
                "v1_log_sockets.socket",
                "v1_log_sockets.watch",
                "v1_logs.stream",
                "versions.diff",
                "versions.get_version",
                "versions.list_versions",
            }
        ),
        TokenRole.USE: frozenset(
            {
                "browser.open_",
                "call_sockets.socket",
                "call_sockets.talk",
                "checks.run",
                "data.statement",
                "firings.try_alert",
                "plan_logs.ticket",
                "plan_proxy.request_",
                "previews.new_token",
                "probes.start",
                "probes.stop",
                "profiles.start",
                "replay.compare_",
                "replay.one",
                "replay.several",
                "requests.pin",
                "requests.unpin",
                "saved.delete_saved",
                "saved.delete_variable",
                "saved.list_saved",
                "saved.list_variables",
                "saved.save_request",
                "saved.set_variable",
                "together.add_comment",
                "together.change_comment",
                "together.change_me",
                "together.delete_comment",
                "together.leave",
                "v1_logs.ticket",
                "v1_proxy.request_",
            }
        ),
        TokenRole.LAUNCH: frozenset(
            {
                "alerts.get_alert",
                "alerts.list_alerts",
                "alerts.list_firings",
                "browser.access",
                "checks.save",
                "checks.write",
                "data.reset",
                "environment.compare",
                "environment.read",
                "environment.secret",
                "examples.add_example",
                "files.change_files",
                "files.replace_files",
                "generations.create_generation",
                "generations.rename_generation",
                "imports.add_repository",
                "imports.import_source",
                "imports.update_from_repository",
                "plan.launch",
                "plan.stop",
                "presets.list_presets",
                "previews.extend",
                "previews.restart",
                "replay.import_",
                "requests.set_capture",
                "snapshots.fork",
                "snapshots.restore",
                "snapshots.save",
                "v1.launch",
                "v1.stop",
                "versions.restore",
            }
        ),
    }
)
MEMBER_ROUTES = frozenset(
    {
        "account.audit",
        "account.create_token",
        "account.list_tokens",
        "account.revoke_token",
        "session.exchange",
        "session.logout",
    }
)
"""Routes of their own account, which invited people of each role may use. Their tokens have no role above their own."""

_ROLE_OF = {name: role for role, names in _BY_TOKEN_ROLE.items() for name in names}


def role_needed(route: str | None) -> TokenRole:
    """Return the least role of an API token that may use the route of this name."""
    return _ROLE_OF.get(route or "", TokenRole.ADMIN)
