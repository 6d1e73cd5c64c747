"""One byte stream, one reading of it: whatever a preview is given through the relay is what was meant, or nothing.

Judged by what h11 reads behind the relay: never the request that is hidden in the content of another.
"""

from __future__ import annotations

from itertools import pairwise

import h11
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from proxy_relay_kit import HOST, Seen, get, next_request, ok, recording, relay_to

HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: " + HOST + b"\r\n\r\n"
POST = b"POST /seen HTTP/1.1\r\nHost: " + HOST + b"\r\n"
GET = b"GET /seen HTTP/1.1\r\nHost: " + HOST + b"\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"

# Nothing of these reaches a preview.
REFUSED = {
    "CL.TE": POST + b"Content-Length: 6\r\n" + CHUNKED + b"\r\n0\r\n\r\n" + HIDDEN,
    "TE.CL": POST + CHUNKED + b"Content-Length: 6\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE.TE, one unknown": POST + CHUNKED + b"Transfer-Encoding: cow\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE.TE, the unknown first": POST + b"Transfer-Encoding: cow\r\n" + CHUNKED + b"\r\n0\r\n\r\n" + HIDDEN,
    "xchunked": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "chunked in quotes": POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n' + HIDDEN,
    "chunked, identity": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + HIDDEN,
    "identity, chunked": POST + b"Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "chunked twice": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "chunked with a vertical tab": POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "chunked with NUL": POST + b"Transfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n" + HIDDEN,
    "chunked with a byte above ASCII": POST + b"Transfer-Encoding: \xa0chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "a space before the colon": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "a tab before the colon": POST + b"Content-Length\t: 48\r\n\r\n" + HIDDEN,
    "a space before the name": POST + b" Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "a folded coding": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "a folded coding with a tab": POST + b"X: 1\r\n\tTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "a coding behind a bare LF": POST + b"X: 1\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "a coding behind a bare CR": POST + b"X: 1\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "chunked in HTTP/1.0": b"POST /seen HTTP/1.0\r\nHost: " + HOST + b"\r\n" + CHUNKED + b"\r\n0\r\n\r\n" + HIDDEN,
    "two lengths": POST + b"Content-Length: 0\r\nContent-Length: 48\r\n\r\n" + HIDDEN,
    "one length twice": POST + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n" + HIDDEN,
    "two lengths in one": POST + b"Content-Length: 0, 48\r\n\r\n" + HIDDEN,
    "a length with a plus": POST + b"Content-Length: +0\r\n\r\n" + HIDDEN,
    "a negative length": POST + b"Content-Length: -1\r\n\r\n" + HIDDEN,
    "a hexadecimal length": POST + b"Content-Length: 0x0\r\n\r\n" + HIDDEN,
    "a length with an underscore": POST + b"Content-Length: 1_0\r\n\r\n" + HIDDEN,
    "a length of another script": POST + "Content-Length: ٣\r\n\r\n".encode() + HIDDEN,
    "an empty length": POST + b"Content-Length:\r\n\r\n" + HIDDEN,
    "a length with a space in it": POST + b"Content-Length: 4 8\r\n\r\n" + HIDDEN,
    "a length beyond all": POST + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n" + HIDDEN,
    "a length of NUL": POST + b"Content-Length: 0\0\r\n\r\n" + HIDDEN,
    "bare LF throughout": b"GET /seen HTTP/1.1\nHost: " + HOST + b"\n\n" + HIDDEN,
    "a bare LF behind the request line": b"GET /seen HTTP/1.1\nHost: " + HOST + b"\r\n\r\n" + HIDDEN,
    "a head ended by LF CR LF": GET + b"X: 1\n\r\n" + HIDDEN,
    "a head ended by CR CR LF": GET + b"X: 1\r\r\n\r\n" + HIDDEN,
    "NUL in a value": GET + b"X: a\0b\r\n\r\n" + HIDDEN,
    "NUL in a name": GET + b"X\0: a\r\n\r\n" + HIDDEN,
    "a name that is no token": GET + b"X(y): a\r\n\r\n" + HIDDEN,
    "no name": GET + b": a\r\n\r\n" + HIDDEN,
    "no colon": GET + b"Transfer-Encoding\r\n\r\n" + HIDDEN,
    "two hosts": GET + b"Host: localhost\r\n\r\n" + HIDDEN,
    "one host twice": GET + b"Host: " + HOST + b"\r\n\r\n" + HIDDEN,
    "a host with a path": b"GET /seen HTTP/1.1\r\nHost: " + HOST + b"/x\r\n\r\n" + HIDDEN,
    "a host with a user": b"GET /seen HTTP/1.1\r\nHost: a@" + HOST + b"\r\n\r\n" + HIDDEN,
    "two hosts in one": b"GET /seen HTTP/1.1\r\nHost: " + HOST + b", localhost\r\n\r\n" + HIDDEN,
    "absolute form": b"GET http://" + HOST + b"/seen HTTP/1.1\r\nHost: localhost\r\n\r\n" + HIDDEN,
    "absolute form of another host": b"GET http://localhost/seen HTTP/1.1\r\nHost: " + HOST + b"\r\n\r\n" + HIDDEN,
    "authority form": b"CONNECT " + HOST + b":80 HTTP/1.1\r\nHost: " + HOST + b"\r\n\r\n" + HIDDEN,
    "a space in the target": b"GET /seen /x HTTP/1.1\r\nHost: " + HOST + b"\r\n\r\n" + HIDDEN,
    "a tab for a space": b"GET\t/seen HTTP/1.1\r\nHost: " + HOST + b"\r\n\r\n" + HIDDEN,
    "two spaces": b"GET  /seen HTTP/1.1\r\nHost: " + HOST + b"\r\n\r\n" + HIDDEN,
    "a space at the line's end": b"GET /seen HTTP/1.1 \r\nHost: " + HOST + b"\r\n\r\n" + HIDDEN,
    "a fragment": b"GET /seen#/x HTTP/1.1\r\nHost: " + HOST + b"\r\n\r\n" + HIDDEN,
    "a control character in the target": b"GET /se\x0ben HTTP/1.1\r\nHost: " + HOST + b"\r\n\r\n" + HIDDEN,
    "a byte above ASCII in the target": b"GET /se\xffen HTTP/1.1\r\nHost: " + HOST + b"\r\n\r\n" + HIDDEN,
    "another version": b"GET /seen HTTP/1.2\r\nHost: " + HOST + b"\r\n\r\n" + HIDDEN,
    "version 2": b"GET /seen HTTP/2.0\r\nHost: " + HOST + b"\r\n\r\n" + HIDDEN,
    "no version": b"GET /seen\r\n\r\n" + HIDDEN,
    "a version in lower case": b"GET /seen http/1.1\r\nHost: " + HOST + b"\r\n\r\n" + HIDDEN,
    "a method with a colon": b"GET: /seen HTTP/1.1\r\nHost: " + HOST + b"\r\n\r\n" + HIDDEN,
    "an expectation nobody knows": POST + b"Expect: 200-ok\r\nContent-Length: 0\r\n\r\n" + HIDDEN,
    "too many fields": GET + b"X: 1\r\n" * 101 + b"\r\n" + HIDDEN,
    "too long a head": GET + b"X: " + b"y" * 20_000 + b"\r\n\r\n" + HIDDEN,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 100 + b"\r\n\r\n" + HIDDEN,
}

