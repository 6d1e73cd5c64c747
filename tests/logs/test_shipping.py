"""Shipping of lines: targets that are slow, absent or break off, and texts that would forge a message."""

from __future__ import annotations

import errno
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from log_room import make_settings

from preview.errors import ConfigurationError
from preview.logs import Batch
from preview.logs.shipping import shipper as shipper_module
from preview.logs.shipping import targets
from preview.logs.shipping.shipper import Shipper, open_shipping
from preview.logs.shipping.target import Sink
from preview.logs.shipping.targets import json_lines, syslog_lines, target_at


def batch(*messages: str, first: int = 1) -> Batch:
    stamps = [1_795_857_220_123] * len(messages)
    return Batch("preview_a", first, stamps, bytes([3] * len(messages)), messages, {0: 'a"]\\'})


def messages_of(data: bytes) -> list[bytes]:
    found = []
    while data:
        length, _, data = data.partition(b" ")
        found.append(data[: int(length)])
        data = data[int(length) :]
    return found


@given(st.lists(st.text(max_size=30), min_size=1, max_size=5))
def test_no_line_forges_another_message(texts: list[str]) -> None:
    found = messages_of(syslog_lines(batch(*texts)))
    assert len(found) == len(texts)
    for seq, (message, text) in enumerate(zip(found, texts, strict=True), 1):
        assert f' seq="{seq}" '.encode() in message
        assert message.partition("] \ufeff".encode())[2] == text.encode("utf-8", "replace")
    assert [json.loads(line)["seq"] for line in json_lines(batch(*texts)).splitlines()] == list(
        range(1, len(texts) + 1)
    )


def test_a_message_of_syslog() -> None:
    (message,) = messages_of(syslog_lines(batch("lost <b>")))
    assert re.fullmatch(
        r"<131>1 2026-11-28T\S+\.123Z \S+ preview preview_a - "
        r'\[preview@32473 seq="1" source="subprocess" request="a\\"\\]\\\\"\] \ufefflost <b>',
        message.decode(),
    )


@pytest.mark.parametrize(
    "address", ["", "http://x", "file:relative", "pipe:", "pipe:'", "syslog+tcp://", "syslog+tcp://h:x"]
)
def test_a_wrong_address_is_refused_without_being_shown(address: str) -> None:
    with pytest.raises(ConfigurationError, match="PREVIEW_LOG_SHIPPING must be"):
        target_at(address)


async def test_a_target_that_never_reads_costs_no_memory_and_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipper_module, "_QUEUE_BYTES", 10_000)

    @asynccontextmanager
    async def stuck() -> AsyncIterator[Sink]:
        await trio.sleep_forever()
        yield

    made = Shipper(stuck, json_lines)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.run)
        for number in range(1000):
            made.offer(batch("x" * 100, first=number + 1))
        assert made.queued_bytes <= 10_000
        assert made.lost_lines > 900
        nursery.cancel_scope.cancel()


async def test_lines_reach_syslog_after_it_breaks_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipper_module, "_RETRY_FIRST_S", 0.01)
    listener = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener[0].socket.getsockname()[1]
    settings = make_settings(tmp_path, log_shipping=f"syslog+tcp://127.0.0.1:{port}")
    with trio.fail_after(30):
        async with open_shipping(settings) as made:
            assert made is not None
            made.offer(batch("first"))
            async with await listener[0].accept() as stream:
                assert b"first" in await stream.receive_some()
            got = b""
            async with trio.open_nursery() as nursery:

                async def offer_on() -> None:
                    while True:
                        made.offer(batch("again"))
                        await trio.sleep(0.005)

                nursery.start_soon(offer_on)
                async with await listener[0].accept() as stream:
                    while b"again" not in got:
                        got += await stream.receive_some()
                nursery.cancel_scope.cancel()
    await listener[0].aclose()


async def test_a_file_is_rotated_and_has_all_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "_FILE_BYTES", 1000)
    monkeypatch.setattr(shipper_module, "_SENT_BATCHES", 1)
    path = tmp_path / "lines"
    async with open_shipping(make_settings(tmp_path, log_shipping=f"file:{path}")) as made:
        assert made is not None
        for number in range(1, 21):
            made.offer(batch(f"line {number}", first=number))
        with trio.fail_after(20):
            while made.shipped_lines < 20:
                await trio.lowlevel.checkpoint()
    parts = [one.read_text() for one in sorted(tmp_path.glob("lines*"), reverse=True)]  # noqa: ASYNC240  a test's own
    assert len(parts) > 2
    seqs = [json.loads(line)["seq"] for part in parts for line in part.splitlines()]
    assert seqs == list(range(1, 21))
    assert path.stat().st_mode & 0o077 == 0


