"""The hook in the Pythons of a start command: what it hides goes on, and what it must not touch stays as it was."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from preview.runtime.launchers import COMMAND_HOOK

E = "\x1b]7473;;2\x1b\\"
SERVE = """
import os, threading, urllib.request
from wsgiref.simple_server import make_server
def app(environ, start_response):
    start_response("200 OK", []); return [b"ok"]
def ask(*paths):
    with make_server("127.0.0.1", 0, app) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for path in paths: urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}{path}").read()
        server.shutdown()
"""


@contextmanager
def channel(*orders: bytes) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Yield the service's end, which has given these orders, and the program's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(20)
        for order in orders:
            ours.sendall(order)
        yield ours, theirs


def run(folder: Path, program: str, theirs: socket.socket | None = None, path: str = "", log: str | None = None) -> str:
    """Run a program with the hook; return what it has printed. ``log``: what it is told of its pipe; None for that."""
    number = -1 if theirs is None else theirs.fileno()
    inode = 0 if theirs is None else os.fstat(number).st_ino
    reading, writing = os.pipe()
    with os.fdopen(reading, encoding="utf-8") as read:
        pipe = os.fstat(writing)
        variables = {
            "PYTHONPATH": f"{COMMAND_HOOK}{path}",
            "PREVIEW_CONTROL": f"{number}:{inode}",
            "PREVIEW_STDERR": f"{pipe.st_dev}:{pipe.st_ino}" if log is None else log,
        }
        done = subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=folder,
            env=variables,
            pass_fds=[] if theirs is None else [number],
            stdout=writing,
            stderr=writing,
        )
        os.close(writing)
        said = read.read()
    done.wait(timeout=60)
    return said


def test_only_what_goes_to_the_log_is_marked(tmp_path: Path) -> None:
    program = """
import contextlib, io, logging, os, subprocess, sys
say = [sys.executable, "-c", "import sys; print('said', file=sys.stderr)"]
shown = subprocess.run(say, stderr=subprocess.PIPE, close_fds=False).stderr
with open("file", "wb") as file: subprocess.run(say, stderr=file, close_fds=False)
with contextlib.redirect_stderr(io.StringIO()) as held:
    import wsgiref.simple_server
    sys.stderr.write("held\\n")
subprocess.run(say, close_fds=False)
print(shown, open("file", "rb").read(), repr(held.getvalue()), flush=True)
sys.stderr = open("file", "w")
import http.server
sys.stderr.write("mine\\n"); sys.stderr.close()
print(open("file").read(), end="")
"""
    with channel() as (_, theirs):
        assert run(tmp_path, program, theirs) == f"{E}said{E}\nb'said\\n' b'said\\n' 'held\\n'\nmine\n"
        assert run(tmp_path, "import sys; sys.stderr.write('said\\n')", theirs, log="1:1") == "said\n"
        assert run(tmp_path, "import sys; sys.stderr.write('said\\n')", theirs, log="") == "said\n"


def read_all(ours: socket.socket, theirs: socket.socket) -> bytes:
    theirs.close()
    found = b""
    try:
        while part := ours.recv(65_536):
            found += part
    except ConnectionResetError:  # The orders were never taken from the socket.
        pass
    return found


def test_the_projects_own_customisation_and_modules_are_used(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os; os.environ['CUSTOM'] = 'yes'")
    (tmp_path / "preview_channel.py").write_text("OWN = True")
    program = "import os, sys, preview_channel; print(os.environ['CUSTOM'], preview_channel.OWN, sys.path)"
    said = run(tmp_path, program, path=f":{tmp_path}")
    assert said.startswith("yes True")
    assert str(COMMAND_HOOK) not in said


def test_the_last_order_counts_and_all_processes_find_it(tmp_path: Path) -> None:
    program = f"{SERVE}\nif os.fork() == 0:\n    ask('/child'); os._exit(0)\nos.wait()\nask('/parent')"
    with channel(b"requests off\nrequests on abc1\n") as (ours, theirs):
        said = run(tmp_path, program, theirs)
        lines = read_all(ours, theirs).decode().splitlines()
    assert [line.split()[-1] for line in lines] == ["reports", "/child", "/parent"], said
    # A fork has ids of its own.
    assert len({line.split()[-2] for line in lines[1:]}) == 2
    with channel(b"requests on abc1\nrequests off\n") as (ours, theirs):
        run(tmp_path, program, theirs)
        assert read_all(ours, theirs) == b"reports\n"


@pytest.mark.parametrize("order", [b"", b"requests on abc1", b"requests on a b\n", b"drain\nroutes 7\n", b"x" * 70_000])
def test_without_a_whole_order_nothing_is_reported(tmp_path: Path, order: bytes) -> None:
    with channel(order) as (ours, theirs):
        run(tmp_path, f"{SERVE}\nask('/')", theirs)
        assert read_all(ours, theirs) == b"reports\n"


def test_a_descriptor_that_is_something_else_by_now_gets_nothing(tmp_path: Path) -> None:
    kept = tmp_path / "kept.txt"
    with channel(b"requests on abc1\n") as (ours, theirs):
        number = theirs.fileno()
        program = f"{SERVE}\nos.dup2(os.open({str(kept)!r}, os.O_RDWR | os.O_CREAT), {number})\nask('/')"
        run(tmp_path, program, theirs)
        assert read_all(ours, theirs) == b"reports\n"
    assert kept.read_bytes() == b""
