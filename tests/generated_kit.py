"""Generated backends, what is expected of each, and how an answer is compared with it."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

TESTS = Path(__file__).resolve().parent
GENERATED = TESTS / "generated"
# Backends that need database servers.
DATABASES = TESTS / "databases"
_PARAMETER = re.compile(r"\{[^}]*\}")
# Frameworks that may be found under the name of what they are built on, or as a server of any kind.
FOUND_AS = {
    "starlette": {"starlette", "fastapi"},
    "nestjs": {"nestjs", "express"},
    "fastify": {"fastify", "node"},
    "koa": {"koa", "node"},
    "hono": {"hono", "node"},
    **{name: {name, "asgi"} for name in ("blacksheep", "quart")},
    **{name: {name, "command"} for name in ("aiohttp", "tornado", "sanic")},
}
# Their routers take a path with and without a slash at its end as one.
_LENIENT = {"express", "koa", "nestjs", "sanic"}


@dataclass(frozen=True)
class Expected:
    """What a project is and does.

    Attributes:
        name: Its folder's.
        framework: What it is built on.
        endpoints: All its endpoints, ``GET /items/{id}``.
        also: Paths that a framework or library adds, with all below: neither missed nor wrong.
        requests: The scenario, in order.
        root: The folder of its set.
        services: Kinds of servers that it needs.
        hard_coded: Addresses and passwords in its source, ``file: text``.
    """

    name: str
    framework: str
    endpoints: frozenset[str]
    also: tuple[str, ...]
    requests: tuple[Mapping[str, Any], ...]
    root: Path = GENERATED
    services: tuple[str, ...] = ()
    hard_coded: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        return self.root / "projects" / self.name


@dataclass(frozen=True)
class Compared:
    """Endpoints that were found, beside those that there are; names of parameters do not count."""

    missed: frozenset[str]
    wrong: frozenset[str]
    right: int

    @property
    def complete(self) -> bool:
        return not self.missed and not self.wrong


def load(names: Sequence[str] = (), root: Path = GENERATED) -> list[Expected]:
    """The projects of a set whose name begins so, or all."""
    found = []
    for file in sorted((root / "expected").glob("*.toml")):
        if names and not file.stem.startswith(tuple(names)):
            continue
        facts = tomllib.loads(file.read_text("utf-8"))
        found.append(
            Expected(
                file.stem,
                facts["framework"],
                frozenset(_plain(one, facts["framework"]) for one in facts["endpoints"]),
                tuple(facts.get("also", ())),
                tuple(facts["request"]),
                root,
                tuple(facts.get("services", ())),
                tuple(facts.get("hard_coded", ())),
            )
        )
    return found


def _plain(endpoint: str, framework: str) -> str:
    path = _PARAMETER.sub("{}", endpoint)
    return path.rstrip("/") if framework in _LENIENT and not path.endswith(" /") else path


def compare(expected: Expected, found: Iterable[tuple[str, str]]) -> Compared:
    """Compare methods and paths with those of the project."""
    there = {_plain(f"{method} {path}", expected.framework) for method, path in found}
    right = there & expected.endpoints
    wrong = {one for one in there - right if not _added(one.partition(" ")[2], expected.also)}
    return Compared(expected.endpoints - right, frozenset(wrong), len(right))


def _added(path: str, also: Iterable[str]) -> bool:
    # A path with a slash at its end is itself alone: an API's root.
    return any(path == one or (not one.endswith("/") and path.startswith(f"{one}/")) for one in also)


def fill(value: Any, kept: Mapping[str, Any]) -> Any:
    """Put what earlier answers gave into a request; a text that is nothing but ``{name}`` keeps the value's type."""
    if isinstance(value, Mapping):
        return {name: fill(one, kept) for name, one in value.items()}
    if isinstance(value, list):
        return [fill(one, kept) for one in value]
    if not isinstance(value, str):
        return value
    if value[1:-1] in kept and value == f"{{{value[1:-1]}}}":
        return kept[value[1:-1]]
    for name, one in kept.items():
        value = value.replace(f"{{{name}}}", str(one))
    return value


def call_of(request: Mapping[str, Any], kept: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a request, as the API's route takes them."""
    method, path = fill(request["call"], kept).split(" ", 1)
    path, _, query = path.partition("?")
    parts: dict[str, Any] = {"method": method, "path": path, "headers": fill(request.get("headers", {}), kept)}
    if query:
        parts["query"] = dict(one.split("=", 1) for one in query.split("&"))
    if "json" in request:
        parts["body"] = fill(request["json"], kept)
    elif "form" in request:
        parts["body"] = urlencode(fill(request["form"], kept))
        parts["headers"]["Content-Type"] = "application/x-www-form-urlencoded"
    return parts


def judge(request: Mapping[str, Any], answer: Mapping[str, Any], kept: dict[str, Any]) -> str:
    """Why the answer is not the expected one, empty if it is; what the next requests need is put into ``kept``."""
    said = f"{request['call']} -> {answer['status_code']}"
    shown = " ".join(str(answer["body"]).split())[:160]
    if answer["status_code"] != request["status"]:
        return f"{said}, not {request['status']}: {shown}"
    if "text" in request and request["text"] not in answer["body"]:
        return f"{said} without {request['text']!r}"
    if request.keys() & {"answer", "length", "keep"}:
        try:
            body = json.loads(answer["body"])
        except ValueError:
            return f"{said}, no JSON: {shown}"
        if "answer" in request and not _covers(body, fill(request["answer"], kept)):
            return f"{said}, without {request['answer']}: {shown}"
        if "length" in request and len(body) != request["length"]:
            return f"{said}, {len(body)} items instead of {request['length']}"
        kept.update({name: body[key] for name, key in request.get("keep", {}).items()})
    text = f"{json.dumps(answer['headers'])}\n{answer['body']}"
    for name, pattern in request.get("find", {}).items():
        found = re.search(pattern, text)
        if found is None:
            return f"{said}, without {pattern}"
        kept[name] = found[1]
    return ""


def _covers(there: Any, wanted: Any) -> bool:
    """Whether an answer has all that is wanted: further keys are allowed, further items are not."""
    if isinstance(wanted, Mapping):
        return isinstance(there, Mapping) and all(key in there and _covers(there[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list):
        return isinstance(there, list) and len(there) == len(wanted) and all(map(_covers, there, wanted))
    return bool(there == wanted)
