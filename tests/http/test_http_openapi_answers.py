"""What the service really answers is what its OpenAPI document says: every key named, none left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from http_kit import CRASHING, FILES, World, open_world
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it carries no types

_PLAN, _V1 = "/api/generations/{generation_id}", "/api/v1/generations/{generation_id}"


def closed(schema: Any) -> Any:
    """The schema, with no room for keys that it does not name."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items()}
    return {"additionalProperties": False, **made} if isinstance(made.get("properties"), dict) else made


class Checker:
    """Asks, and compares each answer with the document."""

    def __init__(self, world: World, document: dict[str, Any], generation: str) -> None:
        self.world = world
        self.document = closed(document)
        self.generation = generation

    async def ask(self, method: str, route: str, body: Any = None, **headers: str) -> Any:
        path = route.replace("{generation_id}", self.generation)
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await self.world.ask(method, path, body, headers=fields)
        replies = self.document["paths"][route][method.lower()]["responses"]
        assert str(answer.status_code) in replies, (method, path, answer.status_code, answer.text)
        content = replies[str(answer.status_code)].get("content", {})
        if not content:
            assert answer.content == b""
            return None
        schema = content[answer.headers["content-type"].partition(";")[0]]["schema"]
        checked = Draft202012Validator({**schema, "components": self.document["components"]})
        assert [error.message for error in checked.iter_errors(answer.json())] == [], (method, path, answer.text)
        return answer.json()


async def checker(world: World, files: dict[str, str]) -> Checker:
    document = (await world.ask("GET", "/openapi.json")).json()
    return Checker(world, document, await world.keep(files))


async def test_answers_about_a_running_preview_have_the_documented_shape(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        check = await checker(world, FILES)
        launched = await check.ask("POST", f"{_PLAN}/preview/launch", {}, Prefer="wait=60")
        for prefix in (_PLAN, _V1):
            await check.ask("POST", f"{prefix}/preview/launch", {})  # 409
            for route in ("preview/status", "endpoints", "preview/endpoints", "preview/config", "preview/logs"):
                await check.ask("GET", f"{prefix}/{route}")
            await check.ask("POST", f"{prefix}/preview/logs/ticket")
            token = launched["previewToken"]
            for path in ("/text", "/missing", "//other"):
                asked = {"method": "GET", "path": path}
                await check.ask("POST", f"{prefix}/preview/request", asked, X_Preview_Token=token)
            await check.ask("POST", f"{prefix}/preview/request", {"method": "GET", "path": "/"})  # 403
        await check.ask("POST", f"{_V1}/preview/extend", {"seconds": -1})
        await check.ask("POST", f"{_V1}/preview/restart")
        await check.ask("GET", "/api/v1/previews")
        await check.ask("GET", _V1)
        await check.ask("DELETE", _V1)  # 409
        await check.ask("DELETE", f"{_PLAN}/preview")
        for prefix in (_PLAN, _V1):
            await check.ask("DELETE", f"{prefix}/preview")
            await check.ask("GET", f"{prefix}/preview/status")
            await check.ask("POST", f"{prefix}/preview/request", {"method": "GET", "path": "/"})
        await check.ask("DELETE", _V1)


async def test_answers_about_a_failed_preview_have_the_documented_shape(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        check = await checker(world, CRASHING)
        for prefix in (_PLAN, _V1):
            await check.ask("POST", f"{prefix}/preview/launch", {}, Prefer="wait=60")
            await check.ask("GET", f"{prefix}/preview/status")
