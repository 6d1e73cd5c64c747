"""The relay and HTTP: a row of the table in docs/relay.md each."""

from __future__ import annotations

from dataclasses import replace

import h11
import pytest
import trio
from proxy_relay_kit import Seen, answers, get, next_request, ok, read_answer, recording, relay_to, request

from preview.proxy.admission import OwnAnswer

CLOSE = b"Connection: close"


async def test_method_target_fields_and_content_reach_the_preview_as_they_were_sent() -> None:
    seen: list[Seen] = []
    async with relay_to(recording(seen, ok(b"hello", b"X-Own: 1", b"X-Own: 2"))) as front:
        asked = request(b"PATCH", b"/a%2Fb//c;d?e=%0d%0a&f", b"X-A: 1", b"X-A: 2", b"Content-Length: 3", body=b"abc")
        head, body = await front.ask(asked)
    assert (seen[0].method, seen[0].target, seen[0].body) == ("PATCH", "/a%2Fb//c;d?e=%0d%0a&f", b"abc")
    assert [value for name, value in seen[0].headers if name == "x-a"] == ["1", "2"]
    assert (head.status_code, body) == (200, b"hello")
    assert [value for name, value in head.headers if name == b"x-own"] == [b"1", b"2"]


async def test_fields_of_the_connection_go_no_further_in_either_direction() -> None:
    seen: list[Seen] = []
    payload = ok(b"", b"Connection: X-Gone", b"X-Gone: 1", b"Keep-Alive: timeout=5", b"Proxy-Authenticate: x")
    async with relay_to(recording(seen, payload)) as front:
        head, _ = await front.ask(get(b"/", b"Connection: x-hop", b"X-Hop: 1", b"TE: gzip", b"Keep-Alive: 1"))
    assert not {"connection", "x-hop", "te", "keep-alive"} & {name for name, _ in seen[0].headers}
    assert not {b"x-gone", b"keep-alive", b"proxy-authenticate"} & {name for name, _ in head.headers}


async def test_the_host_is_what_the_browser_sees_and_the_way_is_told() -> None:
    seen: list[Seen] = []
    async with relay_to(recording(seen, ok())) as front:
        await front.ask(get())
    assert (seen[0]["host"], seen[0]["x-forwarded-for"], seen[0]["via"]) == (
        "preview_x.localhost",
        "127.0.0.1",
        "1.1 preview",
    )


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "purge"])
async def test_any_method_is_carried(method: str) -> None:
    seen: list[Seen] = []
    async with relay_to(recording(seen, ok())) as front:
        await front.ask(request(method.encode(), b"/", b"Content-Length: 0"), method=method)
    assert seen[0].method == method


@pytest.mark.parametrize("line", [b"TRACE / HTTP/1.1", b"CONNECT / HTTP/1.1", b"OPTIONS * HTTP/1.1",
                                  b"GET http://preview_x.localhost/ HTTP/1.1"])  # fmt: skip
async def test_what_is_for_proxies_goes_the_ordinary_way(line: bytes) -> None:
    seen: list[Seen] = []
    async with relay_to(recording(seen, ok())) as front:
        raw = await front.exchange(line + b"\r\nHost: preview_x.localhost\r\nConnection: close\r\n\r\n")
    assert raw.startswith(b"HTTP/1.1 299")
    assert seen == []


async def test_a_request_for_the_service_itself_goes_the_ordinary_way_with_all_that_follows() -> None:
    own = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    async with relay_to(answers(ok(b"preview"))) as front:
        raw = await front.exchange(get() + own + last)
    assert (raw.count(b"HTTP/1.1 200"), raw.count(b"HTTP/1.1 299"), raw.count(b"ordinary")) == (1, 2, 2)


