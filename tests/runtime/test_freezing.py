"""Stopping the processes of a preview for a moment."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from preview.runtime import Freeze
from preview.runtime.kernel import proctree
from preview.runtime.kernel.verified import VerifiedProcess


def test_without_a_free_descriptor_stopped_processes_go_on_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_pid: int, _flags: int = 0) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    started = [subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) for _ in range(2)]
    identities = [found for one in started if (found := proctree.identify(one.pid)) is not None]
    freeze = Freeze()
    try:
        freeze.stop(lambda: [one.pid for one in started])
        assert not any(map(proctree.is_running, identities))
        with monkeypatch.context() as patch:
            patch.setattr(os, "pidfd_open", refuse)
            freeze.thaw()
        assert len(identities) == 2
        assert all(map(proctree.is_running, identities))
    finally:
        for one in started:
            one.kill()
            one.wait()


# Wakes all others of its group, as fast as it can.
WAKES = """
import os, signal, sys
others = [int(word) for word in sys.stdin.readline().split()]
while True:
    for pid in others:
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            sys.exit()
"""


def test_processes_that_wake_each_other_stand_still_or_are_told() -> None:
    started = [
        subprocess.Popen([sys.executable, "-I", "-S", "-c", WAKES], stdin=subprocess.PIPE, text=True) for _ in range(4)
    ]
    identities = [found for one in started if (found := proctree.identify(one.pid)) is not None]
    freeze = Freeze()
    try:
        for one in started:
            assert one.stdin is not None
            one.stdin.write(" ".join(str(other.pid) for other in started if other is not one) + "\n")
            one.stdin.close()
        for count in (2, 4, 4, 4):
            stand_still = freeze.stop(lambda count=count: [one.pid for one in started[:count]], 0.5)  # type: ignore[misc]
            assert not stand_still or not any(map(proctree.is_running, identities[:count]))
            freeze.thaw()
    finally:
        for one in started:
            one.kill()
            one.wait()


def test_what_cannot_be_stopped_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VerifiedProcess, "send", lambda *_: None)
    freeze = Freeze()
    assert not freeze.stop(lambda: [os.getpid()])