# The head is in order, the chunks are not: a preview sees at most the request that was meant, without its end.
BAD_CHUNKS = {
    "a sign": b"+1\r\nx\r\n0\r\n\r\n",
    "a prefix": b"0x1\r\nx\r\n0\r\n\r\n",
    "an underscore": b"1_0\r\n" + b"x" * 16 + b"\r\n0\r\n\r\n",
    "no size": b"\r\nx\r\n0\r\n\r\n",
    "a blank": b" \r\nx\r\n0\r\n\r\n",
    "a blank ahead": b" 1\r\nx\r\n0\r\n\r\n",
    "a blank behind": b"1 \r\nx\r\n0\r\n\r\n",
    "a size that overflows": b"10000000000000000\r\nx",
    "zeros without end": b"0" * 40 + b"1\r\nx\r\n0\r\n\r\n",
    "a bare LF behind the size": b"1\nx\r\n0\r\n\r\n",
    "a bare CR behind the size": b"1\rx\r\nx\r\n0\r\n\r\n",
    "a bare LF in an extension": b"1;a\nb\r\nx\r\n0\r\n\r\n",
    "NUL in an extension": b"1;a\0\r\nx\r\n0\r\n\r\n",
    "an extension without end": b"1;" + b"a" * 1000,
    "more than it says": b"1\r\nxyz\r\n0\r\n\r\n",
    "bare LF behind the content": b"1\r\nx\n\n0\r\n\r\n",
    "a trailer behind a bare LF": b"0\r\nX: 1\nY: 2\r\n\r\n",
    "a folded trailer": b"0\r\nX: 1\r\n Y: 2\r\n\r\n",
    "a trailer without a colon": b"0\r\nX\r\n\r\n",
    "trailers without end": b"0\r\n" + b"X: y\r\n" * 4000,
    "a bare LF for the end": b"0\r\n\n",
}

