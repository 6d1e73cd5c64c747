"""What a preview can send along with its words: a descriptor whose close takes as long as it likes."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
import trio
from hostile_forks import LINGER
from runtime_kit import open_descriptors

from preview.runtime import inbound
from preview.runtime.inbound import Word, close_inbound, receive_now, seal
from preview.supervisor.preview.control import open_control

# No option of a socket has this number: as on a kernel that cannot refuse descriptors at the sender.
NO_OPTION = 9999
# What lingers does so for an hour.
SOON_S = 5.0


@pytest.fixture(params=["refuses descriptors", "passes descriptors"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    name: str = request.param
    if name == "passes descriptors":
        monkeypatch.setattr(inbound, "_SO_PASSRIGHTS", NO_OPTION)
    return name


@contextmanager
def hostile(theirs: socket.socket, word: bytes) -> Iterator[None]:
    """A process that gives away the only descriptor of a connection that lingers, and keeps the other end open."""
    pid = os.fork()
    if pid == 0:
        with suppress(BaseException):
            names: dict[str, object] = {"socket": socket, "struct": struct}
            exec(compile(LINGER, "<linger>", "exec"), names)
            kept = names["give"](theirs, word)  # type: ignore[operator]  # of the text
            theirs.send(b"sent\n")
            time.sleep(600)
            del kept
        os._exit(0)
    try:
        yield
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


def readable(ours: socket.socket) -> Word:
    deadline = time.monotonic() + SOON_S
    while time.monotonic() < deadline:
        with suppress(BlockingIOError):
            return receive_now(ours, 64)
        time.sleep(0.001)
    raise AssertionError("nothing came")


def in_time(started: float) -> bool:
    return time.monotonic() - started < SOON_S


def test_a_descriptor_whose_close_waits_holds_up_nobody_who_reads(kernel: str) -> None:
    before = open_descriptors()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    seal(ours)
    with theirs, hostile(theirs, b"here"):
        started = time.monotonic()
        word = readable(ours)
        assert word.data == b"here"
        assert word.had_descriptors is (kernel == "passes descriptors")
        close_inbound(ours)
        assert in_time(started)
    for thread in threading.enumerate():
        if thread.name == "discarded descriptors":
            thread.join(SOON_S)
    assert open_descriptors() <= before


@pytest.mark.usefixtures("kernel")
def test_a_descriptor_that_was_not_read_holds_up_nobody_who_closes() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    seal(ours)
    with theirs, hostile(theirs, b"here"):
        # The word is there, with what it brings, and stays unread.
        ours.setblocking(True)
        assert ours.recv(1, socket.MSG_PEEK)
        started = time.monotonic()
        close_inbound(ours)
        assert in_time(started)


@pytest.mark.usefixtures("kernel")
async def test_a_process_cannot_hold_up_the_service_over_its_control_channel() -> None:
    with trio.fail_after(60), open_control() as control:
        with hostile(control.theirs, b"ready\n"):
            control.has_started()
            started = time.monotonic()
            with trio.move_on_after(1):
                await control.listen()
            assert in_time(started)
            started = time.monotonic()
        assert in_time(started)


def test_the_sender_of_a_word_is_named_by_the_kernel() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    seal(ours)
    with theirs:
        pid = os.fork()
        if pid == 0:
            theirs.send(b"app")
            os._exit(0)
        os.waitpid(pid, 0)
        assert receive_now(ours, 64) == Word(b"app", pid, had_descriptors=False)
        forged = struct.pack("iII", 1, 0, 0)
        theirs.setblocking(False)
        with suppress(PermissionError):
            theirs.sendmsg([b"app"], [(socket.SOL_SOCKET, 2, forged)])
    close_inbound(ours)
    close_inbound(ours)