async def test_a_program_gets_lines_and_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREVIEW_JWT_SECRET", "s3cr3t-value")
    out = tmp_path / "out"
    code = f"import os,sys; open({str(out)!r}, 'w').write(sys.stdin.readline() + str(dict(os.environ)))"
    async with open_shipping(make_settings(tmp_path, log_shipping=f'pipe:{sys.executable} -c "{code}"')) as made:
        assert made is not None
        made.offer(batch("hello"))
        with trio.fail_after(30):
            while not out.exists() or "PATH" not in out.read_text():
                await trio.lowlevel.checkpoint()
    assert json.loads(out.read_text().splitlines()[0])["message"] == "hello"
    assert "s3cr3t-value" not in out.read_text()


async def test_a_program_reads_to_the_end_what_was_shipped(tmp_path: Path) -> None:
    """It reads its input only when that is complete, and so after the service's end began."""
    out = tmp_path / "out"
    code = f"import sys; open({str(out)!r}, 'w').write(sys.stdin.read())"
    async with open_shipping(make_settings(tmp_path, log_shipping=f'pipe:{sys.executable} -c "{code}"')) as made:
        assert made is not None
        made.offer(batch("hello"))
        with trio.fail_after(30):
            while made.shipped_lines == 0:
                await trio.lowlevel.checkpoint()
    assert json.loads(out.read_text())["message"] == "hello"


async def test_a_batch_that_was_cut_at_the_end_is_sent_on_a_new_connection() -> None:
    """What follows a cut message is read as its rest."""
    opened: list[list[bytes]] = []

    class Cut:
        async def send(self, data: bytes) -> None:
            opened[-1].append(data)
            if len(opened) == 1:
                await trio.sleep_forever()

    @asynccontextmanager
    async def opener() -> AsyncIterator[Cut]:
        opened.append([])
        yield Cut()

    shipper = Shipper(opener, lambda _batch: b"line")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shipper.run)
        shipper.offer(batch("hello"))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert opened == [[b"line"], [b"line"]]


async def test_no_line_counts_as_shipped_to_a_daemon_that_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first send after its end would succeed; only the next one would fail."""
    monkeypatch.setattr(shipper_module, "_RETRY_FIRST_S", 0.01)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    with trio.fail_after(60):
        async with open_shipping(make_settings(tmp_path, log_shipping=f"syslog+tcp://127.0.0.1:{port}")) as made:
            assert made is not None
            made.offer(batch("first"))
            async with await listeners[0].accept() as stream:
                assert b"first" in await stream.receive_some()
            await trio.testing.wait_all_tasks_blocked(0.01)
            made.offer(batch("second", first=2))
            async with await listeners[0].accept() as stream:
                assert b"second" in await stream.receive_some()
    await listeners[0].aclose()


async def test_a_full_disk_leaves_no_part_of_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, write, left = tmp_path / "lines", os.write, list[int]()

    def full(descriptor: int, data: bytes) -> int:
        if left and not left.pop():
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[:7])

    file = targets._File(path)
    file.open()
    await file.send(b'{"seq":1}\n')
    left[:] = [0, 1]
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        await file.send(b'{"seq":2}\n')
    assert path.read_bytes() == b'{"seq":1}\n'
    await file.send(b'{"seq":2}\n')
    file.close()
    assert path.read_bytes() == b'{"seq":1}\n{"seq":2}\n'


async def test_a_line_that_a_kill_has_cut_is_not_joined_with_the_next(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b'{"seq":1')
    async with targets._open_file(path) as file:
        await file.send(b'{"seq":2}\n')
    assert path.read_bytes() == b'{"seq":1\n{"seq":2}\n'


async def test_what_another_program_has_written_stays_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, write, calls = tmp_path / "lines", os.write, list[int]()

    def full(descriptor: int, data: bytes) -> int:
        calls.append(1)
        if len(calls) == 2:
            with path.open("ab") as other:
                other.write(b"\nother\n")
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[:7])

    file = targets._File(path)
    file.open()
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space"):
            await file.send(b'{"seq":2}\n')
    file.close()
    assert path.read_bytes() == b'{"seq":\nother\n'


async def test_a_file_that_may_only_be_written_gets_its_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, opened = tmp_path / "lines", os.open
    path.write_bytes(b'{"seq":1}\n')

    def refuse(*given: Any, **_: Any) -> int:
        if isinstance(given[1], str) or given[1] & os.O_ACCMODE == os.O_RDONLY:
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(*given)

    # The tests may run as a user who reads every file.
    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(Path, "open", refuse)
    async with targets._open_file(path) as file:
        await file.send(b'{"seq":2}\n')
    assert path.stat().st_size == len(b'{"seq":1}\n{"seq":2}\n')
