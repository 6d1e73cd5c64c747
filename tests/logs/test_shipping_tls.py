"""Syslog over TLS: peers that lie, are silent or talk without an end get no line, and hold up nothing."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import structlog
import trio
import trustme
from log_room import make_settings

from preview.errors import ConfigurationError
from preview.logs import Batch
from preview.logs.shipping import shipper as shipper_module
from preview.logs.shipping import targets
from preview.logs.shipping.shipper import Shipper, open_shipping
from preview.logs.shipping.targets import target_at

Stream = trio.SSLStream[trio.SocketStream]
Serve = Callable[[Stream], Awaitable[None]]


def batch(message: str, first: int = 1) -> Batch:
    return Batch("preview_a", first, [1_795_857_220_123], bytes([3]), [message])


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    made = trustme.CA()
    made.cert_pem.write_to_path(tmp_path / "ca.pem")
    return made


@asynccontextmanager
async def syslog(tmp_path: Path, certificate: trustme.LeafCert, serve: Serve) -> AsyncIterator[Shipper]:
    """Ship to a TLS listener with this certificate, by the test's own authority."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    listeners = await trio.open_ssl_over_tcp_listeners(0, context, host="127.0.0.1")
    plain = listeners[0].transport_listener
    assert isinstance(plain, trio.SocketListener)
    address = f"syslog+tls://localhost:{plain.socket.getsockname()[1]}"

    async def handle(stream: Stream) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await serve(stream)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, handle, listeners)
        async with open_shipping(make_settings(tmp_path, log_shipping=address, ca=tmp_path / "ca.pem")) as made:
            assert made is not None
            yield made
        nursery.cancel_scope.cancel()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipper_module, "_RETRY_FIRST_S", 0.01)
    monkeypatch.setattr(shipper_module, "_RETRY_MOST_S", 0.05)
    monkeypatch.setattr(shipper_module, "_LAST_S", 0.05)


async def said(logs: list[structlog.typing.EventDict], event: str) -> structlog.typing.EventDict:
    while not (found := [one for one in logs if one["event"] == event]):
        await trio.lowlevel.checkpoint()
    return dict(found[0])


@pytest.mark.parametrize("lie", ["another authority", "another host"])
async def test_a_peer_with_a_wrong_certificate_gets_no_line(tmp_path: Path, authority: trustme.CA, lie: str) -> None:
    signer = trustme.CA() if lie == "another authority" else authority
    certificate = signer.issue_cert("localhost" if lie == "another authority" else "other.example")
    got: list[bytes] = []

    async def serve(stream: Stream) -> None:
        got.append(bytes(await stream.receive_some()))

    with trio.fail_after(30), structlog.testing.capture_logs() as logs:
        async with syslog(tmp_path, certificate, serve) as made:
            made.offer(batch("a secret"))
            reason = (await said(logs, "log target failed"))["reason"]
            # Nothing is lost yet: the operator may mend it.
            assert made.queued_bytes > 0
            assert (made.shipped_lines, made.lost_lines) == (0, 0)
    assert reason.startswith("certificate: ")
    assert b"".join(got) == b""


async def test_a_peer_that_is_silent_at_the_handshake_is_left_after_a_time(
    tmp_path: Path, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "_CONNECT_S", 0.1)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    configured = make_settings(tmp_path, log_shipping=f"syslog+tls://localhost:{port}", ca=tmp_path / "ca.pem")
    with trio.fail_after(30), structlog.testing.capture_logs() as logs:
        async with open_shipping(configured) as made:
            assert made is not None
            made.offer(batch("hello"))
            assert (await said(logs, "log target failed"))["reason"] == "TooSlowError"
    await listeners[0].aclose()


async def test_a_peer_that_talks_without_an_end_is_left(
    tmp_path: Path, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "_MOST_READ_BYTES", 1000)
    connections = 0

    async def serve(stream: Stream) -> None:
        nonlocal connections
        connections += 1
        while True:
            await stream.send_all(b"x" * 1000)

    with trio.fail_after(30):
        async with syslog(tmp_path, authority.issue_cert("localhost"), serve) as made, trio.open_nursery() as nursery:

            async def offer() -> None:
                while True:
                    made.offer(batch("hello"))
                    await trio.sleep(0.005)

            nursery.start_soon(offer)
            while connections < 3:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()


async def test_lines_reach_a_syslog_server_by_tls(tmp_path: Path, authority: trustme.CA) -> None:
    got, is_there = bytearray(), trio.Event()

    async def serve(stream: Stream) -> None:
        async for part in stream:
            got.extend(part)
            if got.count(b"hello") == 20:
                is_there.set()

    with trio.fail_after(30):
        async with syslog(tmp_path, authority.issue_cert("localhost"), serve) as made:
            for number in range(1, 21):
                made.offer(batch("hello", number))
            await is_there.wait()
    head, _, _ = bytes(got).partition(b" ")
    assert got[len(head) + 1 :].startswith(b"<131>1 2026-")
    assert [f'seq="{number}"'.encode() in got for number in range(1, 21)] == [True] * 20


def test_a_wrong_file_of_an_authority_is_named(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    for path in (wrong, tmp_path / "missing.pem"):
        with pytest.raises(ConfigurationError, match="PREVIEW_CA"):
            target_at("syslog+tls://localhost", ca=path)
