"""``/openapi.json`` and ``/docs``."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from quart import Quart, Response, render_template_string, send_from_directory
from quart_schema import APIKeySecurityScheme, HttpSecurityScheme, Info, QuartSchema

from preview.http.core.page_policy import new_nonce, page_policy
from preview.http.openapi.page import operations_of
from preview.http.openapi.provider import Provider
from preview.proxy.headers import SERVICE_COOKIE

_HERE = Path(__file__).parent
_TEMPLATE = (_HERE / "docs.html").read_text(encoding="utf-8")

_ABOUT = (
    "Launch generated backends in isolation, watch every line they print, call them, and leave nothing behind. "
    "The API has two forms of one meaning: `plan` under `/api/generations`, `v1` under `/api/v1`."
)


def install_openapi(app: Quart) -> None:
    """Register both. The document's own pages would load scripts from other hosts; ours loads nothing."""
    schema = QuartSchema(
        openapi_path="/openapi.json",
        redoc_ui_path=None,
        scalar_ui_path=None,
        swagger_ui_path=None,
        info=Info(title="preview", version=version("preview"), description=_ABOUT),
        security_schemes={
            "bearer": HttpSecurityScheme(scheme="bearer", bearer_format="JWT"),
            # The name goes on with what is the service's own; a document is made before that is known.
            "session": APIKeySecurityScheme(name=SERVICE_COOKIE, in_="cookie"),
            "ticket": APIKeySecurityScheme(name="ticket", in_="query"),
        },
        openapi_provider_class=Provider,
    )
    schema.init_app(app)

    async def docs() -> Response:
        """The API, readable."""
        document = schema.openapi_provider.schema()
        nonce, groups = new_nonce(), operations_of(document)
        html = await render_template_string(_TEMPLATE, info=document["info"], groups=groups, nonce=nonce)
        headers = {"Content-Security-Policy": page_policy(nonce)}
        return Response(html, headers=headers, content_type="text/html; charset=utf-8")

    async def docs_style() -> Response:
        """The style of that page."""
        response = await send_from_directory(_HERE, "docs.css")
        response.headers["Cache-Control"] = "no-cache"
        return response

    app.add_url_rule("/docs", "docs", docs, methods=["GET"])
    app.add_url_rule("/docs/style.css", "docs_style", docs_style, methods=["GET"])
