"""Requests to a node that does not have the preview: it passes them on to the owner, and adds nothing of its own."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
import trio
import trio.testing
from browser_kit import echo
from nodes_kit import Two, open_two, open_wire
from sqlalchemy import insert
from structlog.testing import capture_logs
from trio_websocket import wrap_client_stream

from preview.client.asynchronous import AsyncClient
from preview.cluster import LOST
from preview.cluster.routing import Owner
from preview.http import internal
from preview.http.relay.delivery import Delivery
from preview.storage.people_tables import owners


async def test_any_node_answers_for_a_preview(tmp_path: Path) -> None:
    """All of it in one pair of services: each pair takes seconds to start."""
    async with open_two(tmp_path, operators=("olga",)) as two:
        for check in (_fields, _content, _fast_path, _api, _strangers, _websocket, _log, _redirect, _operator):
            with trio.fail_after(60):
                await check(two)


async def _fields(two: Two) -> None:
    answer = await two.ask("GET /books?b=1&a=%2f", two.authorization, "X-Odd: \xfc", "Cookie: mine=1")
    direct = await two.owner.get("/books?b=1&a=%2f", headers=two.owner.bearer() | {"Cookie": "mine=1"})
    assert answer.status == 200, answer
    said = json.loads(answer.body)
    assert said["target"] == "/books?b=1&a=%2f"
    headers = dict(said["headers"])
    assert (headers["host"], headers["cookie"], headers["x-odd"]) == (two.preview_host, "mine=1", "\xfc")
    # The client's address, and not the other node's.
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers.keys() - {"x-odd"} <= {name for name, _ in direct.json()["headers"]}
    assert not headers.keys() & {"authorization", "preview-node"}


async def _content(two: Two) -> None:
    for size in (0, 1, 70_000, 1_000_000):
        fields = (two.authorization, f"Content-Length: {size}", "Expect: 100-continue")
        answer = await two.ask("POST /upload", *fields, body=b"x" * size)
        assert json.loads(answer.body)["body"] == "x" * size
    chunked = b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    answer = await two.ask("POST /c", two.authorization, "Transfer-Encoding: chunked", body=chunked)
    assert json.loads(answer.body)["body"] == "hello world"


async def _fast_path(two: Two) -> None:
    """Requests like an earlier one ask the directory no more, on neither node."""
    host, port = two.other.address
    asked = 0
    async with httpx2.AsyncClient(base_url=f"http://{host}:{port}", trust_env=False, timeout=60) as client:
        for number in range(20):
            headers = {"Host": two.preview_host} | two.owner.bearer()
            answer = await client.get(f"/{number}", headers=headers)
            assert answer.json()["target"] == f"/{number}"
            assert answer.headers["x-request-id"] == dict(answer.json()["headers"])["x-request-id"]
            asked = asked or len(two.directory.asked)
    assert len(two.directory.asked) - asked <= 10


async def _api(two: Two) -> None:
    status = await two.ask(f"GET {two.api}/status", two.authorization, host="localhost")
    assert status.status == 200, status
    assert two.owner.preview.id in status.text
    link = await two.ask(
        f"POST {two.api}/open", two.authorization, "Content-Type: application/json", "Content-Length: 2",
        host="localhost", body=b"{}",
    )  # fmt: skip
    assert link.status == 200, link
    # The browser may come to the other node with it, by the name that the client has used.
    parts = urlsplit(json.loads(link.body)["url"])
    opened = await two.ask(f"GET {parts.path}?{parts.query}", host=parts.netloc)
    assert opened.status == 303, opened
    cookie = opened.headers["set-cookie"].partition(";")[0]
    assert (await two.ask("GET /", f"Cookie: {cookie}")).status == 200


async def _strangers(two: Two) -> None:
    """The owner authorises, whichever node is asked."""
    nobody = await two.ask("GET /", "Accept: application/json")
    assert nobody.status == 401
    stranger = two.owner.bearer("bob")["Authorization"]
    refused = await two.ask(f"GET {two.api}/status", f"Authorization: {stranger}", host="localhost")
    assert refused.status == 403


async def _websocket(two: Two) -> None:
    headers = [(b"authorization", two.owner.bearer()["Authorization"].encode())]
    async with await trio.open_tcp_stream(*two.other.address) as stream, trio.open_nursery() as nursery:
        socket = await wrap_client_stream(
            nursery, stream, two.preview_host, "/ws", extra_headers=headers, subprotocols=["chat"]
        )
        await socket.send_message("hello")
        assert await socket.get_message() == "hello"
        assert socket.subprotocol == "chat"
        await socket.aclose()


async def _log(two: Two) -> None:
    async with await trio.open_tcp_stream(*two.other.address) as stream:
        await stream.send_all(two.head(f"GET {two.api}/logs/stream", two.authorization, host="localhost"))
        got = b""
        while b"\r\n\r\n" not in got:
            got += await stream.receive_some()
        assert b"text/event-stream" in got
        for number in range(3):
            two.owner.preview.log.say(f"line {number}")
            while f"line {number}".encode() not in got:
                got += await stream.receive_some()


async def _redirect(two: Two) -> None:
    """A program is sent to the owner, and follows with its token; one that comes back is passed on."""
    router, preview_id = two.other.app.router, two.owner.preview.id
    assert router is not None
    owner, url = two.directory.owners[preview_id], "http://{}:{}".format(*two.owner.edge.address)
    router._redirects, two.directory.owners[preview_id] = True, owner._replace(public_url=url)
    router.router.forget_all()
    sent = await two.ask(f"GET {two.api}/status", two.authorization, host="localhost")
    assert (sent.status, sent.headers["location"]) == (307, f"{url}{two.api}/status?preview-hop=1")
    # Nobody learns which generations have a preview, or where.
    for path in (two.api, "/api/v1/generations/gen_nothing/preview"):
        refused = await two.ask(f"GET {path}/status", "Authorization: Bearer x", host="localhost")
        assert (refused.status, refused.headers.get("location")) == (401, None), path
    for line, field, host in (
        (f"GET {two.api}/status?preview-hop=1", "X-A: b", "localhost"),
        (f"GET {two.api}/status", "Sec-Fetch-Site: same-origin", "localhost"),
        ("GET /", "X-A: b", None),
    ):
        passed = await two.ask(line, two.authorization, field, host=host)
        assert passed.status == 200, passed
    async with AsyncClient("http://{}:{}".format(*two.other.address), two.authorization.split(" ")[2]) as client:
        preview = client.preview(two.owner.generation)
        assert (await preview.status()).id == preview_id
        two.owner.preview.log.say("after a redirect")
        async with preview.log(after=0) as events:
            async for event in events:
                if "after a redirect" in str(event):
                    break
    router._redirects, two.directory.owners[preview_id] = False, owner
    router.router.forget_all()


async def _operator(two: Two) -> None:
    """An operator counts and stops previews of all nodes by any of them, and nobody else does."""
    user, preview_id = two.owner.preview.record.user_id, two.owner.preview.id
    operator = f"Authorization: {two.owner.bearer('olga')['Authorization']}"
    database = two.other.app.backend.service.database
    rows = [
        {"preview_id": one, "generation_id": one, "user_id": user, "state": state, "fence": 1, "first_seq": 1,
         "queued_at": 1}
        for one, state in ((preview_id, "running"), ("waits", "queued"), ("ended", "over"), ("replay", "trial"))
    ]  # fmt: skip
    await database.write(lambda connection: connection.execute(insert(owners), rows))
    await two.other.app.backend.service.users.ensure(user)
    people = await two.ask("GET /api/v1/operator/users", operator, host="localhost")
    assert {one["id"]: one["previews"] for one in json.loads(people.body)["items"]}[user] == 2
    line = f"DELETE /api/v1/operator/previews/{preview_id}"
    for stranger, status in ((two.authorization, 403), ("X-A: b", 401)):
        assert (await two.ask(line, stranger, host="localhost")).status == status
    assert two.owner.preview.outcome is None
    unknown = await two.ask("DELETE /api/v1/operator/previews/preview_none", operator, host="localhost")
    assert unknown.status == 404
    # The test's preview has no task of its own that would end it.
    two.owner.preview.over.set()
    stopped = await two.ask(line, operator, host="localhost")
    assert stopped.status == 204, stopped
    assert two.owner.preview.outcome is not None
    audit = await two.owner.edge.app.backend.people.audit.list(
        user_id=None, actor_id="olga", action=None, cursor=None, limit=9
    )
    assert ("olga", user, "ok") in [(one.user_id, one.owner_id, one.outcome) for one in audit[0]]


async def test_a_node_that_is_asked_wrongly_refuses_and_passes_nothing_on_again(tmp_path: Path) -> None:
    async with open_two(tmp_path) as two:
        router, owner = two.other.app.router, two.owner.edge.app.router
        assert router is not None
        assert owner is not None
        preview = two.owner.preview
        manager = two.owner.edge.app.backend.previews
        assert (await two.ask("GET /", two.authorization)).status == 200
        # The owner has lost it, and would pass requests back to the node that asks.
        manager._registry.remove(preview)
        owner.router._directory = _Says(Owner("a", router.address, 9))
        for line, host in (("GET /", None), (f"GET {two.api}/status", "localhost")):
            with trio.fail_after(60):
                answer = await two.ask(line, two.authorization, "Accept: application/json", host=host)
            assert (answer.status, json.loads(answer.body)["code"]) == (503, "preview_unavailable"), answer
            assert "retry-after" in answer.headers
        # A new owner, whom the next request finds, although the cache has the old one: nobody responds there.
        two.directory.owners[preview.id] = Owner("c", "127.0.0.9:1", 2)
        assert (await two.ask("GET /", two.authorization, "Accept: application/json")).status == 503
        manager._registry.add(preview)
        two.directory.owners[preview.id] = Owner("b", f"{two.internal[0]}:{two.internal[1]}", 3)
        assert (await two.ask("GET /", two.authorization)).status == 200


class _Says:
    def __init__(self, owner: Owner) -> None:
        self._owner = owner

    async def owner_of(self, preview_id: str) -> Owner:
        return self._owner

    async def preview_of(self, generation_id: str) -> str:
        return "preview_x"


async def test_a_request_that_waits_for_a_lost_node_is_asked_again_where_the_preview_is(tmp_path: Path) -> None:
    """Only one without an effect; and the client's connection goes on."""
    asked, hangs = list[str](), True
    parked = trio.lowlevel.ParkingLot()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/wait":
            asked.append(scope["method"])
            parked.unpark_all()
            if hangs:
                await trio.sleep_forever()
        await echo(scope, receive, send)

    async with open_two(tmp_path, app) as two:
        router, preview = two.other.app.router, two.owner.preview
        assert router is not None

        async def lose() -> None:
            nonlocal hangs
            await parked.park()
            hangs = False
            for kind in ("preview", LOST):
                router.take_notice(f"{kind}:{preview.id}")

        head = two.head("GET /wait", two.authorization).replace(b"Connection: close\r\n", b"")
        async with await trio.open_tcp_stream(*two.other.address) as stream:
            # The second is like the first, so no task carries it.
            for _ in range(2):
                asked.clear()
                hangs = True
                with trio.fail_after(60):
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(lose)
                        await stream.send_all(head)
                        got = await _until(stream, b"", b"\r\n0\r\n\r\n")
                assert got.startswith(b"HTTP/1.1 200 "), got
                assert asked == ["GET", "GET"]
                await trio.testing.wait_all_tasks_blocked(0.02)
                assert not router._passed
            asked.clear()
            hangs = True
            await stream.send_all(head.replace(b"GET", b"POST"))
            await parked.park()
            router.take_notice(f"{LOST}:{preview.id}")
            await trio.testing.wait_all_tasks_blocked(0.1)
            assert asked == ["POST"]


