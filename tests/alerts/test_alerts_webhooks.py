"""Webhooks: signed, and harmless whatever the receiver does."""

from __future__ import annotations

import hmac
import ipaddress
import json
import socket
import ssl
import threading
from hashlib import sha256

import pytest
import trio
import trustme
from hypothesis import given
from hypothesis import strategies as st
from receiver_kit import FakeResolver, local_sender, message, open_receiver

from preview.alerts.webhooks.addresses import AddressPolicy, is_public
from preview.alerts.webhooks.message import FIELD_NAMES, body_of, check_template
from preview.alerts.webhooks.network import Resolver
from preview.alerts.webhooks.sender import WebhookSender
from preview.alerts.webhooks.target import parse_target
from preview.errors import InvalidRequest

FIELDS: dict[str, str | int | bool | None] = dict.fromkeys(FIELD_NAMES, "x")


# Addresses


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.9.9.9", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
        "169.254.169.254", "100.64.0.1", "100.127.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "198.18.0.1",
        "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "::", "::1",
        "fe80::1", "fe80::1%lo", "fec0::1", "fc00::1", "fd00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8",
        "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1", "2001::1", "2001:db8::1",
        "2002:7f00:1::", "100::1", "5f00::1", "3fff::1", "not an address", "",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    assert AddressPolicy().problem(address, 443) is not None


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "100.128.0.1", "2606:4700:4700::1111", "2a00:1450::1"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@given(st.ip_addresses())
def test_no_address_is_public_that_python_calls_private(address: object) -> None:
    if is_public(address):  # type: ignore[arg-type]  # of either version
        assert address.is_global  # type: ignore[attr-defined]
        assert not address.is_multicast  # type: ignore[attr-defined]


def test_the_operator_can_allow_networks_but_not_the_port_of_the_service() -> None:
    policy = AddressPolicy(("127.0.0.0/8", "10.0.0.0/8"), own_port=8000)
    assert policy.problem("127.0.0.1", 9000) is None
    assert policy.problem("127.0.0.1", 8000) == "belongs to this service"
    assert policy.problem("::1", 9000) is not None
    assert policy.problem("::ffff:127.0.0.1", 9000) is not None


# URLs


