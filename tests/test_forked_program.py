"""A program of the tests that is forked is what an ordinary start of it would be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import forked_program
import pytest
from forked_program import ORDINARY

LOOK = """
import json, os, signal, sys, threading
STATUS = ('SigB', 'SigI', 'SigC', 'ShdP', 'Cap', 'Umask', 'NoNew', 'Seccomp', 'Threads')
status = open('/proc/self/status').read().splitlines()
descriptors = [one for one in os.listdir('/proc/self/fd') if os.path.exists('/proc/self/fd/' + one)]
print(json.dumps({
    'parent': os.getppid(), 'leads': os.getsid(0) == os.getpid(), 'session': os.getsid(os.getppid()) == os.getsid(0),
    'folder': os.getcwd(), 'variables': dict(os.environ), 'arguments': sys.argv, 'original': sys.orig_argv,
    'path': sys.path, 'descriptors': descriptors, 'limits': open('/proc/self/limits').read(),
    'status': [one for one in status if one.startswith(STATUS)],
    'flags': str(sys.flags), 'encoding': sys.stdout.encoding, 'input': sys.stdin.read(),
    'thread': threading.get_native_id() == os.getpid(), 'line_buffered': sys.stdout.line_buffering,
    'executable': sys.executable, 'waits': os.system('exit 3'),
}))
print('said', file=sys.stderr)
sys.exit(int(sys.argv[1]))
"""
END_LATER = "import signal, sys; print('up', flush=True); signal.pause()"


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forked_program, "CODES", forked_program.CODES | {LOOK, END_LATER})


def look(popen: Any, **options: Any) -> tuple[Any, ...]:
    command = [sys.executable, "-c", LOOK, "3", "\udcff", ""]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with popen(command, text=True, **pipes, **options) as process:
        out, err = process.communicate("hello", timeout=60)
    return process.returncode, json.loads(out), err, process.args


@pytest.mark.long
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"start_new_session": True},
        {"cwd": "/usr"},
        {"env": {"PATH": os.environ["PATH"], "A": "\udcff"}},
        {"umask": 0o027},
        {"pass_fds": (2,)},
        {"env": {**os.environ, "PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1"}},
    ],
)
def test_it_is_what_an_ordinary_start_would_be(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREVIEW_TEST_SOMETHING", "else")
    before = os.umask(0o077)
    try:
        forked, ordinary = look(subprocess.Popen, **options), look(ORDINARY, **options)
        # By part: pytest shows what differs.
        for name in ordinary[1]:
            assert forked[1][name] == ordinary[1][name]
        assert forked == ordinary
    finally:
        os.umask(before)


def test_it_is_forked_unless_its_test_says_otherwise() -> None:
    with subprocess.Popen([sys.executable, "-c", END_LATER], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        assert "forked_parent.py" in Path(f"/proc/{process.pid}/cmdline").read_text()
        process.send_signal(signal.SIGTERM)
    assert process.returncode == -signal.SIGTERM


def test_coverage_sees_an_ordinary_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COVERAGE_PROCESS_CONFIG", "")
    command = [sys.executable, "-c", END_LATER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=dict(os.environ)) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert Path(f"/proc/{process.pid}/cmdline").read_text().split("\0")[:2] == command[:2]
        process.kill()


@pytest.mark.plain_start
def test_a_test_can_have_an_ordinary_start() -> None:
    assert subprocess.Popen is ORDINARY


def test_ctrl_c_reaches_it_though_its_parent_ignores_it() -> None:
    with subprocess.Popen([sys.executable, "-c", END_LATER], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert b"KeyboardInterrupt" in said


def test_a_folder_that_is_not_there_is_an_error_of_the_start(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        subprocess.Popen([sys.executable, "-c", LOOK], cwd=tmp_path / "away")
