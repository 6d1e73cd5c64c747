"""The confined program against hostile documents and answers: it ends in time, and says nothing but messages."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from preview.replay.probe.confined import PROGRAM
from preview.replay.probe.messages import Done, Found, Message, Operations, Said, Send, parse_message

Answer = tuple[int, object]
SECONDS = 2.0


@dataclass
class Run:
    """What a program has sent, and how it ended."""

    sends: list[Send] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)
    operations: list[tuple[str, str, bool]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    is_done: bool = False
    took_s: float = 0.0

    def take(self, message: Message) -> None:
        if isinstance(message, Send):
            self.sends.append(message)
        elif isinstance(message, Found):
            self.found.append(message)
        elif isinstance(message, Operations):
            self.operations.extend(message.items)
        elif isinstance(message, Said) and message.what == "note":
            self.notes.append(message.text)
        self.is_done |= isinstance(message, Done)

    def kinds(self, operation: str) -> set[str]:
        method, _, path = operation.partition(" ")
        index = [one[:2] for one in self.operations].index((method, path))
        return {str(one.kind) for one in self.found if one.operation == index}


def run(document: object, answer: Callable[[Send], Answer], **task: object) -> Run:
    """Run the program as the service does, without a sandbox; ``answer`` is the application."""
    text = document if isinstance(document, str) or document is None else json.dumps(document)
    ours, theirs = socket.socketpair()
    packages = sysconfig.get_path("purelib")
    command = [sys.executable, "-I", "-S", str(PROGRAM), str(theirs.fileno()), packages]
    result, began = Run(), time.monotonic()
    with ours, subprocess.Popen(command, pass_fds=[theirs.fileno()], stderr=subprocess.PIPE) as program:
        theirs.close()
        ours.settimeout(30)
        asked: dict[str, object] = {
            "document": text,
            "endpoints": [],
            "only": [],
            "seconds": SECONDS,
            "seed": "t",
            "schemathesis": False,
        }
        ours.sendall(json.dumps({**asked, **task}).encode() + b"\n")
        for line in ours.makefile("rb"):
            message = parse_message(line.rstrip(b"\n"))
            result.take(message)
            if isinstance(message, Send):
                status, body = answer(message)
                ours.sendall(encoded(len(result.sends), status, body))
        ours.shutdown(socket.SHUT_RDWR)
        result.took_s = time.monotonic() - began
        assert program.stderr is not None
        said = program.stderr.read()
    assert said == b""
    return result


def encoded(number: int, status: int, body: object) -> bytes:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    shown = {"body": base64.b64encode(raw).decode(), "headers": [["Content-Type", "application/json"]]}
    return json.dumps({"number": number, "status": status, **shown}).encode() + b"\n"


def api(paths: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"openapi": "3.1.0", "info": {"title": "a", "version": "1"}, "paths": paths, **more}


def getting(schema: object) -> dict[str, Any]:
    content = {"application/json": {"schema": schema}}
    return {"get": {"responses": {"200": {"description": "ok", "content": content}}}}


def posting(schema: object) -> dict[str, Any]:
    content = {"application/json": {"schema": schema}}
    return {"post": {"requestBody": {"required": True, "content": content}, "responses": {"200": {"description": ""}}}}


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema, "b": schema}, "required": ["a", "b"]}
    return schema


def with_field(**schema: object) -> dict[str, Any]:
    return api({"/a": posting({"type": "object", "properties": {"a": schema}})})


def with_part(schema: object) -> dict[str, Any]:
    return api({"/a": posting({"$ref": "#/components/schemas/A"})}, components={"schemas": {"A": schema}})


ITSELF = {"$ref": "#/components/schemas/A"}
WIDE = {"type": "object", "properties": {f"field{number}": {"type": "integer"} for number in range(20_000)}}
# Each of 300 endpoints refers to all of it.
SHARED = {
    "paths": {f"/a{number}": getting(ITSELF) for number in range(300)},
    "components": {"schemas": {"A": {"anyOf": [{"type": "object", "title": f"a{one}"} for one in range(60_000)]}}},
}
ODD = {
    "/a": {"get": {"parameters": "x", "responses": [1]}, "post": 7},
    "/b": [],
    "/c": {
        "get": {
            "parameters": [{"name": 5, "in": "query"}, None],
            "requestBody": {"content": []},
            "responses": {"200": None},
        }
    },
}
HOSTILE: dict[str, object] = {
    "recursive": with_part({"type": "object", "required": ["next"], "properties": {"next": ITSELF}}),
    "reference to itself": with_part(ITSELF),
    "another document": api({"/a": posting({"$ref": "http://169.254.169.254/latest/meta-data"})}),
    "a file": api({"/a": getting({"$ref": "file:///etc/passwd"})}),
    "huge enum": with_field(enum=list(range(300_000))),
    "pattern bomb": with_field(type="string", pattern="^(a+)+$|^(x*)*y"),
    "pattern bomb in answers": api({"/a": getting({"type": "string", "pattern": "^(a+)+$"})}),
    "doubling": api({"/a": posting(nested(14))}),
    "wide": api({"/a": posting(WIDE)}),
    "huge minimum": with_field(type="integer", minimum=10**400),
    "huge list": with_field(type="array", minItems=10**12),
    "huge text": with_field(type="string", minLength=10**12),
    "many endpoints": api({f"/a{number}": getting({}) for number in range(20_000)}),
    "many with one large schema": api(**SHARED),
    "reference to a part that is no object": api(
        {"/a": getting({"$ref": "#/components"}), "/b": getting({"$ref": "#/components/schemas/A/b"})},
        components={"schemas": 7},
    ),
    "wrong types": api(ODD),
    "deep": "[" * 100_000,
    "deep paths": '{"paths": ' + '{"a":' * 50_000,
    "no object": "7",
}


@pytest.mark.long
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_document_costs_no_more_than_its_time(name: str) -> None:
    done = run(HOSTILE[name], lambda _: (200, "a" * 40 + "!"))
    assert done.is_done
    assert done.took_s < SECONDS + 4
    assert len(done.operations) <= 300


@pytest.mark.long
@pytest.mark.parametrize("name", ["recursive", "another document", "pattern bomb", "doubling", "huge list"])
def test_a_hostile_document_does_not_detain_schemathesis(name: str) -> None:
    done = run(HOSTILE[name], lambda _: (200, "a" * 40 + "!"), schemathesis=True, seconds=4)
    assert done.is_done
    assert done.took_s < 4 + 6


@pytest.mark.parametrize(
    "body",
    [b"[" * 200_000, b'{"a":' * 50_000, b"\xff\xfe", b"9" * 200_000, [{"id": {}}, {"id": True}, 7], {"id": "a/../b"}],
    ids=range(6),
)
def test_a_hostile_answer_costs_no_more_than_its_time(body: object) -> None:
    document = api(
        {
            "/a": {**getting({}), **posting({"type": "object", "properties": {"x": {"type": "string"}}})},
            "/a/{id}": getting({}),
        }
    )
    done = run(document, lambda _: (200, body))
    assert done.is_done
    assert done.took_s < SECONDS + 4


# An application with bugs, of which the program knows only the document.

ITEM = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}, "size": {"type": "integer"}}}
SHOP = api(
    {
        "/items": {**getting({"type": "array", "items": ITEM}), **posting(ITEM)},
        "/items/{id}": getting({"type": "object", "required": ["name"]}),
        "/hidden": getting({}),
    }
)  # fmt: skip


class Shop:
    """Fails for a size of 0, shows its first item without a name, and hides a part."""

    def __init__(self) -> None:
        self.items: dict[int, dict[str, Any]] = {}

    def __call__(self, sent: Send) -> Answer:
        path = sent.target.partition("?")[0]
        if path == "/hidden":
            return 401, {}
        if path == "/items" and sent.method == "POST":
            try:
                body = json.loads(sent.body or b"")
            except ValueError:
                return 422, {}
            if not isinstance(body, dict) or not isinstance(body.get("name"), str):
                return 422, {}
            if body.get("size") == 0:
                return 500, {}
            number = len(self.items) + 1
            self.items[number] = {**body, "id": number}
            return 200, self.items[number]
        if path == "/items":
            return 200, list(self.items.values())
        found = self.items.get(int(path.rpartition("/")[2])) if path.rpartition("/")[2].isdigit() else None
        if found is None:
            return 404, {}
        return 200, ({"id": 1} if found["id"] == 1 else found)


def test_mistakes_are_found_with_small_requests() -> None:
    done = run(SHOP, Shop())
    assert done.kinds("POST /items") == {"server_error", "accepted_invalid"}
    assert "schema_mismatch" in done.kinds("GET /items/{id}")
    assert done.kinds("GET /hidden") == set()
    error = next(one for one in done.found if one.kind == "server_error")
    assert json.loads(done.sends[error.steps[-1] - 1].body or b"") == {"name": "name" + _end(done, error), "size": 0}
    # The object that shows the mistake is made first.
    mismatch = next(one for one in done.found if one.kind == "schema_mismatch")
    assert done.sends[mismatch.steps[0] - 1].method == "POST"


def _end(done: Run, error: Found) -> str:
    name: str = json.loads(done.sends[error.steps[-1] - 1].body or b"")["name"]
    return name.removeprefix("name")


@pytest.mark.long
def test_schemathesis_adds_requests_of_its_own() -> None:
    own, both = run(SHOP, Shop()), run(SHOP, Shop(), schemathesis=True, seconds=15)
    assert len(both.sends) > len(own.sends) + 50
    assert {one.kind for one in own.found} <= {one.kind for one in both.found}


def test_only_the_endpoints_that_are_wanted_are_probed() -> None:
    done = run(SHOP, Shop(), only=["GET /items"])
    assert done.operations == [("GET", "/items", True)]
    assert {one.method for one in done.sends} == {"GET"}


def test_endpoints_without_a_document_are_probed() -> None:
    endpoint = {"method": "POST", "path": "/items", "query": {}, "body": {"name": "string", "size": "integer"}}
    done = run(None, Shop(), endpoints=[{**endpoint, "path_parameters": {}}])
    assert "server_error" in done.kinds("POST /items")
