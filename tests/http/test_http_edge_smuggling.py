"""One byte stream, one reading of it: what another reader could take for two requests is refused."""

from __future__ import annotations

from pathlib import Path

from http_raw_kit import open_edge
from hypothesis import given, settings
from hypothesis import strategies as st

from preview.http.core.guard import MAX_FIELDS
from preview.http.protocol.strict import _StrictBuffer

# What a smuggler would like to have answered as a request of its own.
HIDDEN = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST /api/v1/logout HTTP/1.1\r\nHost: localhost\r\n"
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"

REFUSED = {
    "both lengths": POST + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "both lengths, the other way": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n" + HIDDEN,
    "two lengths": POST + b"Content-Length: 0\r\nContent-Length: 48\r\n\r\n" + HIDDEN,
    "two lengths in one field": POST + b"Content-Length: 0, 48\r\n\r\n" + HIDDEN,
    "a length with a sign": POST + b"Content-Length: +0\r\n\r\n" + HIDDEN,
    "a length in another notation": POST + b"Content-Length: 0x0\r\n\r\n" + HIDDEN,
    "an empty length": POST + b"Content-Length:\r\n\r\n" + HIDDEN,
    "a negative length": POST + b"Content-Length: -1\r\n\r\n" + HIDDEN,
    "a length of another script": POST + "Content-Length: ٣\r\n\r\n".encode() + HIDDEN,
    "a folded length": POST + b"Content-Length:\r\n 0\r\n\r\n" + HIDDEN,
    "a folded encoding": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "a fold with a tab": GET + b"X-One: 1\r\n\tTransfer-Encoding: chunked\r\n\r\n" + HIDDEN,
    "a bare line feed behind a field": POST + b"X: 1\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "a bare line feed behind the request line": b"GET /healthz HTTP/1.1\nHost: localhost\r\n\r\n" + HIDDEN,
    "a head ended by bare line feeds": b"GET /healthz HTTP/1.1\nHost: localhost\n\n" + HIDDEN,
    "a bare carriage return": GET + b"X: 1\rTransfer-Encoding: chunked\r\n\r\n" + HIDDEN,
    "NUL in a value": GET + b"X: a\0b\r\n\r\n" + HIDDEN,
    "a control character in a value": GET + b"X: a\x01b\r\n\r\n" + HIDDEN,
    "a space before the colon": POST + b"Content-Length : 48\r\n\r\n" + HIDDEN,
    "a space before the name": POST + b" Content-Length: 48\r\n\r\n" + HIDDEN,
    "a field without a colon": GET + b"X-One\r\n\r\n" + HIDDEN,
    "a field without a name": GET + b": 1\r\n\r\n" + HIDDEN,
    "chunked twice": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "chunked in two fields": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n" + HIDDEN,
    "chunked not last": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + HIDDEN,
    "another encoding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "an encoding in quotes": POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n' + HIDDEN,
    "chunked before HTTP/1.1": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n" + HIDDEN,
    "two hosts": GET + b"Host: localhost\r\n\r\n" + HIDDEN,
    "an empty line first, a bare one": b"\n" + GET + b"\r\n" + HIDDEN,
    "a space in the target": b"GET /healthz /x HTTP/1.1\r\nHost: localhost\r\n\r\n" + HIDDEN,
    "bytes above ASCII in the target": b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n" + HIDDEN,
    "a control character in the target": b"GET /a\x0bb HTTP/1.1\r\nHost: localhost\r\n\r\n" + HIDDEN,
    "another version": b"GET /healthz HTTP/9.9\r\nHost: localhost\r\n\r\n" + HIDDEN,
    "no version": b"GET /healthz\r\n\r\n" + HIDDEN,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 200 + b"\r\n\r\n",
}  # fmt: skip

BAD_CHUNKS = {
    "a size with a sign": b"+1\r\nx\r\n0\r\n\r\n",
    "a size with a prefix": b"0x1\r\nx\r\n0\r\n\r\n",
    "a size with an underscore": b"1_0\r\n" + b"x" * 16 + b"\r\n0\r\n\r\n",
    "a size beyond all numbers": b"f" * 21 + b"\r\nx",
    "a size that is a blank": b" \r\nx\r\n0\r\n\r\n",
    "a bare line feed behind the size": b"1\nx\r\n0\r\n\r\n",
    "a bare line feed in an extension": b"1;a\nb\r\nx\r\n0\r\n\r\n",
    "a chunk that is longer than it says": b"1\r\nxyz\r\n0\r\n\r\n",
    "bare line feeds behind a chunk": b"1\r\nx\n\n0\r\n\r\n",
    "a trailer with a bare line feed": b"0\r\nX: 1\nY: 2\r\n\r\n",
    "a folded trailer": b"0\r\nX: 1\r\n Y: 2\r\n\r\n",
}


async def test_whatever_two_readers_could_take_differently_is_refused_and_the_connection_closed(tmp_path: Path) -> None:
    async with open_edge(tmp_path) as edge:
        for what, sent in REFUSED.items():
            answers = await edge.send(sent)
            assert [one.status for one in answers] in ([400], [501], [505]), what
            assert answers[0].headers["connection"] == "close", what
            assert answers[0].headers["content-type"] == "application/problem+json", what


