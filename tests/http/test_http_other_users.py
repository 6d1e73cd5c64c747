"""Another user gets one answer on each route that explains a preview, whether or not there is anything to explain."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from http_kit import open_world

_BASE = "/api/v1/generations/{generation_id}/preview/"
_PARTS = (
    *("requests", "replay", "compare", "checks", "capture", "failures", "diagnosis", "alerts", "probe", "import"),
    *("snapshots", "data"),
)
_METHODS = {"get", "put", "post", "patch", "delete"}


def operations(document: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (method.upper(), re.sub(r"\{(?!generation_id)[^}]*\}", "1", path))
        for path, item in document["paths"].items()
        if path.startswith(_BASE) and path.removeprefix(_BASE).split("/")[0] in _PARTS
        for method in item
        if method in _METHODS
    ]


async def test_another_user_learns_nothing_from_any_route_that_explains_a_preview(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        made = await world.keep({"main.py": "print(1)\n"})
        document = (await world.ask("GET", "/openapi.json")).json()
        found = operations(document)
        assert len(found) > 10, sorted(document["paths"])
        answers = {}
        for method, path in found:
            answer = await world.ask(method, path.replace("{generation_id}", made), {}, user="bob")
            answers[f"{method} {path}"] = (answer.status_code, answer.json()["code"], answer.json()["detail"])
        expected = (404, "generation_not_found", f"There is no generation {made!r}.")
        assert {place: answer for place, answer in answers.items() if answer != expected} == {}
        anonymous = [(await world.ask(method, path, {}, user=None)).status_code for method, path in found]
        assert set(anonymous) == {401}
