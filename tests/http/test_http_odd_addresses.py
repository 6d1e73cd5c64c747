"""Odd texts in addresses are refused or not found, on PostgreSQL too, which refuses NUL in its texts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from http_kit import FILES, open_world

_ODD = "a%00b"
_STREAMS = re.compile(r"/(stream|ws|events|viewers)$")


def odd_addresses(document: dict[str, Any], generation_id: str) -> Iterator[tuple[str, str]]:
    """Method and address of each route with odd texts for all but the generation's id; nothing is really removed."""
    for path, methods in document["paths"].items():
        address = path.replace("{generation_id}", generation_id)
        odd = re.sub(r"\{\w+\}", _ODD, address)
        for method, one in methods.items():
            if not path.startswith("/api/v1") or _STREAMS.search(path):
                continue
            if odd != address and method in {"get", "put", "delete"}:
                yield method, odd
            elif odd == address and method == "get":
                for item in one.get("parameters", []):
                    if item["in"] == "query" and item["schema"].get("type") != "integer":
                        yield method, f"{address}?{item['name']}={_ODD}"


async def test_nul_in_an_address_is_no_internal_error(postgres_database_url: str, tmp_path: Path) -> None:
    async with open_world(tmp_path, database_url=postgres_database_url) as world:
        generation = await world.keep(FILES)
        await world.launch(generation)
        document = (await world.client.get("/openapi.json")).json()
        addresses = list(odd_addresses(document, generation))
        assert len(addresses) > 60
        for method, address in addresses:
            answer = await world.ask(method.upper(), address, {} if method == "put" else None)
            assert answer.status_code < 500, (method, address)
        assert (await world.ask("GET", f"/api/v1/generations/{generation}/preview/status")).status_code == 200
