"""The two programs of the soak of ends: a plain one, and one in FastAPI; both talk, answer, raise and crash."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["PROGRAMS", "changed"]

_COMMON = """
import os, sys, threading, time

VERSION = 0


def say(text):
    # As one piece: two threads that print may have their texts in one line, and both line feeds behind it.
    sys.stdout.write(text + "\\n")
    sys.stdout.flush()


def talk():
    number = 0
    while True:
        say(f"version {VERSION}, line {number} of the background")
        number += 1
        time.sleep(0.05)


threading.Thread(target=talk, daemon=True).start()


def act(what, number):
    if what == "say":
        say("\\n".join(f"said {n} of {number}" for n in range(1, number + 1)))
    elif what == "boom":
        raise RuntimeError("a route has raised")
    elif what == "crash":
        say("the last word")
        os._exit(3)
"""

_PLAIN = (
    _COMMON
    + """

def app(environ, start_response):
    what, _, number = environ["PATH_INFO"].strip("/").partition("/")
    act(what, int(number or 0))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"done"]
"""
)

_FASTAPI = (
    """
from fastapi import FastAPI
"""
    + _COMMON
    + """

app = FastAPI()


@app.get("/{what}/{number}")
def do(what: str, number: int) -> str:
    act(what, number)
    return "done"


@app.get("/health")
def health() -> str:
    return "done"
"""
)

_START = '[start]\napp = "main:app"\nserver = "{server}"\nhealth = "/health"\n'

# By name: its files.
PROGRAMS: Mapping[str, Mapping[str, str]] = {
    "plain": {"main.py": _PLAIN, "preview.toml": _START.format(server="wsgi"), "requirements.txt": ""},
    "FastAPI": {
        "main.py": _FASTAPI,
        "preview.toml": _START.format(server="asgi"),
        "requirements.txt": "fastapi\nuvicorn\n",
    },
}


def changed(program: str, version: int) -> dict[str, str]:
    """The files that a reload of this program is made with."""
    return {"main.py": PROGRAMS[program]["main.py"].replace("VERSION = 0", f"VERSION = {version}")}
