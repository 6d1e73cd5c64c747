"""The document as the readable page shows it."""

from __future__ import annotations

import json
from typing import Any

_ORDER = ("get", "post", "put", "patch", "delete")


def operations_of(document: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Operations by tag, in the order of the document, with schemas as indented JSON."""
    groups: dict[str, list[dict[str, Any]]] = {}
    schemas = document["components"]["schemas"]
    for path, methods in document["paths"].items():
        for method in sorted(methods, key=_ORDER.index):
            operation = methods[method]
            groups.setdefault(operation["tags"][0], []).append(
                {
                    "method": method.upper(),
                    "path": path,
                    "anchor": operation["operationId"],
                    "summary": operation["summary"],
                    "description": operation["description"],
                    "parameters": operation["parameters"],
                    "body": _body(operation, schemas),
                    "responses": [
                        {"status": status, "about": one["description"], "schema": _content(one, schemas)}
                        for status, one in sorted(operation["responses"].items())
                    ],
                    "is_open": not operation["security"],
                }
            )
    return groups


def _body(operation: dict[str, Any], schemas: dict[str, Any]) -> str | None:
    return _content(operation["requestBody"], schemas) if "requestBody" in operation else None


def _content(holder: dict[str, Any], schemas: dict[str, Any]) -> str | None:
    """The fields of a JSON object, one a line; None where there is nothing to show."""
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
    # Deep enough for every shape of ours; a shape that names itself would not end.
    if "properties" in schema and depth < 5:
        return {name: _fields(one, schemas, depth + 1) for name, one in schema["properties"].items()}
    if schema.get("type") == "array":
        return [_fields(schema.get("items", {}), schemas, depth + 1)]
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    return schema.get("const") or schema.get("type") or "any"
