"""Print the OpenAPI document of contract v1, without the schemas that it does not use.

    uv run python scripts/openapi.py [--schemas] > openapi.json

With ``--schemas`` it has no paths. The TypeScript client's types are generated from that.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import trio

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from preview.http import create_app
from preview.settings import load_settings

_SCHEMA = re.compile(r'"#/components/schemas/([^"]+)"')


async def read_document() -> dict[str, Any]:
    """Return the document that a service answers under ``/openapi.json``."""
    answer = await create_app(load_settings()).test_client().get("/openapi.json")
    document: dict[str, Any] = json.loads(await answer.get_data())
    return document


def only_v1(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with the operations that have the tag ``v1``, and the schemas that these use."""
    kept = {
        path: {method: one for method, one in methods.items() if "v1" in one["tags"]}
        for path, methods in document["paths"].items()
    }
    paths = {path: methods for path, methods in sorted(kept.items()) if methods}
    schemas, used = document["components"]["schemas"], set[str]()
    wanted = set(_SCHEMA.findall(json.dumps(paths)))
    while wanted:
        used |= wanted
        wanted = {name for one in wanted for name in _SCHEMA.findall(json.dumps(schemas[one]))} - used
    return {
        "openapi": document["openapi"],
        # The version of the service is not part of the types.
        "info": {"title": "preview", "version": "v1"},
        "paths": paths,
        "components": {"schemas": {name: schemas[name] for name in sorted(used)}},
    }


if __name__ == "__main__":
    found = only_v1(trio.run(read_document))
    json.dump(found | ({"paths": {}} if "--schemas" in sys.argv else {}), sys.stdout, indent=1, sort_keys=True)