async def test_chunks_that_are_not_written_by_the_rules_end_the_connection(tmp_path: Path) -> None:
    head = b"POST /api/v1/generations HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
    async with open_edge(tmp_path) as edge:
        for what, chunks in BAD_CHUNKS.items():
            sent = head + edge.authorization.encode() + b"\r\n\r\n" + chunks + HIDDEN
            answers = await edge.send(sent)
            # Refused, or cut; never one for the request that hides behind.
            assert [one.status for one in answers] in ([400], []), what


async def test_chunks_with_extensions_and_trailers_are_one_body(tmp_path: Path) -> None:
    chunks = b'3;name="a;b";x=1\r\n{"f\r\n9; y\r\niles":{} \r\n1\r\n}\r\n0;last\r\nHost: elsewhere\r\nX: 9\r\n\r\n'
    head = b"POST /api/v1/generations HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
    async with open_edge(tmp_path) as edge:
        sent = head + edge.authorization.encode() + b"\r\nConnection: close\r\n\r\n" + chunks
        (answer,) = await edge.send(sent)
    # The body was read: what it lacks is said.
    assert (answer.status, "invalid_generation" in answer.text) == (400, True)


async def test_equal_lengths_said_twice_are_refused_too(tmp_path: Path) -> None:
    async with open_edge(tmp_path) as edge:
        answers = await edge.send(POST + b"Content-Length: 2\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
    # h11 takes them for one (RFC 9110 section 8.6 allows it): the answer is that to a request without a token.
    assert [one.status for one in answers] == [401]


async def test_requests_one_behind_the_other_are_answered_in_their_order(tmp_path: Path) -> None:
    async with open_edge(tmp_path) as edge:
        answers = await edge.send(GET + b"\r\n" + GET.replace(b"healthz", b"nowhere") + b"Connection: close\r\n\r\n")
    assert [one.status for one in answers] == [200, 404]


async def test_a_body_of_a_request_that_is_refused_is_no_request(tmp_path: Path) -> None:
    async with open_edge(tmp_path) as edge:
        length = f"Content-Length: {len(HIDDEN)}\r\n\r\n".encode()
        answers = await edge.send(POST + length + HIDDEN + GET + b"Connection: close\r\n\r\n")
    assert next(one.status for one in answers) == 401
    assert all(b"openapi" not in one.body for one in answers)


async def test_a_head_that_is_too_long_is_431(tmp_path: Path) -> None:
    async with open_edge(tmp_path) as edge:
        for value in (b"a" * 17_000, b"a" * 70_000, b"a" * 1_000_000):
            answers = await edge.send(GET + b"X: " + value + b"\r\n\r\n")
            assert [one.status for one in answers] in ([431], [])
        (answer,) = await edge.send(GET + b"X: " + b"a" * 17_000 + b"\r\n\r\n")
        assert (answer.status, "head_too_large" in answer.text) == (431, True)


async def test_too_many_fields_are_431(tmp_path: Path) -> None:
    async with open_edge(tmp_path) as edge:
        fields = b"".join(f"X-{number}: 1\r\n".encode() for number in range(MAX_FIELDS))
        (answer,) = await edge.send(GET + fields + b"\r\n")
        assert answer.status == 431
        few = fields.split(b"\r\n", 2)[2]
        (answer,) = await edge.send(GET + few + b"Connection: close\r\n\r\n")
        assert answer.status == 200


async def test_a_trailer_without_end_is_cut(tmp_path: Path) -> None:
    head = b"POST /api/v1/generations HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
    async with open_edge(tmp_path) as edge:
        sent = head + edge.authorization.encode() + b"\r\n\r\n0\r\n" + b"X: y\r\n" * 20_000
        answers = await edge.send(sent)
    assert [one.status for one in answers] in ([431], [400], [])


async def test_an_upgrade_to_clear_text_http2_is_not_made(tmp_path: Path) -> None:
    fields = (
        b"Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
    )
    async with open_edge(tmp_path) as edge:
        answers = await edge.send(GET + fields + b"\r\n")
    assert [one.status for one in answers] == [200]


async def test_an_upgrade_to_a_websocket_that_is_not_there_is_refused(tmp_path: Path) -> None:
    fields = (
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://elsewhere\r\n"
    )
    async with open_edge(tmp_path) as edge:
        answers = await edge.send(GET + fields + b"\r\n")
    assert next(one.status for one in answers) in {400, 403, 404}


@settings(deadline=None)
@given(st.lists(st.sampled_from([b"GET / HTTP/1.1", b"\r\n", b"\n", b"\r", b" ", b"A: b", b"\0", b"\r\n\r\n"])))
def test_lines_come_out_whole_or_not_at_all_however_they_arrive(pieces: list[bytes]) -> None:
    """What is read does not depend on how the bytes were cut into packets."""

    def read(parts: list[bytes]) -> object:
        buffer = _StrictBuffer(1000)
        try:
            for part in parts:
                buffer.__iadd__(part)
                lines = buffer.maybe_extract_lines()
                if lines is not None:
                    return [bytes(line) for line in lines]
        except Exception as error:  # noqa: BLE001  whatever it is, it is compared
            return type(error)
        return None

    whole = b"".join(pieces)
    if not whole:
        return
    by_byte = read([bytes([one]) for one in whole])
    at_once = read([whole])
    assert by_byte == at_once
    if isinstance(at_once, list):
        assert not any(set(b"\r\n\0") & set(line) for line in at_once)
