"""What is seen from outside of a fork that is not held in, and when it is taken for one that has ended."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from limit_kit import no_descriptor_free

from preview.runtime.warm import eligibility
from preview.runtime.warm.eligibility import find_fault, namespaces_of

OTHER_USER = 4_000_000
RUNS = "print('up', flush=True); import time; time.sleep(600)"
# Its first thread ends, and the process looks like a zombie; the other runs on.
THREAD_RUNS = """
import ctypes, threading, time
def run():
    while open('/proc/self/stat').read().rpartition(')')[2].split()[0] != 'Z': time.sleep(0.001)
    print('up', flush=True)
    time.sleep(600)
threading.Thread(target=run).start()
ctypes.CDLL(None).pthread_exit(None)
"""
ENDS = "print('up', flush=True)"


@contextmanager
def program(text: str) -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-I", "-S", "-c", text]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        try:
            yield process
        finally:
            process.kill()


def fault_of(pid: int) -> str | None:
    return find_fault(pid, pid, user=(OTHER_USER, OTHER_USER), outside=namespaces_of(os.getpid()))


@pytest.mark.parametrize("text", [RUNS, THREAD_RUNS], ids=["runs", "runs in another thread than its first"])
def test_what_runs_and_is_not_held_in_is_told(text: str) -> None:
    with program(text) as process:
        assert fault_of(process.pid) == "it runs as the wrong user"


def test_nothing_is_told_of_what_has_ended() -> None:
    with program(ENDS) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert fault_of(process.pid) is None
        process.wait()
        assert fault_of(process.pid) is None


def test_what_cannot_be_looked_at_for_want_of_descriptors_is_not_well() -> None:
    with program(RUNS) as process, no_descriptor_free(), pytest.raises(OSError, match="Too many open files"):
        fault_of(process.pid)


def test_a_process_that_cannot_be_examined_is_not_taken_for_confined(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_pid: int) -> dict[str, str]:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(eligibility, "read_status", refuse)
    pid = os.getpid()
    fault = find_fault(pid, pid, user=(os.getuid(), os.getgid()), outside=frozenset())
    assert fault == "it cannot be examined (Permission denied)"
