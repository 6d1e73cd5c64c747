"""The routes ``/openapi.json`` and ``/docs``."""

from __future__ import annotations

import json
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from quart import Quart, Response, render_template_string, send_from_directory
from quart_schema import APIKeySecurityScheme, HttpSecurityScheme, Info, QuartSchema

from preview.http.core.page_policy import new_nonce, page_policy
from preview.http.openapi.provider import Provider
from preview.proxy.headers import SERVICE_COOKIE

_ORDER = ("get", "post", "put", "patch", "delete")


def operations_of(document: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Group operations by tag, in the order of the document, each with its method and path."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, methods in document["paths"].items():
        for method in sorted(methods, key=_ORDER.index):
            named = {"method": method.upper(), "path": path, **methods[method]}
            groups.setdefault(named["tags"][0], []).append(named)
    return groups


def _shape(schemas: dict[str, Any], holder: dict[str, Any]) -> str | None:
    """Return the fields of the JSON object in a body or a response, one per line; None if there is nothing to show."""
    for kind, content in holder.get("content", {}).items():
        name = content["schema"].get("$ref", "").rpartition("/")[2]
        if "json" in kind and name and name not in {"Problem", "PlanError", "PlanProxyError"}:
            return json.dumps(_fields(schemas[name], schemas, depth=0), indent=2, ensure_ascii=False)
    return None


def _fields(schema: dict[str, Any], schemas: dict[str, Any], depth: int) -> Any:
    if "$ref" in schema:
        return _fields(schemas[schema["$ref"].rpartition("/")[2]], schemas, depth)
    if "anyOf" in schema:
        kinds = [_fields(one, schemas, depth) for one in schema["anyOf"]]
        return kinds[0] if len(kinds) == 1 else " or ".join(one if isinstance(one, str) else "object" for one in kinds)
    # Deep enough for every schema here; a recursive schema would not end.
    if "properties" in schema and depth < 5:
        return {name: _fields(one, schemas, depth + 1) for name, one in schema["properties"].items()}
    if schema.get("type") == "array":
        return [_fields(schema.get("items", {}), schemas, depth + 1)]
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    return schema.get("const") or schema.get("type") or "any"


_HERE = Path(__file__).parent
_TEMPLATE = (_HERE / "docs.html").read_text(encoding="utf-8")

_ABOUT = (
    "Launch generated backends in isolation, watch every line they print, call them, and leave nothing behind. "
    "The API has two forms with the same meaning: `plan` under `/api/generations`, `v1` under `/api/v1`."
)


def install_openapi(app: Quart) -> None:
    """Register both routes. The library's own pages load scripts from other hosts; this one loads nothing."""
    schema = QuartSchema(
        openapi_path="/openapi.json",
        redoc_ui_path=None,
        scalar_ui_path=None,
        swagger_ui_path=None,
        info=Info(title="preview", version=version("preview"), description=_ABOUT),
        security_schemes={
            "bearer": HttpSecurityScheme(scheme="bearer", bearer_format="JWT"),
            # Each service adds a suffix to this name, which is unknown when the document is made.
            "session": APIKeySecurityScheme(name=SERVICE_COOKIE, in_="cookie"),
            "ticket": APIKeySecurityScheme(name="ticket", in_="query"),
        },
        openapi_provider_class=Provider,
    )
    schema.init_app(app)

    async def docs() -> Response:
        """Return the readable API documentation."""
        document = schema.openapi_provider.schema()
        nonce, shape = new_nonce(), partial(_shape, document["components"]["schemas"])
        groups = operations_of(document)
        html = await render_template_string(_TEMPLATE, info=document["info"], groups=groups, shape=shape, nonce=nonce)
        headers = {"Content-Security-Policy": page_policy(nonce)}
        return Response(html, headers=headers, content_type="text/html; charset=utf-8")

    async def docs_style() -> Response:
        """Return the style sheet of the documentation page."""
        response = await send_from_directory(_HERE, "docs.css")
        response.headers["Cache-Control"] = "no-cache"
        return response

    app.add_url_rule("/docs", "docs", docs, methods=["GET"])
    app.add_url_rule("/docs/style.css", "docs_style", docs_style, methods=["GET"])
