"""HTTP/1.1 as bytes: what is written is read as the same, however the bytes are cut on the way."""

from __future__ import annotations

import ast
import itertools
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from preview.proxy import http1
from preview.proxy.http1 import (
    CHUNKED,
    LAST_CHUNK,
    UNTIL_CLOSE,
    Field,
    Unclean,
    body_of,
    chunk,
    field_lines,
    framing_fields,
    read_answer,
    read_request,
    request_head,
)

NAMES = st.from_regex(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}", fullmatch=True).map(lambda name: b"X-" + name)
VALUES = st.from_regex(rb"[!-~\x80-\xff]([\t -~\x80-\xff]{0,20}[!-~\x80-\xff])?|", fullmatch=True)
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=6)
CUTS = st.lists(st.integers(0, 200), max_size=8)
NASTY = st.lists(
    st.sampled_from([b"1", b"a", b"F", b"0", b"\r\n", b"\r", b"\n", b";x=y", b" ", b"X: 1", b"\0", b"0\r\n\r\n"])
).map(b"".join)

# Content, what comes behind it, its trailers; or that it is not framed strictly.
Outcome = tuple[bytes, bytes, list[Field], bool] | str


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(one, len(data)) for one in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges) if start < end]


def read(length: int, pieces: list[bytes]) -> Outcome:
    """As who reads from a socket does: what comes behind the end is not fed any more."""
    body, content, behind = body_of(length), b"", b""
    try:
        for piece in pieces:
            if body.is_over:
                behind += piece
            else:
                content += b"".join(body.feed(memoryview(piece)))
    except Unclean:
        return "unclean"
    return content, body.rest + behind, body.trailers, body.is_over or body.end()


@given(st.lists(st.binary(max_size=40)), st.binary(max_size=10), FIELDS, CUTS)
@example([b"abc"], b"", [(b"X-Sum", b"7")], [3, 4, 5, 8, 9])
def test_chunks_that_are_written_are_read_as_the_same_content_however_they_are_cut(
    contents: list[bytes], behind: bytes, trailers: list[Field], cuts: list[int]
) -> None:
    wire = b"".join(b"".join(chunk([memoryview(one)])) for one in contents)
    wire += b"0\r\n%b\r\n" % field_lines(trailers) if trailers else LAST_CHUNK
    lowered = [(name.lower(), value) for name, value in trailers]
    assert read(CHUNKED, cut(wire + behind, cuts)) == (b"".join(contents), behind, lowered, True)


@given(NASTY | st.binary(max_size=60), CUTS)
def test_any_chunks_are_read_as_the_same_or_refused_however_they_are_cut(wire: bytes, cuts: list[int]) -> None:
    assert read(CHUNKED, cut(wire, cuts)) == read(CHUNKED, [wire] if wire else [])


@given(st.integers(0, 80), st.binary(max_size=60), CUTS)
def test_counted_content_ends_at_its_length_however_it_is_cut(length: int, wire: bytes, cuts: list[int]) -> None:
    is_whole = len(wire) >= length
    assert read(length, cut(wire, cuts)) == (wire[:length], wire[length:], [], is_whole)
    assert read(UNTIL_CLOSE, cut(wire, cuts)) == (wire, b"", [], True)


@given(
    st.sampled_from(["GET", "HEAD", "POST", "PUT", "X-OWN"]),
    st.from_regex(rb"/[!-\"$-~]{0,30}", fullmatch=True),
    FIELDS,
    st.sampled_from([None, 0, 7, CHUNKED]),
    st.booleans(),
)
def test_a_request_that_is_written_is_read_as_the_same(
    method: str, target: bytes, fields: list[Field], length: int | None, takes_trailers: bool
) -> None:
    head = request_head(method, target, [(b"Host", b"a:1"), *fields], length, takes_trailers=takes_trailers)
    assert head.endswith(b"\r\n\r\n")
    found, ask = read_request(head.removesuffix(b"\r\n\r\n"))
    assert (found, ask.method, ask.host, ask.is_11) == (target, method.encode(), b"a:1", True)
    assert (ask.length, ask.takes_trailers, ask.closes) == (length or 0, takes_trailers, method == "HEAD")
    assert [one for one in ask.fields if one[0].startswith(b"x-")] == [(name.lower(), value) for name, value in fields]


@pytest.mark.parametrize("upgrade", [b"", b"websocket"])
@pytest.mark.parametrize("expects", [True, False])
def test_what_a_request_says_of_the_connection_is_read_as_the_same(upgrade: bytes, expects: bool) -> None:
    length = None if upgrade else 5
    fields = framing_fields(b"POST", length, expects=expects, upgrade=upgrade)
    _, ask = read_request(b"POST / HTTP/1.1\r\nHost: a\r\n" + field_lines(fields).removesuffix(b"\r\n"))
    assert (ask.upgrade, ask.expects, ask.length) == (upgrade, expects and not upgrade, length or 0)


@given(st.integers(100, 599), FIELDS, st.none() | st.integers(0, 10**17), st.booleans())
def test_the_head_of_an_answer_is_read_as_it_is_written(
    status: int, fields: list[Field], length: int | None, is_head: bool
) -> None:
    framing = [] if length is None else [(b"Content-Length", b"%d" % length)]
    head = b"HTTP/1.1 %d Fine\r\n%b" % (status, field_lines([*fields, *framing]))
    answer = read_answer(head.removesuffix(b"\r\n"), is_head=is_head)
    is_empty = status < 200 or status in {204, 304} or is_head
    assert (answer.status, answer.reason) == (status, b"Fine")
    assert answer.length == (0 if is_empty else UNTIL_CLOSE if length is None else length)
    assert [one for one in answer.fields if one[0] != b"content-length"] == [(n.lower(), v) for n, v in fields]


def test_it_does_no_input_or_output() -> None:
    folder = Path(http1.__file__).parent
    imports = {
        node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
        for path in folder.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    own = {f"preview.proxy.http1.{path.stem}" for path in folder.glob("*.py")}
    assert imports - own == {"__future__", "collections.abc", "dataclasses", "preview.errors", "re", "typing"}