async def test_pipelined_requests_are_answered_in_order() -> None:
    seen: list[Seen] = []
    async with relay_to(recording(seen, lambda one: ok(one.target.encode()))) as front:
        many = b"".join(get(b"/%d" % number) for number in range(20)) + get(b"/last", CLOSE)
        raw = await front.exchange(many)
    assert [one.target for one in seen] == [*(f"/{number}" for number in range(20)), "/last"]
    assert [part.rpartition(b"\r\n\r\n")[2] for part in raw.split(b"HTTP/1.1 200")[1:]][-2:] == [b"/19", b"/last"]


async def test_a_client_of_http_1_0_gets_the_content_until_the_end_of_the_connection() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    async with relay_to(answers(chunked)) as front:
        raw = await front.exchange(b"GET / HTTP/1.0\r\nHost: preview_x.localhost\r\n\r\n")
    head, _, body = raw.partition(b"\r\n\r\n")
    assert body == b"hello"
    assert b"transfer-encoding" not in head
    assert b"connection: close" in head


# Framing of requests


async def test_chunks_are_framed_anew_without_extensions_and_trailers() -> None:
    seen: list[Seen] = []
    body = b'5;name="v"\r\nhello\r\n00a; x\r\n0123456789\r\n0;last\r\nX-Forwarded-For: evil\r\n\r\n'
    async with relay_to(recording(seen, ok())) as front:
        await front.ask(request(b"POST", b"/", b"Transfer-Encoding: Chunked", body=body))
    assert (seen[0].body, seen[0].trailers) == (b"hello0123456789", [])
    assert seen[0]["transfer-encoding"] == "chunked"


async def test_content_that_comes_in_pieces_goes_on_in_pieces() -> None:
    arrived, more = trio.Event(), trio.Event()

    async def handler(stream: trio.SocketStream) -> None:
        got = b""
        while b"first" not in got:
            got += await stream.receive_some()
        arrived.set()
        while b"second" not in got:
            got += await stream.receive_some()
        await stream.send_all(ok(b"done"))

    async with relay_to(handler) as front, await trio.open_tcp_stream(*front.address) as stream:
        await stream.send_all(request(b"POST", b"/", b"Content-Length: 11", CLOSE, body=b"first"))
        await arrived.wait()
        await stream.send_all(b"second")
        assert b"done" in await stream.receive_some()
    assert not more.is_set()


async def test_a_client_that_waits_is_told_to_continue_by_the_preview() -> None:
    seen: list[Seen] = []
    async with relay_to(recording(seen, ok(b"done"))) as front, await trio.open_tcp_stream(*front.address) as stream:
        await stream.send_all(request(b"POST", b"/", b"Content-Length: 3", b"Expect: 100-continue", CLOSE))
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 100 ")
        await stream.send_all(b"abc")
        head, body = read_answer(b"".join([part async for part in stream]))
    assert (seen[0].body, head.status_code, body) == (b"abc", 200, b"done")