@pytest.mark.parametrize(
    "url",
    [
        "", "example.com", "ftp://example.com/", "file:///etc/passwd", "https://", "https:///path", "http://:80/",
        "https://user:password@example.com/", "https://example.com/#part", "https://example.com:0/",
        "https://example.com:99999/", "https://exa mple.com/", "https://example.com/\r\nX-Evil: 1",
        "http://2130706433/", "http://0x7f000001/", "http://0x7f.1/", "http://127.1/", "http://0177.0.0.1/",
        "http://1.2.3.4.5/", "http://[::1/", "http://[fe80::1%25eth0]/", f"https://{'a' * 300}.com/",
        f"https://example.com/{'a' * 2000}", "https://-.com/", "gopher://127.0.0.1/", "https://a..b/",
    ],
)  # fmt: skip
def test_odd_urls_are_refused(url: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_target(url)


@given(st.text(max_size=80) | st.text(max_size=80).map("https://{}".format))
def test_any_text_is_a_target_or_refused(url: str) -> None:
    try:
        target = parse_target(url)
    except InvalidRequest:
        return
    assert target.host
    assert target.host.isascii()
    assert 0 < target.port <= 65535


def test_a_url_has_a_host_port_and_path() -> None:
    target = parse_target("https://Hooks.Example.com/a/b?c=%20d")
    assert (target.scheme, target.host, target.port, target.path) == ("https", "hooks.example.com", 443, "/a/b?c=%20d")
    assert target.authority == "hooks.example.com"
    assert parse_target("http://[2606:4700::1111]:8080").authority == "[2606:4700::1111]:8080"


# Templates


def test_a_template_has_fields_by_name_and_runs_no_code() -> None:
    template = {"text": "{alert}: {summary} {matches}", "n": "{matches}", "list": ["{line}", 7], "{alert}": None}
    check_template(template)
    fields = FIELDS | {"alert": 'a"b', "summary": "{line}", "matches": 5, "line": "{secret}\n"}
    assert json.loads(body_of(template, fields)) == {
        "text": 'a"b: {line} 5',
        "n": 5,
        "list": ["{secret}\n", 7],
        "{alert}": None,
    }


@pytest.mark.parametrize(
    "template",
    [
        {"text": "{secret}"},
        {"text": "{__class__}"},
        {"text": "x" * 5000},
        {"text": "{line}" * 100},
        {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": 1}}}}}}}}},
    ],
)
def test_templates_with_other_fields_or_too_large_ones_are_refused(template: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest):
        check_template(template)


# Sending


async def test_a_webhook_is_signed_over_its_time_and_body() -> None:
    async with open_receiver() as receiver:
        result = await local_sender().send(message(receiver.url(), body=b'{"a": 1}'))
        assert (result.status, result.problem) == (204, None)
        [got] = receiver.received
        assert got.path == "/hook?a=1"
        timestamp = got.headers["x-preview-timestamp"]
        expected = hmac.new(b"s3cret", timestamp.encode() + b'.{"a": 1}', sha256).hexdigest()
        assert got.headers["x-preview-signature"] == f"v1={expected}"
        assert got.headers["x-preview-delivery"] == "firing_1"
        assert got.headers["content-type"] == "application/json"
        assert got.headers["host"] == f"127.0.0.1:{receiver.port}"


async def test_a_webhook_over_tls_keeps_the_name_and_checks_the_certificate() -> None:
    authority, server = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("hooks.example").configure_cert(server)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    names: list[object] = []
    server.sni_callback = lambda _socket, name, _context: names.append(name)
    resolver = FakeResolver(hooks_example=[["127.0.0.1"]], other_example=[["127.0.0.1"]])
    async with open_receiver(tls=server) as receiver:
        sender = local_sender(look_up=resolver, trust=trust)
        result = await sender.send(message(receiver.url("hooks.example", "https")))
        assert (result.status, result.problem, names) == (204, None, ["hooks.example"])
        assert receiver.received[0].headers["host"] == f"hooks.example:{receiver.port}"
        wrong = await sender.send(message(receiver.url("other.example", "https")))
        assert wrong.status is None
        assert "certificate" in str(wrong.problem)
        assert len(receiver.received) == 1


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_loopback_is_not_reached_unless_allowed(host: str) -> None:
    async with open_receiver() as receiver:
        result = await WebhookSender(AddressPolicy()).send(message(receiver.url(host)))
        assert result.status is None
        assert "PREVIEW_WEBHOOK_NETWORKS" in str(result.problem)
        assert not result.may_succeed_later
        assert receiver.connections == 0


async def test_a_name_that_changes_its_address_after_the_check_gains_nothing() -> None:
    # The resolver says a public address first, and loopback if it were called again to connect.
    resolver = FakeResolver(rebind_example=[["192.88.99.1"], ["127.0.0.1"]])
    async with open_receiver() as receiver:
        sender = WebhookSender(AddressPolicy(), look_up=resolver)
        result = await sender.send(message(receiver.url("rebind.example")))
        assert result.problem is not None
        assert resolver.asked == ["rebind.example"]
        assert receiver.connections == 0


async def test_only_the_checked_addresses_of_a_mixed_answer_are_connected_to() -> None:
    resolver = FakeResolver(mixed_example=[["127.0.0.1", "127.0.0.2"]])
    async with open_receiver() as receiver:
        sender = WebhookSender(AddressPolicy(("127.0.0.2/32",)), look_up=resolver)
        result = await sender.send(message(receiver.url("mixed.example")))
        assert "failed" in str(result.problem)
        assert receiver.connections == 0


async def test_a_redirect_to_an_internal_address_is_not_followed() -> None:
    async with open_receiver() as inside, open_receiver() as receiver:
        receiver.answers, receiver.fields = [302, 307, 301], [("Location", inside.url())]
        for status in (302, 307, 301):
            result = await local_sender().send(message(receiver.url()))
            assert result.status == status
            assert "redirects are not followed" in str(result.problem)
            assert not result.may_succeed_later
        assert inside.connections == 0


@pytest.mark.parametrize(("status", "later"), [(500, True), (503, True), (429, True), (404, False), (410, False)])
async def test_failures_are_sentences(status: int, later: bool) -> None:
    async with open_receiver() as receiver:
        receiver.answers = [status]
        result = await local_sender().send(message(receiver.url()))
        assert (result.status, result.problem) == (status, f"127.0.0.1 answered {status}.")
        assert result.may_succeed_later is later


async def test_a_receiver_that_hangs_costs_the_time_limit_only() -> None:
    for greeting in (b"", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"):

        async def hang(stream: trio.abc.Stream, greeting: bytes = greeting) -> None:
            await stream.send_all(greeting)
            await trio.sleep_forever()

        async with open_receiver(hang) as receiver:
            with trio.fail_after(5):
                result = await local_sender(attempt_s=0.2).send(message(receiver.url()))
            assert result.problem == "127.0.0.1 did not answer within 0.2 s."
            assert result.may_succeed_later


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536),
        (b"HTTP/1.1 200 OK\r\n", b"X-More: " + b"x" * 4000 + b"\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1;" + b"x" * 4000 + b"\r\nx\r\n"),
        (b"", b"\xff" * 4096),
    ],
)
async def test_a_receiver_that_floods_is_left(start: bytes, piece: bytes) -> None:
    sent = 0

    async def flood(stream: trio.abc.Stream) -> None:
        nonlocal sent
        await stream.send_all(start)
        while True:
            await stream.send_all(piece)
            sent += len(piece)

    async with open_receiver(flood) as receiver:
        with trio.fail_after(5):
            await local_sender().send(message(receiver.url()))
        # What the kernel's buffers take, and no more.
        assert sent < 16 * 1024 * 1024


async def test_a_name_that_does_not_resolve_and_a_closed_port_are_sentences() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    nowhere = await local_sender(look_up=FakeResolver()).send(message("http://nowhere.example/"))
    assert nowhere.problem == "The name nowhere.example does not resolve."
    refused = await local_sender().send(message(f"http://127.0.0.1:{port}/"))
    assert "Connection refused" in str(refused.problem)
    assert nowhere.may_succeed_later
    assert refused.may_succeed_later


async def test_a_resolver_that_hangs_blocks_its_user_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    real = socket.getaddrinfo

    def hang(host: str, *args: object, **options: object) -> object:
        if host == "slow.example":
            release.wait(10)
            raise OSError
        return real(host, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    resolver = Resolver()
    try:
        for _ in range(30):
            with trio.move_on_after(0.005):
                await resolver("slow.example", 80, "mallory")
        with trio.fail_after(5):
            assert list(await resolver("127.0.0.1", 80, "anna")) == ["127.0.0.1"]
        assert resolver._shared.borrowed_tokens == 2
    finally:
        release.set()
