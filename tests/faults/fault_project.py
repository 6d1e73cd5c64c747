"""The backend that the faults are done to: light, chatty, and able to misbehave when it is asked to."""

from __future__ import annotations

__all__ = ["FILES", "files"]

# A WSGI application without a framework starts in a tenth of the time that FastAPI takes.
MAIN_PY = """
import os, signal, subprocess, sys, threading, time

held = []
if os.environ.get("DEAF"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def talk():
    number = 0
    while not os.environ.get("QUIET"):
        print(f"line {number} of the background", flush=True)
        number += 1
        time.sleep(0.03)


threading.Thread(target=talk, daemon=True).start()


def act(what, number):
    if what == "say":
        sys.stdout.write("".join(f"said {n} of {number}\\n" for n in range(number)))
        sys.stdout.flush()
    elif what == "spawn":
        # A child of its own, and one that has left it: forked twice, in a session of its own, its output closed.
        subprocess.Popen(["sleep", "900"])
        subprocess.run(["sh", "-c", "setsid sleep 900 >/dev/null 2>&1 </dev/null &"])
    elif what == "eat":
        held.append(bytearray(os.urandom(1)) * (number * 2**20))
    elif what == "slow":
        time.sleep(number / 1000)
    elif what == "write":
        with open("grown", "ab") as file:
            file.write(b"x" * (number * 1024))


def app(environ, start_response):
    what, _, number = environ.get("PATH_" + "INFO").strip("/").partition("/")
    act(what, int(number or 0))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [what.encode()]
"""

PREVIEW_TOML = """
[start]
app = "main:app"
server = "wsgi"
health = "/health"
"""


def files(requirements: str = "") -> dict[str, str]:
    return {"main.py": MAIN_PY, "preview.toml": PREVIEW_TOML, "requirements.txt": requirements}


FILES = files()
