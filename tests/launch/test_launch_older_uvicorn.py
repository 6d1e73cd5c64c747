"""An application that is pinned to a uvicorn from before 0.13, which knows no factories, is served."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from preview.runtime.launchers import LAUNCHERS

_UVICORN = """
class Config:
    def __init__(self, app, fd=None, loop="auto", use_colors=None{more}):
        self.app, self.loop, self.factory = app, loop, {factory}

    def load(self): ...

class Server:
    async def startup(self): ...

def run(app, **options):
    config = Config(app, **options)
    print("served", config.app, config.loop, config.factory)
"""
_DJANGO = {
    "django/__init__.py": "VERSION = (4, 2)\ndef setup(): ...\n",
    "django/conf.py": (
        "class settings:\n"
        "    SECRET_KEY = 'secret'\n"
        "    ALLOWED_HOSTS, CSRF_TRUSTED_ORIGINS, INSTALLED_APPS = ['*'], [], []\n"
        "    DEBUG, SECURE_SSL_REDIRECT, ASGI_APPLICATION = True, False, 'shop.application'\n"
    ),
    "django/core/__init__.py": "",
    "django/core/signals.py": "class got_request_exception:\n    connect = staticmethod(lambda tell, weak: None)\n",
    "django/contrib/__init__.py": "",
    "django/contrib/staticfiles/__init__.py": "",
    "django/contrib/staticfiles/handlers.py": "",
    "django/http/__init__.py": "",
    "django/http/request.py": "def validate_host(name, allowed): return True\n",
    "shop.py": "application = 'the application'\n",
}
_OLD = _UVICORN.format(more="", factory="'unknown'")
_NEW = _UVICORN.format(more=", factory=False", factory="factory")


@pytest.mark.parametrize(
    ("uvicorn", "arguments", "expected"),
    [
        (_OLD, ["main:app"], "served main:app asyncio unknown"),
        (_OLD, ["main:make", "--factory"], "served made asyncio unknown"),
        (_NEW, ["main:app"], "served main:app auto False"),
        (_NEW, ["main:make", "--factory"], "served main:make auto True"),
    ],
)
def test_a_uvicorn_gets_the_options_that_it_knows(
    tmp_path: Path, uvicorn: str, arguments: list[str], expected: str
) -> None:
    (tmp_path / "uvicorn.py").write_text(uvicorn)
    (tmp_path / "main.py").write_text("app = 1\ndef make(): return 'made'\n")
    command = [sys.executable, str(LAUNCHERS / "serve_asgi.py"), "0", str(tmp_path), *arguments]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert (done.returncode, done.stdout.strip()) == (0, expected), done.stderr


@pytest.mark.parametrize(("uvicorn", "loop"), [(_OLD, "asyncio unknown"), (_NEW, "auto False")])
def test_a_uvicorn_of_a_django_project_gets_the_options_that_it_knows(tmp_path: Path, uvicorn: str, loop: str) -> None:
    for name, text in {**_DJANGO, "uvicorn.py": uvicorn}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(text)
    command = [sys.executable, str(LAUNCHERS / "serve_django.py"), "0", str(tmp_path), "shop", "http://localhost:1"]
    done = subprocess.run(
        [*command, "--asgi"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert (done.returncode, done.stdout.strip().splitlines()[-1]) == (0, f"served the application {loop}"), done.stderr
