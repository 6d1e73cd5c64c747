"""Strangers at the internal listener, impostors of a node, and clients that write what only nodes may say."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio
from nodes_kit import SECRET, Two, free_address, open_two

from preview.cluster.credentials import ANSWER_BYTES, HELLO_BYTES, PROOF_BYTES, NodeKey
from preview.cluster.links import NodeLink
from preview.cluster.routing import Owner
from preview.http import internal
from preview.http.internal import InternalListener, bind_internal

REQUEST = b"GET /api/v1/previews HTTP/1.1\r\nHost: localhost\r\npreview-node: https 9.9.9.9 -\r\n\r\n"


@dataclass
class Listening:
    """An internal listener, and what has come on connections that it believes."""

    address: tuple[str, int]
    listener: InternalListener
    came: list[bytes] = field(default_factory=list)

    async def hear(self, stream: trio.SocketStream) -> None:
        async with stream:
            self.came.append(await stream.receive_some())
            await stream.send_all(b"heard")

    async def exchange(self, *pieces: bytes) -> bytes:
        """Send these after the first message, and read to the end."""
        with trio.fail_after(60):
            async with await trio.open_tcp_stream(*self.address) as stream:
                got = b""
                try:
                    for piece in pieces:
                        await stream.send_all(piece)
                    async for part in stream:
                        got += part
                except trio.BrokenResourceError:
                    pass
                return got


@asynccontextmanager
async def listening(node: str = "b", secret: str = SECRET) -> AsyncIterator[Listening]:
    address = free_address("127.0.0.1")
    listener = bind_internal(address, NodeKey(secret), node)
    host, _, port = address.rpartition(":")
    made = Listening((host, int(port)), listener)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listener.run, made.hear, nursery)
        yield made
        nursery.cancel_scope.cancel()


async def test_without_the_secret_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(internal, "_PROVE_S", 0.5)
    async with listening() as node:
        for said in (
            REQUEST,
            REQUEST * 5000,
            b"\0" * ANSWER_BYTES,
            b"preview-node/1\r\n",
            NodeKey(SECRET[::-1]).answer(NodeKey(SECRET).hello(), "b") + REQUEST,
        ):
            got = await node.exchange(said)
            # The greeting at most, which has a random number and nothing else.
            assert len(got) in {0, HELLO_BYTES}
        assert node.came == []


async def test_a_recorded_handshake_is_worthless() -> None:
    async with listening() as node:
        recorded = bytearray()
        with trio.fail_after(60):
            async with await trio.open_tcp_stream(*node.address) as stream:
                hello = await stream.receive_some(HELLO_BYTES)
                recorded += NodeKey(SECRET).answer(hello, "b")
                await stream.send_all(recorded + REQUEST)
                got = b""
                async for part in stream:
                    got += part
        assert (got[PROOF_BYTES:], node.came) == (b"heard", [REQUEST])
        assert len(await node.exchange(bytes(recorded) + REQUEST)) in {0, HELLO_BYTES}
        assert len(node.came) == 1


async def test_a_listener_cannot_be_made_to_prove_itself_to_itself() -> None:
    """The proofs of the two sides differ, so neither serves as the other's."""
    async with listening() as node:
        with trio.fail_after(60):
            async with (
                await trio.open_tcp_stream(*node.address) as first,
                await trio.open_tcp_stream(*node.address) as second,
            ):
                await first.receive_some(HELLO_BYTES)
                hello = await second.receive_some(HELLO_BYTES)
                await first.send_all(hello + bytes(PROOF_BYTES))
                assert await _rest(first) == b""
                await second.send_all(hello + bytes(PROOF_BYTES))
                assert await _rest(second) == b""
        assert node.came == []


async def _rest(stream: trio.SocketStream) -> bytes:
    try:
        return await stream.receive_some()
    except trio.BrokenResourceError:
        return b""


async def test_a_node_of_another_name_or_another_secret_is_not_the_one_wanted() -> None:
    async with listening("b") as node:
        for wanted, secret in (("c", SECRET), ("b", SECRET[::-1])):
            with trio.fail_after(60), pytest.raises(OSError, match="another"):
                await NodeLink(wanted, node.address, NodeKey(secret)).open_connection()
        (await NodeLink("b", node.address, NodeKey(SECRET)).open_connection()).close()


async def test_an_impostor_gets_no_request() -> None:
    """A stale address may be anybody's by now: nothing of a user's request is sent before the other side's proof."""
    got = bytearray()

    async def pretend(stream: trio.SocketStream) -> None:
        await stream.send_all(NodeKey(SECRET).hello())
        got.extend(await stream.receive_some())
        await stream.send_all(bytes(PROOF_BYTES))
        got.extend(await _rest(stream))

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, pretend, 0)
        port = listeners[0].socket.getsockname()[1]
        with trio.fail_after(60), pytest.raises(OSError, match="not proved"):
            await NodeLink("b", ("127.0.0.1", port), NodeKey(SECRET)).open_connection()
        nursery.cancel_scope.cancel()
    assert len(got) == ANSWER_BYTES


async def test_slow_strangers_are_cut_off_and_keep_no_node_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(internal, "_PROVE_S", 3600.0)
    async with listening() as node, trio.open_nursery() as nursery:
        most = internal._MOST_STRANGERS_OF_ONE
        streams = [await trio.open_tcp_stream(*node.address) for _ in range(most)]
        with trio.fail_after(60):
            for stream in streams:
                assert len(await stream.receive_some()) == HELLO_BYTES
            # One more from there is closed unheard.
            async with await trio.open_tcp_stream(*node.address) as more:
                assert await _rest(more) == b""
            # A node has another address.
            link = trio.socket.socket()
            await link.bind(("127.0.0.2", 0))
            await link.connect(node.address)
            async with trio.SocketStream(link) as stream:
                answer = NodeKey(SECRET).answer(await stream.receive_some(HELLO_BYTES), "b")
                await stream.send_all(answer)
                assert len(await stream.receive_some(PROOF_BYTES)) == PROOF_BYTES
        for stream in streams:
            await stream.aclose()
        nursery.cancel_scope.cancel()
    monkeypatch.setattr(internal, "_PROVE_S", 0.05)
    async with listening() as node:
        assert len(await node.exchange(b"preview")) in {0, HELLO_BYTES}


