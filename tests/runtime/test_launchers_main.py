"""The launcher that runs a file as ``__main__`` without its server, on the standard library and on stand-ins."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from preview.runtime.launchers import RUN_MAIN

# Packages of the names that the launcher knows; the real ones are in tests/launch.
PACKAGES = {
    "flask/__init__.py": "from flask.app import Flask\n",
    "flask/app.py": "class Flask:\n    def run(self, **more): raise SystemExit('a server runs')\n",
    "uvicorn/__init__.py": "from uvicorn.main import run\nfrom uvicorn.server import Server\n",
    "uvicorn/main.py": "def run(*args, **more): raise SystemExit('a server runs')\n",
    "uvicorn/server.py": "class Server:\n    async def serve(self): raise SystemExit('a server runs')\n",
}
DONE = "open('done', 'a').write('1')\n"


def run(folder: Path, text: str, *arguments: str, files: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """Return the exit status, what it printed, and how often it reached its mark."""
    for name, content in {**PACKAGES, **(files or {}), "app.py": text}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    argv = [sys.executable, str(RUN_MAIN), *(arguments or ("app.py",))]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=30, check=False)
    mark = folder / "done"
    return done.returncode, done.stdout + done.stderr, mark.read_text() if mark.exists() else ""


def with_limits(folder: Path, **limits: str) -> None:
    """Lay the launcher with other limits."""
    text = RUN_MAIN.read_text("utf-8")
    for name, value in limits.items():
        text, count = re.subn(rf"^{name} = .*$", f"{name} = {value}", text, flags=re.MULTILINE)
        assert count == 1
    (folder / "launcher").mkdir()
    (folder / "launcher" / "preview_main.py").write_text(text)
    (folder / "launcher" / "preview_aged.py").write_text("def give_back(say): ...\n")


@pytest.mark.parametrize(
    "server",
    [
        "from flask import Flask\nFlask().run(debug=True)\n",
        "import uvicorn\nuvicorn.run('app:app', reload=True)\n",
        "from uvicorn import run\nrun('app:app')\n",
        "import asyncio, uvicorn\nasyncio.run(uvicorn.Server().serve())\n",
        "import webbrowser\nassert webbrowser.open('http://localhost') is None\n",
    ],
)
def test_a_known_server_returns_and_the_file_runs_to_its_end(tmp_path: Path, server: str) -> None:
    assert run(tmp_path, f"assert __name__ == '__main__'\n{server}{DONE}") == (0, "", "1")


@pytest.mark.parametrize(
    "server",
    [
        "import http.server as http\nhttp.HTTPServer(('127.0.0.1', 0), http.BaseHTTPRequestHandler).serve_forever()\n",
        "from wsgiref.simple_server import make_server\nmake_server('127.0.0.1', 0, None).serve_forever()\n",
        "import asyncio\nasync def go():\n    await asyncio.start_server(print, '127.0.0.1', 0)\nasyncio.run(go())\n",
    ],
)
def test_an_unknown_server_ends_the_run_where_it_would_listen(tmp_path: Path, server: str) -> None:
    assert run(tmp_path, f"{DONE}{server}raise SystemExit('it went on')\n") == (0, "", "1")


def test_a_module_with_relative_imports_runs_in_its_package(tmp_path: Path) -> None:
    text = f"from .other import A\nassert A == 1 and __name__ == '__main__'\n{DONE}"
    files = {"pack/__init__.py": "", "pack/other.py": "A = 1\n", "pack/start.py": text}
    assert run(tmp_path, "", "-m", "pack.start", files=files) == (0, "", "1")


def test_threads_that_never_end_do_not_hold_it(tmp_path: Path) -> None:
    text = f"import threading\n{DONE}threading.Thread(target=threading.Event().wait).start()\n"
    assert run(tmp_path, text) == (0, "", "1")


@pytest.mark.parametrize(
    ("raised", "status"),
    [
        ("KeyboardInterrupt", 1),
        ("asyncio.CancelledError", 1),
        ("GeneratorExit", 1),
        ("SystemExit(2**40 + 3)", 3),
    ],
)
def test_whatever_the_block_raises_no_thread_is_waited_for(tmp_path: Path, raised: str, status: int) -> None:
    thread = "threading.Thread(target=threading.Event().wait).start()\n"
    found, said, mark = run(tmp_path, f"import asyncio, threading\n{DONE}{thread}raise {raised}\n")
    assert (found, mark) == (status, "1")
    assert ("Traceback" in said) == (status == 1)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="it has no groups of errors")
def test_a_server_in_a_group_of_tasks_ends_the_run_too(tmp_path: Path) -> None:
    text = (
        "import asyncio\nasync def go():\n    async with asyncio.TaskGroup() as tasks:\n"
        "        tasks.create_task(asyncio.start_server(print, '127.0.0.1', 0))\nasyncio.run(go())\n"
    )
    assert run(tmp_path, DONE + text) == (0, "", "1")


def test_time_of_waiting_for_a_processor_does_not_count(tmp_path: Path) -> None:
    with_limits(tmp_path, _LIMIT_S="0.2", _AGAIN_S="0.1")
    launcher, waited = tmp_path / "launcher" / "preview_main.py", tmp_path / "schedstat"
    # On a loaded machine; the form of the kernel's own file.
    waited.write_text("1000000 600000000000 20\n")
    launcher.write_text(launcher.read_text("utf-8").replace("/proc/self/schedstat", str(waited)))
    (tmp_path / "app.py").write_text("import time\ntime.sleep(0.5)\nopen('done', 'w').write('1')\n")
    command = [sys.executable, "launcher/preview_main.py", "app.py"]
    done = subprocess.run(command, cwd=tmp_path, timeout=60, check=False)
    assert (done.returncode, (tmp_path / "done").exists()) == (0, True)


def test_exit_functions_run_within_a_limit(tmp_path: Path) -> None:
    with_limits(tmp_path, _EXIT_S="0.2", _AGAIN_S="0.1")
    (tmp_path / "app.py").write_text(
        "import atexit, sys, time\natexit.register(time.sleep, 600)\n"
        "atexit.register(lambda: open('done', 'a').write('1'))\natexit.register(sys.exit, 5)\nsys.exit(3)\n"
    )
    done = subprocess.run([sys.executable, "launcher/preview_main.py", "app.py"], cwd=tmp_path, timeout=30, check=False)
    assert done.returncode == 3
    assert (tmp_path / "done").read_text() == "1"


def test_a_failure_is_printed_and_is_the_exit_status(tmp_path: Path) -> None:
    status, said, _ = run(tmp_path, "print('so far')\nraise ValueError('no such column')\n")
    assert status == 1
    assert said.startswith("so far\n")
    assert said.endswith("ValueError: no such column\n")
    assert run(tmp_path, "import sys\nsys.exit('bad')\n")[:2] == (1, "bad\n")
    assert run(tmp_path, "import sys\nsys.exit(3)\n")[0] == 3


def test_a_file_that_never_ends_is_ended_though_it_catches_everything(tmp_path: Path) -> None:
    with_limits(tmp_path, _LIMIT_S="0.2", _AGAIN_S="0.1")
    (tmp_path / "app.py").write_text(
        "while True:\n    try:\n        while True: pass\n    except BaseException:\n        break\nwhile True: pass\n"
    )
    done = subprocess.run(
        [sys.executable, "launcher/preview_main.py", "app.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "it did not finish within 0.2 s" in done.stderr
