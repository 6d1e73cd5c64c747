"""What schemathesis has found, each as a test of its own."""

from __future__ import annotations

from functools import partial

import pytest
import trio
from contract_checks import sentence_problem
from quart_trio import QuartTrio

from preview.auth import JwtAuthenticator, issue_token
from preview.cli.commands.request import _read_body, _split_query
from preview.cli.exits import UsageMistake
from preview.detection import overrides_from_request
from preview.errors import ConfigurationError, Forbidden, InvalidRequest
from preview.http.core.bodies import HistoryQuery, StreamQuery
from preview.http.core.reading import checked_query
from preview.http.identity import TokenAuthenticate
from preview.proxy import ProxyRequest, make_request, open_preview_client
from preview.proxy.headers import SERVICE_COOKIE
from preview.settings import load_settings


async def test_content_behind_the_answer_to_a_head_request_does_not_spoil_the_next_request() -> None:
    # As waitress writes it: the last chunk of a content that must not be there.
    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            async for request in stream:
                head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                await stream.send_all(head + (b"" if request.startswith(b"HEAD") else b"2\r\nok\r\n") + b"0\r\n\r\n")

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery, open_preview_client(load_settings()) as client:
            listeners = await nursery.start(partial(trio.serve_tcp, answer, 0, host="127.0.0.1"))
            address = listeners[0].socket.getsockname()
            await client.send(address, ProxyRequest("HEAD", "/"))
            assert (await client.send(address, ProxyRequest("PATCH", "/"))).body == b"ok"
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("query", ["after=1725954871413163039987570049024", "before=9223372036854775808"])
async def test_a_line_s_number_that_no_database_holds_is_a_wrong_value(query: str) -> None:
    async with QuartTrio("test", static_folder=None).test_request_context(f"/?{query}") as context:
        with pytest.raises(InvalidRequest, match="wrong value for"):
            checked_query(context.request, HistoryQuery)


async def test_a_resumed_line_s_number_that_no_database_holds_is_a_wrong_value() -> None:
    async with QuartTrio("test", static_folder=None).test_request_context("/?last_event_id=9223372036854775808") as one:
        with pytest.raises(InvalidRequest, match="wrong value for"):
            checked_query(one.request, StreamQuery)


@pytest.mark.parametrize("name", ["\0", "\x1f", "no-such-file-" + "x" * 5000])
def test_a_name_of_a_body_s_file_that_no_file_can_have_is_a_mistake_told_in_a_sentence(name: str) -> None:
    with pytest.raises(UsageMistake, match="cannot be read as the body") as caught:
        _read_body(f"@{name}")
    assert sentence_problem(caught.value.message) is None


@pytest.mark.parametrize("path", ["//[", "//[::1", "//a]/", "//[x]/"])
def test_half_of_an_address_is_not_a_path_on_the_preview(path: str) -> None:
    with pytest.raises(UsageMistake, match="start it with one slash"):
        _split_query(path)


def test_json_nested_without_end_on_the_command_line_is_sent_as_the_text_it_is() -> None:
    text = "[" * 200_000
    assert _read_body(text) == text


def test_half_a_character_in_a_header_for_the_preview_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="lone surrogate"):
        make_request("GET", "/", headers=[("X-A", "\udc80")], body_limit_bytes=10)


@pytest.mark.parametrize("body", [float("nan"), [float("inf")], 10**5000], ids=["nan", "inf", "digits"])
def test_a_body_that_json_cannot_hold_is_refused_rather_than_sent_broken(body: object) -> None:
    with pytest.raises(InvalidRequest, match="cannot be written as JSON"):
        make_request("POST", "/", body=body, body_limit_bytes=10_000)


def test_a_body_nested_without_end_is_refused() -> None:
    body: list[object] = []
    for _ in range(100_000):
        body = [body]
    with pytest.raises(InvalidRequest, match="nested too deeply"):
        make_request("POST", "/", body=body, body_limit_bytes=10_000)


def test_a_number_of_the_query_that_is_too_long_to_be_written_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="thousands of digits"):
        make_request("GET", "/", query={"a": 10**5000}, body_limit_bytes=10)


@pytest.mark.parametrize("key", ["\x1b[31mred\n", "k" * 5000])
def test_an_unknown_key_of_a_launch_request_is_told_on_one_short_line(key: str) -> None:
    with pytest.raises(InvalidRequest, match="there is no key") as caught:
        overrides_from_request({"start": {key: 1}})
    assert sentence_problem(caught.value.message) is None


@pytest.mark.parametrize("origin", [b"http://[", b"//]", b"http://[::1"])
async def test_an_origin_that_is_no_address_is_not_our_own_page_s(origin: bytes) -> None:
    settings, secret = load_settings(), "a secret of the tests, of at least 32 bytes"
    session = issue_token(settings, secret, "ann", tier=None, ttl_s=60)
    authenticate = TokenAuthenticate(JwtAuthenticator(settings, secret), SERVICE_COOKIE)
    headers = [(b"cookie", f"{SERVICE_COOKIE}={session}".encode()), (b"host", b"here"), (b"origin", origin)]
    with pytest.raises(Forbidden):
        await authenticate({"type": "http", "method": "POST", "headers": headers})


@pytest.mark.parametrize("name", ["trusted_proxies", "allowed_hosts", "cors_origins"])
def test_a_very_long_wrong_setting_is_told_in_a_short_sentence(name: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(**{name: "9\x1b/" * 2000})
    assert sentence_problem(caught.value.message) is None
