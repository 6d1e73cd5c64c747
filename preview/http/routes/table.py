"""Table of the routes: each below its prefix."""

from __future__ import annotations

from collections.abc import Callable

from quart import Quart
from quart.routing import QuartRule

from preview.http.backend import Backend
from preview.http.browser.addresses import PreviewAddresses
from preview.http.routes.alerts import alert_routes, firing_routes
from preview.http.routes.browser import browser_routes, page_routes
from preview.http.routes.calls import call_socket_routes, proxy_routes, saved_routes
from preview.http.routes.checks import check_routes
from preview.http.routes.data import data_routes, snapshot_routes
from preview.http.routes.failures import failure_routes
from preview.http.routes.filters import filter_routes
from preview.http.routes.generations import (
    example_routes,
    file_routes,
    generation_routes,
    import_routes,
    launch_routes,
    metrics_routes,
    profile_routes,
    removed_routes,
    trace_routes,
    version_routes,
)
from preview.http.routes.launch_settings import environment_routes, preset_routes
from preview.http.routes.logs import history_routes, log_routes, log_socket_routes
from preview.http.routes.people import (
    account_routes,
    agent_routes,
    event_routes,
    flag_routes,
    invitation_routes,
    operator_routes,
    session_routes,
    together_routes,
)
from preview.http.routes.previews import PREFIXES, preview_routes, previews_routes
from preview.http.routes.probes import probe_routes
from preview.http.routes.replay import replay_routes
from preview.http.routes.requests import request_routes
from preview.http.routes.system import plan_routes, system_routes
from preview.logs import Contract


class MatchedRule(QuartRule):
    """A route that requests are matched with: nothing here builds an address from a route.

    Werkzeug compiles two functions for each route that would build its address. For all routes that takes 45 ms of
    each start. A Werkzeug that has no such method compiles them as before.
    """

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:  # noqa: ARG002
        return _build_no_address


def _build_no_address(*_: object, **__: object) -> tuple[str, str]:
    raise NotImplementedError("addresses are not built from routes")


def install_routes(app: Quart, running: Callable[[], Backend], places: PreviewAddresses) -> None:
    """Register the seven endpoints in both contracts, then the routes of ``v1`` only, then the others.

    Args:
        app: The application.
        running: Returns the backend while the application runs.
        places: Where the browser reaches previews.
    """
    for contract in Contract:
        for routes in (preview_routes, log_routes, log_socket_routes, history_routes, proxy_routes):
            app.register_blueprint(routes(contract, running), url_prefix=PREFIXES[contract])
    app.register_blueprint(browser_routes(running, places), url_prefix="/api/v1")
    of_v1 = (
        previews_routes,
        generation_routes,
        example_routes,
        import_routes,
        file_routes,
        removed_routes,
        version_routes,
        launch_routes,
        plan_routes,
        alert_routes,
        filter_routes,
    )
    for made in (one(running) for one in of_v1):
        app.register_blueprint(made, url_prefix="/api/v1")
    of_preview = (
        data_routes,
        snapshot_routes,
        probe_routes,
        failure_routes,
        metrics_routes,
        trace_routes,
        profile_routes,
        request_routes,
        replay_routes,
        check_routes,
        firing_routes,
        together_routes,
        call_socket_routes,
        saved_routes,
    )
    for made in (one(running) for one in of_preview):
        app.register_blueprint(made, url_prefix=PREFIXES[Contract.V1])
    for made in (environment_routes(running), preset_routes(running)):
        app.register_blueprint(made, url_prefix="/api/v1/projects/<project_id>")
    of_people = (account_routes, event_routes, operator_routes, flag_routes, invitation_routes)
    for made in (one(running) for one in of_people):
        app.register_blueprint(made, url_prefix="/api/v1")
    for made in (session_routes(running), system_routes(running), agent_routes(running), page_routes(running)):
        app.register_blueprint(made)
