"""Stopping the processes of a preview for a moment."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from preview.runtime import Freeze
from preview.runtime.kernel import proctree


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
