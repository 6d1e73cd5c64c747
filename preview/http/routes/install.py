"""All routes, registered; ``openapi.operations`` says what the document shows of each."""

from __future__ import annotations

from quart import Quart

from preview.http.routes.browser import browser_routes, page_routes, session_routes
from preview.http.routes.generations import file_routes, generation_routes
from preview.http.routes.logs import history_routes, log_routes, log_socket_routes
from preview.http.routes.previews import PREFIXES, preview_routes, previews_routes
from preview.http.routes.proxied import proxy_routes
from preview.http.routes.system import plan_routes, system_routes
from preview.logs import Contract


def install_routes(app: Quart) -> None:
    """Register them: the seven endpoints in both contracts, then what only ``v1`` has, then the rest."""
    for contract in Contract:
        for routes in (preview_routes, log_routes, log_socket_routes, history_routes, proxy_routes):
            app.register_blueprint(routes(contract), url_prefix=PREFIXES[contract])
    app.register_blueprint(previews_routes(), url_prefix="/api/v1")
    app.register_blueprint(browser_routes(), url_prefix="/api/v1")
    app.register_blueprint(generation_routes(), url_prefix="/api/v1")
    app.register_blueprint(file_routes(), url_prefix="/api/v1")
    app.register_blueprint(plan_routes(), url_prefix="/api/v1")
    app.register_blueprint(session_routes())
    app.register_blueprint(system_routes())
    app.register_blueprint(page_routes())