async def test_a_client_that_waits_may_be_refused_without_its_content() -> None:
    async def handler(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n")
        await stream.receive_some()

    async with relay_to(handler) as front:
        raw = await front.exchange(request(b"POST", b"/", b"Content-Length: 3", b"Expect: 100-continue"))
    assert raw.startswith(b"HTTP/1.1 413 No\r\n")
    assert b"connection: close" in raw or raw.endswith(b"\r\n\r\n")


async def test_an_answer_ahead_of_the_contents_end_is_passed_on_and_the_connection_ends() -> None:
    async def handler(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(ok(b"early"))
        await stream.receive_some()

    async with relay_to(handler) as front:
        hidden = get(b"/hidden")
        raw = await front.exchange(request(b"POST", b"/", b"Content-Length: 1000", body=b"x"), hidden)
    assert raw.count(b"HTTP/1.1") == 1
    assert raw.endswith(b"early")


async def test_request_and_answer_may_be_under_way_at_the_same_time() -> None:
    async def echo(stream: trio.SocketStream) -> None:
        got = b""
        while b"\r\n\r\n" not in got:
            got += await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        rest = got.partition(b"\r\n\r\n")[2]
        while rest or (rest := await stream.receive_some()):
            await stream.send_all(rest)
            if rest.endswith(b"0\r\n\r\n"):
                return
            rest = b""

    async with relay_to(echo) as front, await trio.open_tcp_stream(*front.address) as stream:
        await stream.send_all(request(b"POST", b"/", b"Transfer-Encoding: chunked", CLOSE))
        got = b""
        for word in (b"one", b"two", b"three"):
            await stream.send_all(b"%x\r\n%b\r\n" % (len(word), word))
            while word not in got:
                got += await stream.receive_some()
        await stream.send_all(b"0\r\n\r\n")
        async for part in stream:
            got += part
    assert read_answer(got)[1] == b"onetwothree"


# Framing of answers

ANSWERS = {
    "a length": (ok(b"hello"), "GET", b"hello", {b"content-length": b"5"}),
    "chunks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", "GET", b"hello",
        {b"transfer-encoding": b"chunked"},
    ),
    "the end of the connection": (b"HTTP/1.1 200 OK\r\n\r\nhello", "GET", b"hello", {b"transfer-encoding": b"chunked"}),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", "GET", b"hello", {b"content-length": b"5"}),
    "an answer to HEAD": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD", b"", {b"content-length": b"5"}),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", "GET", b"", {}),
    "304": (b'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: "1"\r\n\r\n', "GET", b"", {b"etag": b'"1"'}),
    "206": (
        b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/5\r\nContent-Length: 2\r\n\r\nhe", "GET", b"he",
        {b"content-range": b"bytes 0-1/5"},
    ),
    "a status nobody knows": (b"HTTP/1.1 799 Odd one\r\nContent-Length: 2\r\n\r\nhe", "GET", b"he", {}),
    "no phrase": (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhe", "GET", b"he", {}),
    "both lengths": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "GET",
        b"hello", {b"transfer-encoding": b"chunked"},
    ),
    "one length said twice": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhe", "GET", b"he", {}),
    "nothing": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "GET", b"", {b"content-length": b"0"}),
}  # fmt: skip


@pytest.mark.parametrize("kind", ANSWERS)
async def test_an_answer_comes_whole_however_its_content_is_framed(kind: str) -> None:
    payload, method, content, fields = ANSWERS[kind]
    is_open_ended = kind == "the end of the connection"
    async with relay_to(answers(payload, close=is_open_ended)) as front:
        head, body = await front.ask(request(method.encode(), b"/"), method=method)
    assert body == content
    assert fields.items() <= dict(head.headers).items()
    assert str(head.status_code).encode() == payload.split()[1]


async def test_interim_answers_are_passed_on_and_a_continue_nobody_waits_for_is_not() -> None:
    payload = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 9\r\n\r\n" + ok(
        b"hi"
    )
    async with relay_to(answers(payload)) as front:
        raw = await front.exchange(get(b"/", CLOSE))
        assert raw.startswith(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n")
        assert b"HTTP/1.1 100" not in raw
        assert b"content-length: 9" not in raw
        assert raw.endswith(b"hi")
        older = await front.exchange(b"GET / HTTP/1.0\r\nHost: preview_x.localhost\r\n\r\n")
        assert older.startswith(b"HTTP/1.1 200")


async def test_trailers_are_passed_on_to_whoever_takes_them() -> None:
    seen: list[Seen] = []
    payload = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\nSet-Cookie: a=1\r\n\r\n"
    )
    async with relay_to(recording(seen, payload)) as front:
        with_te = await front.exchange(get(b"/", b"TE: trailers", b"Connection: TE, close"))
        without = await front.exchange(get(b"/", CLOSE))
    assert with_te.endswith(b"0\r\nx-sum: 1\r\n\r\n")
    assert without.endswith(b"0\r\n\r\n")
    assert seen[0]["te"] == "trailers"
    assert b"Set-Cookie" not in with_te


