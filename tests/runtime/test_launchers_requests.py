"""A program's streams with marks: what they were, they still are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from preview.runtime.launchers import LAUNCHERS

HEAD = f"""
import io, logging, os, sys, threading, contextvars
late = logging.StreamHandler()
sys.path.insert(0, {str(LAUNCHERS)!r})
import preview_requests as tied
before = sys.stdout, sys.stderr, sys.stdout.buffer
tied.mark_output()
tied.mark_output()
def handle(name): return tied.open_wsgi_request({{"HTTP_X_REQUEST_ID": name}})
"""
THREADS = """
handle("r1")
for one in (threading.Thread(target=contextvars.copy_context().run, args=(print, "a")),
            threading.Thread(target=print, args=("b",))):
    one.start()
    one.join()
"""
SAME = """
print(before == (sys.stdout, sys.stderr, sys.stdout.buffer), sys.stdout.fileno(), sys.stderr.fileno(),
      sys.stdout.isatty(), isinstance(sys.stdout, io.TextIOWrapper), sys.stdout is sys.__stdout__)
"""
NO_STREAM = """
class Closed:
    __slots__ = ()
    write = flush = lambda *_: None
sys.stdout = Closed()
tied.mark_output()
"""
R1, R2 = "\x1b]7473;r1\x1b\\", "\x1b]7473;r2\x1b\\"
# Of standard error: in a request, and outside.
R1E, E = "\x1b]7473;r1;2\x1b\\", "\x1b]7473;;2\x1b\\"


def run(code: str, tmp_path: Path) -> str:
    """What it prints; standard error is the same pipe."""
    (tmp_path / "program.py").write_text(HEAD + code)
    done = subprocess.run(
        [sys.executable, "-u", tmp_path / "program.py"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=True,
        timeout=60,
    )
    return done.stdout.decode()


@pytest.mark.parametrize(
    ("code", "printed"),
    [
        ("print('none')", "none\n"),
        ("handle('r1'); print('a', 1); print()", f"{R1}a 1\n{R1}\n"),
        ("handle('r1'); sys.stderr.write('a\\nb\\n')", f"{R1E}a\n{R1E}b\n"),
        ("sys.stderr.write('a\\n\\nb'); print('out'); sys.stderr.write('c\\n')", f"{E}a\n{E}\n{E}bout\n{E}c\n"),
        ("print('? ', end=''); sys.stderr.write('a\\n'); sys.stderr.write('b\\n')", f"? {E}a\n{E}b\n"),
        ("print('a', 1, file=sys.stderr); print(file=sys.stderr)", f"{E}a{E} {E}1{E}\n{E}\n"),
        ("sys.stderr.write('a'); os.write(1, b'\\n'); sys.stderr.write('b\\n')", f"{E}a\n{E}b\n"),
        ("print('\\r1 %', end='', file=sys.stderr, flush=True)", f"{E}\r{E}1 %"),
        ("for n in '12': print('\\r' + n, end='', file=sys.stderr, flush=True)", f"{E}\r{E}1{E}\r{E}2"),
        ("print('a\\r\\nb', file=sys.stderr)", f"{E}a\r\n{E}b{E}\n"),
        ("n = sys.stderr.write('abc\\n'); print(n)", f"{E}abc\n4\n"),
        ("sys.stderr.write(''); sys.stderr.buffer.write(b'raw\\n'); os.write(2, b'!')", "raw\n!"),
        ("late.emit(logging.makeLogRecord({'msg': 'logged\\nagain'}))", f"{E}logged\n{E}again\n"),
        ("handle('r1'); print('a', end=''); print('b', end='', file=sys.stderr); print('c')", f"{R1}ac\n{R1E}b"),
        ("handle('r1'); sys.stderr.write('a'); sys.stderr.flush(); print('b')", f"{R1E}a{R1}b\n"),
        ("r = handle('r1'); sys.stderr.write('a'); r.close(); handle(''); print('b')", f"{R1E}ab\n"),
        ("handle('r1'); sys.stdout.writelines(['a', 'b', '\\n'])", f"{R1}ab\n"),
        ("handle('r1'); print('a', end=''); os.write(1, b'!'); print('b')", f"!{R1}ab\n"),
        ("handle('r1'); print('a', end='', flush=True); os.write(1, b'!'); print('b')", f"{R1}a!{R1}b\n"),
        ("handle('r1'); print('x' * 8192, end=''); os.write(1, b'!')", f"{R1}{'x' * 8192}!"),
        ("r = handle('r1'); print('a', end=''); r.close(); os.write(1, b'!'); print('b', end='')", f"{R1}a!{R1}b"),
        ("handle('r1'); print('a'); handle('r2'); print('b'); handle(''); print('c')", f"{R1}a\n{R2}b\nc\n"),
        ("handle('not sane'); print('a'); handle('x' * 65); print('b')", "a\nb\n"),
        ("handle('r1'); late.emit(logging.makeLogRecord({'msg': 'logged'}))", f"{R1E}logged\n"),
        ("handle('r1'); sys.stdout.buffer.write(b'raw\\n')", "raw\n"),
        ("handle('r1')\nif os.fork() == 0: print('child'); os._exit(0)\nos.wait()", f"{R1}child\n"),
        (THREADS, f"{R1}a\nb\n"),
        ("tied.open_asgi_request({'headers': [(b'x-request-id', b'r1')]}); print('a')", f"{R1}a\n"),
        ("tied.open_asgi_request({'headers': []}); print('a')", "a\n"),
        (SAME, "True 1 2 False True True\n"),
        ("handle('r1'); sys.stdout.reconfigure(errors='replace', encoding='ascii'); print('ä')", f"{R1}?\n"),
        ("handle('r1'); n = sys.stdout.write('abc\\n'); handle(''); print(n)", f"{R1}abc\n4\n"),
        ("sys.stdout = None; tied.mark_output()", ""),
        (NO_STREAM, ""),
    ],
)
def test_each_line_of_a_request_has_its_mark_and_no_other_has(code: str, printed: str, tmp_path: Path) -> None:
    assert run(code, tmp_path) == printed


@pytest.mark.parametrize("given", ["b'bytes'", "None", "1"])
def test_what_is_no_text_is_refused_as_ever(given: str, tmp_path: Path) -> None:
    code = f"handle('r1')\ntry: sys.stdout.write({given})\nexcept TypeError as error: print(error)"
    assert run(code, tmp_path).startswith(f"{R1}write() argument must be str, not ")


def test_faulthandler_still_has_a_descriptor(tmp_path: Path) -> None:
    said = run("handle('r1'); import faulthandler; faulthandler.dump_traceback(sys.stdout)", tmp_path)
    assert "most recent call first" in said


def test_words_of_two_threads_make_whole_lines(tmp_path: Path) -> None:
    code = (
        "def work(name):\n    handle(name)\n    for _ in range(200): print(name, 'says', 'so')\n"
        "threads = [threading.Thread(target=work, args=(name,)) for name in ('r1', 'r2')]\n"
        "[one.start() for one in threads]; [one.join() for one in threads]"
    )
    said = run(code, tmp_path).splitlines()
    assert sorted(said) == [f"{R1}r1 says so"] * 200 + [f"{R2}r2 says so"] * 200


def test_a_traceback_is_on_standard_error(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(HEAD + "print('before')\ndef f(): 1 / 0\nf()")
    program = [sys.executable, "-u", str(tmp_path / "program.py")]
    done = subprocess.run(program, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=60, text=True)
    first, *others = done.stdout.splitlines()
    assert first == "before"
    assert all(line.startswith(E) for line in others)
    assert others[-1].replace(E, "") == "ZeroDivisionError: division by zero"


@pytest.mark.parametrize("given", ["b'bytes'", "None", "1"])
def test_what_is_no_text_is_refused_on_standard_error_too(given: str, tmp_path: Path) -> None:
    code = f"try: sys.stderr.write({given})\nexcept TypeError as error: print(error)"
    assert run(code, tmp_path).startswith("write() argument must be str, not ")
