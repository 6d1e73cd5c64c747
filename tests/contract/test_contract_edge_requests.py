"""Requests as callers describe them: any of them is sent as it should be, or refused."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import unquote_to_bytes

import h11
import pytest
from contract_cases import bounded
from contract_edges import JSON, NASTY, TEXT, attempt, judge
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from quart_trio import QuartTrio

from preview.cli.commands.request import _read_body, _split_header, _split_query
from preview.errors import PreviewError
from preview.http.core.bodies import EnvelopeBody, HistoryQuery, ListQuery, StreamQuery, V1LaunchBody
from preview.http.core.reading import checked_query, preferred_wait_s, read_json
from preview.http.routes.logs import _resume_after
from preview.proxy import ProxyRequest, make_request, returned_headers
from preview.proxy.client import _fields
from preview.proxy.http1 import request_head
from preview.storage.users import decode_cursor, encode_cursor

APP = QuartTrio("test", static_folder=None)
METHODS = st.sampled_from(["GET", "post", "DELETE", "\u017f", "CONNECT", "GET /x HTTP/1.1\r\n"]) | TEXT
PATHS = st.just("/").flatmap(lambda slash: TEXT.map(slash.__add__)) | TEXT
NAMES = (
    st.sampled_from(
        ["X-A", "Accept", "Host", "Cookie", "Connection", "Content-Length", "Transfer-Encoding", "X-Preview-Token"]
    )
    | TEXT
)
# What a server hands on of a request's head: latin-1, and no line breaks.
FIELD = st.text(st.characters(max_codepoint=255, exclude_characters="\0\r\n"), max_size=60)


def _written(value: Any) -> bytes:
    try:
        return json.dumps({"timeout": value, "query": value, "path": value, "start": value}).encode()
    except ValueError:
        return b""


@bounded(100)
@given(METHODS, PATHS, st.dictionaries(TEXT, JSON, max_size=3), st.lists(st.tuples(NAMES, TEXT), max_size=4), JSON)
def test_any_envelope_is_one_request_on_the_wire_or_refused(
    method: str, path: str, query: dict[str, Any], headers: list[tuple[str, str]], body: Any
) -> None:
    made = attempt(make_request, method, path, query=query, headers=headers, body=body, body_limit_bytes=1000)
    if made is not None:
        _assert_is_one_request(made)


def _assert_is_one_request(made: ProxyRequest) -> None:
    target, length = made.target, None if made.body is None else len(made.body)
    written = request_head(made.method, target, _fields(("127.0.0.1", 3001), made), length) + (made.body or b"")
    server = h11.Connection(h11.SERVER)
    server.receive_data(written)
    events = [server.next_event()]
    while not isinstance(events[-1], h11.EndOfMessage):
        assert events[-1] is not h11.NEED_DATA
        events.append(server.next_event())
    head, rest = events[0], events[1:]
    assert isinstance(head, h11.Request)
    assert head.target == target
    assert [value for name, value in head.headers if name == b"host"] == [b"127.0.0.1:3001"]
    assert b"".join(bytes(event.data) for event in rest if isinstance(event, h11.Data)) == (made.body or b"")
    assert server.trailing_data == (b"", False)
    if (b"content-type", b"application/json") in list(head.headers):
        json.loads(made.body or b"", parse_constant=pytest.fail)
    meant = unquote_to_bytes(target.partition(b"?")[0])
    assert meant.startswith(b"/")
    assert not meant.startswith(b"//")
    assert b".." not in meant.split(b"/")


@bounded(100)
@given(st.lists(st.tuples(TEXT, TEXT), max_size=6))
def test_any_fields_of_an_answer_travel_or_are_dropped(fields: list[tuple[str, str]]) -> None:
    kept = returned_headers(fields)
    assert all(field in fields for field in kept)
    assert not {"transfer-encoding", "connection"} & {name.lower() for name, _ in kept}


@bounded(100)
@given(TEXT | st.text("abcdefABCDEF0123456789-_=", max_size=300))
def test_any_cursor_is_a_place_or_refused(cursor: str) -> None:
    place = attempt(decode_cursor, cursor)
    if place is not None:
        assert decode_cursor(encode_cursor(*place)) == place


@bounded(100)
@given(
    st.lists(st.sampled_from(["wait", "=", ",", ";", '"', " ", "5", "999999", "-", "respond-async"]) | FIELD).map(
        "".join
    )
)
def test_any_prefer_header_is_seconds_or_ignored(value: str) -> None:
    seconds = preferred_wait_s(value)
    assert seconds is None or 0 <= seconds < 10**6


@bounded(100)
@given(header=FIELD | st.integers().map(str) | NASTY.filter(lambda one: one.isascii() and one.isprintable()))
async def test_any_last_event_id_is_a_number_or_ignored(header: str) -> None:
    async with APP.test_request_context("/", headers={"Last-Event-ID": header}):
        after = _resume_after(StreamQuery())
    assert after == (int(header) if re.fullmatch(r"[0-9]{1,18}", header) else None)


@bounded(100)
@given(
    model=st.sampled_from([ListQuery, HistoryQuery, StreamQuery]),
    raw=st.lists(
        st.tuples(
            st.sampled_from(["limit", "cursor", "status", "after", "before", "tail", "ticket", "follow", "x"]),
            st.sampled_from(["=", "==", "", "=%ff", "=%00", "=1", "=-1", "=1e400", "=\uff19", "=" + "9" * 5000]),
            st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20),
        ).map("".join),
        max_size=5,
    ).map("&".join),
)
async def test_any_query_is_understood_or_refused(model: type[BaseModel], raw: str) -> None:
    async with APP.test_request_context("/") as context:
        context.request.query_string = raw.encode()
        attempt(checked_query, context.request, model)


@bounded(100)
@given(
    model=st.sampled_from([V1LaunchBody, EnvelopeBody]),
    raw=st.binary(max_size=200) | JSON.map(_written) | st.just(b"[" * 100_000) | st.just(b'{"a":' * 9999),
)
async def test_any_body_is_understood_or_refused(model: type[BaseModel], raw: bytes) -> None:
    async with APP.test_request_context(
        "/", method="POST", data=raw, headers={"Content-Type": "application/json"}
    ) as one:
        refusal = None
        try:
            await read_json(one.request, model, limit_bytes=1_000_000)
        except PreviewError as error:
            refusal = error
    if refusal is not None:
        judge(refusal)


@bounded(100)
@given(PATHS, TEXT, TEXT)
def test_any_arguments_of_the_request_command_are_understood_or_refused(path: str, header: str, data: str) -> None:
    asked = attempt(_split_query, path)
    assert asked is None or asked["path"].startswith("/")
    attempt(_split_header, header)
    attempt(_read_body, data)