async def test_a_date_is_added_where_the_preview_says_none() -> None:
    async with relay_to(answers(ok(b"", b"Date: Thu, 01 Jan 1970 00:00:00 GMT"))) as front:
        own, _ = await front.ask(get())
    async with relay_to(answers(ok())) as front:
        added, _ = await front.ask(get())
    assert dict(own.headers)[b"date"] == b"Thu, 01 Jan 1970 00:00:00 GMT"
    assert b"GMT" in dict(added.headers)[b"date"]


async def test_an_answer_flows_as_it_comes() -> None:
    go_on = trio.Event()

    async def handler(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        await go_on.wait()
        await stream.send_all(b"data: 2\n\n")

    async with relay_to(handler) as front, await trio.open_tcp_stream(*front.address) as stream:
        await stream.send_all(get(b"/", CLOSE))
        got = b""
        while b"data: 1" not in got:
            got += await stream.receive_some()
        go_on.set()
        async for part in stream:
            got += part
    assert read_answer(got)[1] == b"data: 1\n\ndata: 2\n\n"


async def test_a_connection_is_kept_unless_the_client_wants_it_to_end() -> None:
    async with relay_to(answers(ok(b"hi"))) as front, await trio.open_tcp_stream(*front.address) as stream:
        for _ in range(3):
            await stream.send_all(get())
            assert (await stream.receive_some()).endswith(b"hi")
        await stream.send_all(get(b"/", CLOSE))
        assert b"connection: close" in b"".join([part async for part in stream])
        assert front.connections["all"] == 1


# The service's own answers


async def test_the_doorman_may_answer_in_the_previews_place() -> None:
    async with relay_to(answers(ok())) as front:
        front.door.own = OwnAnswer(303, [(b"location", b"/x"), (b"set-cookie", b"a=1")], b"see")
        raw = await front.exchange(get() + request(b"POST", b"/", b"Content-Length: 2", CLOSE, body=b"ab"))
        head, _ = await front.ask(request(b"HEAD", b"/"), method="HEAD")
    assert raw.count(b"HTTP/1.1 303 See Other\r\n") == 2
    assert b"location: /x\r\nset-cookie: a=1\r\ncontent-length: 3\r\n" in raw
    assert dict(head.headers)[b"content-length"] == b"3"
    assert front.connections["all"] == 0


async def test_an_answer_of_the_services_own_to_content_that_is_not_all_there_ends_the_connection() -> None:
    async with relay_to(answers(ok())) as front:
        front.door.own = OwnAnswer(403, [], b"no")
        raw = await front.exchange(request(b"POST", b"/", b"Content-Length: 1000", body=get(b"/hidden")))
        bad = await front.exchange(request(b"POST", b"/", b"Transfer-Encoding: chunked", body=b"zz\r\n" + get()))
        empty = replace(front.door.own, status=204, body=b"")
        front.door.own = empty
        none = await front.exchange(get(b"/", CLOSE))
    assert raw.count(b"HTTP/1.1") == bad.count(b"HTTP/1.1") == 1
    assert b"connection: close" in raw
    assert b"content-length" not in none


async def test_fields_of_the_doorman_stand_in_each_answer_and_activity_is_held_meanwhile() -> None:
    held: list[int] = []

    async def handler(stream: trio.SocketStream) -> None:
        parser = h11.Connection(h11.SERVER)
        await next_request(parser, stream)
        held.append(front.door.held)
        await stream.send_all(ok())

    async with relay_to(handler) as front:
        front.door.answer_fields = ((b"content-security-policy", b"sandbox"),)
        head, _ = await front.ask(get())
    assert dict(head.headers)[b"content-security-policy"] == b"sandbox"
    assert (held, front.door.holds, front.door.held) == ([1], 1, 0)


async def test_an_empty_line_left_over_from_the_request_before_is_skipped() -> None:
    seen: list[Seen] = []
    async with relay_to(recording(seen, ok())) as front:
        await front.exchange(get(b"/1") + b"\r\n" + get(b"/2", CLOSE))
    assert [one.target for one in seen] == ["/1", "/2"]