@pytest.mark.parametrize("relays", [True, False], ids=["relay", "no relay"])
async def test_no_client_reads_a_log_as_a_node_does(tmp_path: Path, relays: bool) -> None:
    async with open_two(tmp_path, relay=relays) as two:
        two.owner.preview.log.say("a secret of ann")
        target = f"/preview-node/logs/{two.owner.preview.id}"
        # The connection between the nodes is kept, and the owner's ordinary code serves it from now on.
        await two.ask(f"GET {two.api}/status", host="localhost")
        forged = ("preview-node: itself", "Preview-Node: itself\r\nConnection: preview-node", "preview-node:\titself ")
        asked = [two.head(f"GET {target}?after=0", *fields) for fields in ((), *((one,) for one in forged))]
        asked += [two.head(f"GET {target}", forged[0], host=host) for host in ("localhost", "node")]
        for address, head in [*((two.other.address, one) for one in asked), (two.owner.edge.address, asked[1])]:
            got = await _answer(address, head)
            assert got.split(b" ")[1] in {b"401", b"404", b"421"}, got
            assert b"secret of ann" not in got


async def _answer(address: tuple[str, int], request: bytes) -> bytes:
    """The head of an answer, and what follows at once; a stream would never end."""
    got = b""
    with trio.fail_after(60):
        async with await trio.open_tcp_stream(*address) as stream:
            await stream.send_all(request)
            while part := await stream.receive_some():
                got += part
                if b"log-frames" in got:
                    break
    return got


async def _lies(scope: object, receive: object, send: object) -> None:
    """A program that says it were on another node."""
    assert callable(send)
    await send({"type": "http.response.start", "status": 421, "headers": [(b"preview-not-owner", b"1")]})
    await send({"type": "http.response.body", "body": b"mine", "more_body": False})


async def test_what_nodes_say_to_each_other_no_client_and_no_program_can_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_two(tmp_path, body_timeout_s=0.5) as two:
        forged = ("preview-node: https 9.9.9.9 10.0.0.1", "X-Forwarded-For: 8.8.8.8", "X-Forwarded-Proto: https")
        for answer in (
            await two.ask("GET /", two.authorization, *forged),
            (await two.owner.raw(two.head("GET /", two.authorization, *forged)))[0],
        ):
            headers = dict(json.loads(answer.body)["headers"])
            assert (headers["x-forwarded-for"], headers["x-forwarded-proto"]) == ("127.0.0.1", "http")
            assert "9.9.9.9" not in answer.text
            assert "8.8.8.8" not in answer.text
        # A node that vouches for a host name has checked it.
        refused = await two.ask(f"GET {two.api}/status", two.authorization, *forged, host="evil.example")
        assert refused.status == 421
        # Both ways of saying a length: refused by the first node.
        both = await two.ask(
            "POST /", two.authorization, "Content-Length: 3", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"
        )
        assert both.status == 400
        # The field about the client makes the head longer than the owner accepts.
        size = 16 * 1024 - len(two.head("GET /", two.authorization)) - 10
        large = await two.ask("GET /", two.authorization, f"X: {'a' * size}")
        assert large.status in {400, 431}
        # Content that ends early is nobody's whole request.
        short = await two.ask("POST /", two.authorization, "Content-Length: 9", body=b"abc")
        assert short.status == 400
    async with open_two(tmp_path / "liar", _lies, max_streams_per_user=1) as two:
        answer = await two.ask("GET /", two.authorization)
        assert (answer.status, answer.body) == (421, b"mine")
        assert "preview-not-owner" not in answer.headers
        await _only_its_user_waits_for_a_queued_log(two, monkeypatch)


async def _only_its_user_waits_for_a_queued_log(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here, for it shares a pair of services: each pair takes seconds to start."""
    monkeypatch.setattr("preview.http.browser.node_router._QUEUED_S", 3600)
    body = json.dumps({"files": {"main.py": "x = 1"}, "project_id": "p"}).encode()
    made = await two.other.ask(
        "POST /api/v1/generations HTTP/1.1", two.authorization, "Content-Type: application/json",
        f"Content-Length: {len(body)}", body=body,
    )  # fmt: skip
    assert made.status == 201, made
    generation = json.loads(made.body)["id"]
    # It waits in the queue: no node has it.
    two.directory.previews[generation] = two.owner.preview.id
    two.directory.owners.clear()
    line = f"GET /api/v1/generations/{generation}/preview/logs/stream"
    bob = f"Authorization: {two.owner.bearer('bob')['Authorization']}"
    for fields, status in (((), 401), (("Authorization: Bearer x",), 401), ((bob,), 403)):
        assert (await two.ask(line, *fields, host="localhost")).status == status
    answers = []

    async def wait() -> None:
        answers.append(await two.ask(line, two.authorization, host="localhost"))

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await two.directory.is_asked(4)
            # The one that waits is the user's only stream.
            refused = await two.ask(line, two.authorization, host="localhost")
            assert refused.status in {404, 429, 503}
            assert answers == []
            two.directory.owners[two.owner.preview.id] = Owner("b", ":".join(map(str, two.internal)), 1)
    # The other node has no such generation: it has answered.
    assert answers[0].status == 404
    assert generation in answers[0].text
