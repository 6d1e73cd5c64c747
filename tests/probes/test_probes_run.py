"""A probe's run against a program that cannot be trusted, and the stored results."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections import deque
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio

from preview.core.clock import utc_now
from preview.errors import UpstreamTimeout
from preview.proxy import PreviewClient, ProxyRequest, ProxyResponse
from preview.replay.probe.curl import curl_command
from preview.replay.probe.lines import TrialLines
from preview.replay.probe.messages import ProtocolBroken
from preview.replay.probe.program import ProgramConnection
from preview.replay.probe.result import ProbeResult, ProbeState, encode_result
from preview.replay.probe.run import ProbeRun
from preview.replay.probe.store import ProbeStore
from preview.storage import Database
from preview.supervisor import LivePreview

OPERATIONS = {"operations": [["GET", "/a", True]]}


class Program:
    """Says what it is made with, and keeps the answers."""

    def __init__(self, *lines: object) -> None:
        self.lines = deque(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
        self.answers: list[dict[str, Any]] = []
        self.why_ended = ""

    async def receive(self) -> bytes:
        await trio.lowlevel.checkpoint()
        return self.lines.popleft() if self.lines else b""

    async def send(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.answers.append(json.loads(data))


class Client:
    """Keeps what is sent; answers with a status, or not at all."""

    def __init__(self, status: int | None = 200) -> None:
        self.status = status
        self.sent: list[ProxyRequest] = []

    async def send(self, address: object, request: ProxyRequest, **_: object) -> ProxyResponse:
        assert address == ("127.0.0.1", 4000)
        await trio.lowlevel.checkpoint()
        self.sent.append(request)
        if self.status is None:
            raise UpstreamTimeout("Too slow.")
        return ProxyResponse(self.status, [("Content-Type", "text/plain")], b"hi" * 300_000, 1.0)


def send(target: str, method: str = "GET", body: str | None = None, operation: int = 0) -> dict[str, Any]:
    return {"send": [operation, method, target, [["X-A", "b"]], body]}


async def run(program: Program, client: Client | None = None, *, is_over: bool = False) -> ProbeResult:
    result = ProbeResult("probe_1", "g1", ProbeState.RUNNING, utc_now(), 30, 1)
    over = trio.Event()
    if is_over:
        over.set()
    preview = SimpleNamespace(over=over, address=("127.0.0.1", 4000), record=SimpleNamespace(pid=1), touch=lambda: None)
    lines = TrialLines()
    client = client or Client()
    with trio.fail_after(20):
        await ProbeRun(result, cast("PreviewClient", client), cast("LivePreview", preview), lines).run(
            cast("ProgramConnection", program)
        )
    return result


BROKEN = "The program that makes the requests has broken its protocol and was stopped."


@pytest.mark.parametrize(
    "lines",
    [
        (b"\xff", ),
        (OPERATIONS, send("/a", operation=1)),
        (OPERATIONS, {"finding": ["server_error", 0, [1], "x"]}),
        (OPERATIONS, send("/a"), {"finding": ["server_error", 7, [1], "x"]}),
        (OPERATIONS, *[{"note": f"{number}"} for number in range(1500)]),
        (OPERATIONS, send("/a", "POST", "A" * 900_000)),
    ],
    ids=range(6),
)  # fmt: skip
async def test_a_program_that_breaks_its_protocol_is_stopped(lines: tuple[object, ...]) -> None:
    result = await run(Program(*lines, OPERATIONS))
    assert BROKEN in result.notes
    assert len(result.notes) <= 21


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "//evil.example/a"),
        ("GET", "http://evil.example/"),
        ("GET", "/a/../b"),
        ("CONNECT", "/a"),
        ("GET", "/a\r\nX: y"),
    ],
)
async def test_what_must_not_be_sent_is_not_sent(method: str, target: str) -> None:
    program, client = Program(OPERATIONS, send(target, method), {"done": True}), Client()
    result = await run(program, client)
    assert client.sent == []
    assert result.requests == 0
    assert program.answers[0]["number"] == 0


async def test_requests_are_counted_and_findings_kept() -> None:
    finding = {"finding": ["server_error", 0, [1, 2], "Status 500"]}
    program = Program(OPERATIONS, send("/a?b=1"), send("/a", "POST", "eyJhIjogMX0="), finding, {"done": True})
    result = await run(program, Client(500))
    (row,) = result.rows
    assert (row.requests, row.server_errors, row.is_reached) == (2, 2, True)
    (found,) = result.findings
    assert [step.target for step in found.steps] == ["/a?b=1", "/a"]
    assert found.steps[1].curl == """curl -i -X POST "$PREVIEW"/a -H 'X-A: b' --data-raw '{"a": 1}'"""
    assert len(found.answer) == 2048
    # The program gets a bounded part of the answer.
    assert program.answers[0]["is_cut"] is True


async def test_secrets_are_not_kept_in_findings() -> None:
    class Login(Client):
        async def send(self, address: object, request: ProxyRequest, **more: object) -> ProxyResponse:
            response = await super().send(address, request, **more)
            return replace(response, body=b'{"access_token": "s3cr3t-of-the-answer"}')

    body = b64encode(b'{"password": "hunter2hunter2", "name": "Ann"}').decode()
    program = Program(
        OPERATIONS,
        send("/a", "POST", body),
        {"send": [0, "GET", "/a?q=s3cr3t-of-the-answer", [["Authorization", "Bearer s3cr3t-of-the-answer"]], None]},
        {"finding": ["server_error", 0, [1, 2], "It said s3cr3t-of-the-answer"]},
        {"done": True},
    )
    result = await run(program, Login())
    kept = encode_result(result)
    assert "s3cr3t" not in kept
    assert "hunter2" not in kept
    assert "Ann" in kept
    mark = re.search(r"Bearer (\[redacted:[0-9a-f]+\])", result.findings[0].steps[1].curl)
    assert mark is not None
    assert mark[1] in result.findings[0].sentence
    assert any("replaced by placeholders" in note for note in result.notes)


async def test_a_request_without_an_answer_is_counted() -> None:
    program = Program(OPERATIONS, send("/a"), {"done": True})
    result = await run(program, Client(None))
    assert result.rows[0].no_answers == 1
    assert program.answers[0]["error"] == "Too slow."


async def test_an_application_that_ends_ends_the_probe() -> None:
    result = await run(Program(OPERATIONS, send("/a")), is_over=True)
    assert result.notes == ["The application has ended, so the probe has too; see the last finding."]


async def test_a_line_that_never_ends_breaks_the_protocol() -> None:
    ours, theirs = trio.socket.socketpair()
    async with trio.SocketStream(ours) as stream, trio.SocketStream(theirs) as other, trio.open_nursery() as nursery:
        nursery.start_soon(other.send_all, b"x" * 3_000_000)
        with pytest.raises(ProtocolBroken):
            await ProgramConnection(stream).receive()
        nursery.cancel_scope.cancel()


def test_a_command_for_a_shell_quotes_everything() -> None:
    command = curl_command("GET", "/a?x='$(id)", [("X-A", "a'b"), ("Host", "x")], b"`id`")
    assert command == """curl -i -X GET "$PREVIEW"'/a?x='"'"'$(id)' -H 'X-A: a'"'"'b' --data-raw '`id`'"""


async def test_the_last_result_of_a_generation_is_stored(database: Database) -> None:
    store = ProbeStore(database)
    assert await store.last("g1", "ann") is None
    first = ProbeResult("probe_1", "g1", ProbeState.DONE, utc_now(), 30, 1)
    await store.save(first, "ann")
    program = Program(OPERATIONS, send("/ż"), {"finding": ["paging", 0, [1], "ż\x00"]}, {"done": True})
    second = await run(program)
    await store.save(second, "ann")
    assert await store.last("g1", "ann") == second
    assert await store.last("g1", "bob") is None