# In order, and read as h11 reads it: the hidden request is content, or is one that stands in the open.
RELAYED = {
    "in the content by length": (POST + b"Content-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN, ["/seen"]),
    "in a chunk": (POST + CHUNKED + b"\r\n%x\r\n" % len(HIDDEN) + HIDDEN + b"\r\n0\r\n\r\n", ["/seen"]),
    "in an extension": (POST + CHUNKED + b"\r\n1;GET /hidden HTTP/1.1\r\nx\r\n0\r\n\r\n", ["/seen"]),
    "in a trailer": (POST + CHUNKED + b"\r\n0\r\nGET-hidden: HTTP/1.1\r\n\r\n", ["/seen"]),
    "in a value": (GET + b"X: GET /hidden HTTP/1.1\r\n\r\n", ["/seen"]),
    "in the target, encoded": (
        b"GET /seen%20HTTP/1.1%0d%0aX:%201%0d%0a%0d%0a HTTP/1.1\r\nHost: " + HOST + b"\r\n\r\n",
        ["/seen%20HTTP/1.1%0d%0aX:%201%0d%0a%0d%0a"],
    ),
    "a content of GET": (GET + b"Content-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN, ["/seen"]),
    "behind no content": (GET + b"\r\n" + HIDDEN, ["/seen", "/hidden"]),
    "behind a content of no length": (POST + b"Content-Length: 0\r\n\r\n" + HIDDEN, ["/seen", "/hidden"]),
    "behind an upgrade that is refused": (
        GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + HIDDEN, ["/seen", "/hidden"]
    ),
    "behind h2c": (
        GET + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n" + HIDDEN,
        ["/seen", "/hidden"],
    ),
    "leading zeros": (POST + b"Content-Length: 00003\r\n\r\nabc" + HIDDEN, ["/seen", "/hidden"]),
    "Connection that names the length": (
        POST + b"Connection: Content-Length\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN, ["/seen"]
    ),
    "Connection that names the host": (GET + b"Connection: Host\r\n\r\n", ["/seen"]),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
async def test_what_two_readers_could_take_differently_does_not_reach_a_preview(what: str) -> None:
    seen: list[Seen] = []
    async with relay_to(recording(seen, ok())) as front:
        raw = await _until_quiet(front.address, REFUSED[what])
    assert seen == []
    assert raw == b"" or raw.startswith(b"HTTP/1.1 ")
    assert b"HTTP/1.1 200" not in raw


@pytest.mark.parametrize("what", BAD_CHUNKS)
async def test_broken_chunks_end_the_request_and_the_connection(what: str) -> None:
    seen: list[Seen] = []
    async with relay_to(recording(seen, ok())) as front:
        raw = await front.exchange(POST + CHUNKED + b"\r\n" + BAD_CHUNKS[what] + HIDDEN)
        later = await front.exchange(POST + CHUNKED + b"\r\n3\r\nabc\r\n", BAD_CHUNKS[what] + HIDDEN)
    assert seen == []
    assert raw.startswith(b"HTTP/1.1 400 ")
    assert later.startswith(b"HTTP/1.1 400 ")
    assert raw.count(b"HTTP/1.1") == later.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("what", RELAYED)
async def test_what_has_one_reading_is_relayed_as_that(what: str) -> None:
    sent, targets = RELAYED[what]
    seen: list[Seen] = []
    last = b"GET /last HTTP/1.1\r\nHost: " + HOST + b"\r\nConnection: close\r\n\r\n"
    async with relay_to(recording(seen, ok())) as front:
        raw = await front.exchange(sent + last)
    assert [one.target for one in seen] == [*targets, "/last"]
    assert raw.count(b"HTTP/1.1 200") == len(seen)


async def test_what_follows_a_request_is_not_read_ahead_of_its_answer() -> None:
    go_on = trio.Event()
    got: list[str] = []

    async def handler(stream: trio.SocketStream) -> None:
        parser = h11.Connection(h11.SERVER)
        while (request := await next_request(parser, stream)) is not None:
            got.append(request.target)
            await go_on.wait()
            await stream.send_all(ok())
            parser = h11.Connection(h11.SERVER)

    async with relay_to(handler) as front, await trio.open_tcp_stream(*front.address) as stream:
        await stream.send_all(get(b"/1") + get(b"/2", b"Connection: close"))
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert got == ["/1"]
        go_on.set()
        assert b"".join([part async for part in stream]).count(b"HTTP/1.1 200") == 2


TRAIN = (
    POST + CHUNKED + b"\r\n5;x=1\r\nhello\r\n0a\r\n0123456789\r\n0\r\nX: 1\r\n\r\n"
    + POST + b"Content-Length: 3\r\n\r\nabc"
    + GET + b"Connection: close\r\n\r\n"
)  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(cuts=st.lists(st.integers(1, len(TRAIN) - 1), max_size=6))
async def test_however_the_bytes_are_cut_a_preview_reads_the_same(cuts: list[int]) -> None:
    seen: list[Seen] = []
    async with relay_to(recording(seen, lambda one: ok(one.body))) as front:
        places = [0, *sorted(set(cuts)), len(TRAIN)]
        async with await trio.open_tcp_stream(*front.address) as stream:
            for begin, end in pairwise(places):
                await stream.send_all(TRAIN[begin:end])
                await trio.testing.wait_all_tasks_blocked(0.001)
            raw = b"".join([part async for part in stream])
    assert [(one.method, one.body) for one in seen] == [("POST", b"hello0123456789"), ("POST", b"abc"), ("GET", b"")]
    assert raw.count(b"HTTP/1.1 200") == 3


async def _until_quiet(address: tuple[str, int], sent: bytes) -> bytes:
    """What comes back until the connection ends; a connection that waits for more is closed."""
    with trio.fail_after(60):
        async with await trio.open_tcp_stream(*address) as stream:
            raw = b""
            try:
                await stream.send_all(sent)
                await stream.send_eof()
                async for part in stream:
                    raw += part
            except trio.BrokenResourceError:
                pass
            return raw