async def test_an_answer_that_begins_as_its_node_is_lost_does_not_end_as_if_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] != "/part":
            await echo(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a part", "more_body": True})
        await trio.sleep_forever()

    begin, seen = Delivery.begin, list[bool]()

    def lost(delivery: Delivery, *arguments: Any) -> None:
        """The head is here, and the task that waited for it has not run yet."""
        is_passed_on = delivery.request.admitted.until_lost is not None
        if is_passed_on:
            delivery.moved()
        begin(delivery, *arguments)
        if is_passed_on:
            seen.append(delivery.is_unbounded)

    monkeypatch.setattr(Delivery, "begin", lost)
    async with open_two(tmp_path, app) as two:
        head = two.head("GET /part", two.authorization).replace(b"HTTP/1.1", b"HTTP/1.0")
        # This client sees the end of the content only as that of the connection.
        async with await trio.open_tcp_stream(*two.other.address) as stream:
            await stream.send_all(head)
            with trio.fail_after(60), pytest.raises(trio.BrokenResourceError):
                await _until(stream, b"", b"never sent")
    assert seen == [True]


async def test_a_log_goes_on_where_the_preview_is_when_its_owner_is_lost(tmp_path: Path) -> None:
    """The client notices nothing but a pause, and gets each line once."""
    async with open_two(tmp_path) as two, open_wire(two.internal) as wire, open_wire(two.internal) as second:
        preview, owner = two.owner.preview, two.directory.owners
        owner[preview.id] = Owner("b", wire.address, 1)
        for number in range(3):
            preview.log.say(f"line {number}.")
        async with await trio.open_tcp_stream(*two.other.address) as stream:
            with trio.fail_after(60):
                await stream.send_all(
                    two.head(f"GET {two.api}/logs/stream?tail=2", two.authorization, host="localhost")
                )
                got = await _until(stream, b"", b"line 2.")
                # The owner is lost without a word, and for a while nobody has the preview.
                del owner[preview.id]
                wire.cut()
                preview.log.say("line 3.")
                await two.directory.is_asked(4)
                owner[preview.id] = Owner("b", second.address, 2)
                got = await _until(stream, got, b"line 3.")
                preview.log.say("line 4.")
                got = await _until(stream, got, b"line 4.")
                # It has ended, and no node will have it: the stream waits for nobody.
                owner.clear()
                two.directory.previews.clear()
                asked = len(two.directory.asked)
                second.cut()
                with suppress(trio.BrokenResourceError):
                    while await stream.receive_some():
                        pass
                assert len(two.directory.asked) - asked <= 3
    assert b"line 0." not in got
    assert [got.count(b"line %d." % number) for number in range(1, 5)] == [1, 1, 1, 1]
    assert got.count(b"HTTP/1.1 200") == 1


async def _until(stream: trio.SocketStream, got: bytes, wanted: bytes) -> bytes:
    while wanted not in got:
        piece = await stream.receive_some()
        assert piece, got
        got += piece
    return got


async def test_refused_connections_are_logged_together(monkeypatch: pytest.MonkeyPatch) -> None:
    refusals = internal._Refusals()
    with capture_logs() as logged:
        for _ in range(3):
            refusals.note("10.0.0.9", "too slow")
        monkeypatch.setattr(internal, "_TELL_EACH_S", 0.0)
        refusals.note("10.0.0.9", "too slow")
    assert [one["connections"] for one in logged] == [1, 3]
