"""First programs of containers that do not keep to the rules. The file beside this one says which one it is."""

import json
import os
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

SOCKET = sys.argv[1]


def join() -> socket.socket:
    own = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    own.connect(SOCKET)
    return own


def silent() -> None:
    """Join, and say nothing more."""
    own = join()
    time.sleep(600)
    own.close()


def never() -> None:
    """Do anything but join."""
    time.sleep(600)


def over() -> None:
    """End at once."""
    sys.exit(9)


def loud() -> None:
    """Say why, and end."""
    print("the library \x1b[31m is missing" + "x" * 5_000, file=sys.stderr)
    sys.exit(1)


def garbage() -> None:
    """Send what is no JSON, and too much."""
    own = join()
    own.send(b"[" * 100_000)
    time.sleep(600)


def descriptors() -> None:
    """Send descriptors of files beside the right word."""
    own = join()
    with Path("/etc/passwd").open("rb") as file:
        socket.send_fds(own, [b'{"joined":true}'], [file.fileno()] * 5)
    time.sleep(600)


def twice() -> None:
    """Join from several processes, before and after the first."""
    if os.fork() == 0:
        for _ in range(20):
            with suppress(OSError):
                join().send(b'{"joined":true}')
            time.sleep(0.01)
        os._exit(0)
    time.sleep(0.05)
    own = join()
    own.send(b'{"joined":true}')
    # Whoever joins second gets no order.
    try:
        other = join()
        print(other.recv(1), flush=True)
    except OSError:
        pass
    time.sleep(600)


def liar() -> None:
    """Run the program, and tell an exit status that no process has."""
    own = join()
    pid = os.fork()
    if pid == 0:
        time.sleep(600)
    own.send(b'{"joined":true}')
    own.recv(16)
    own.send(json.dumps({"status": 10**9, "joined": False}).encode())
    time.sleep(0.2)


globals()[Path(__file__).with_name("which").read_text().strip()]()
