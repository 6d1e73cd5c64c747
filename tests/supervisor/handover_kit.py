"""Light children that speak the control channel, as the launchers do, and what tests ask of them."""

from __future__ import annotations

from collections.abc import Mapping

import trio
from supervisor_kit import ANN, Rig, ask

from preview.runtime.kernel import proctree
from preview.supervisor import FilesChange, LivePreview, Reloaded

__all__ = ["body_of", "pids_of", "reload", "says", "served", "speaking", "story"]

_HEAD = """
import os, select, signal, socket, sys, time
listener = socket.socket(fileno=int(sys.argv[1]))
control = socket.socket(fileno=int(sys.argv[2]))
VERSION = {version!r}
def tell(word): control.send(word + b'\\n')
def started(): tell(b'ready')
def drained():
    tell(b'drained')
    sys.exit(0)
def answer(connection):
    connection.setblocking(True)
    path = connection.recv(65536).split(b' ')[1].decode()
    if path == '/crash': os.kill(os.getpid(), signal.SIGKILL)
    body = VERSION.encode()
    head = 'HTTP/1.1 200 OK\\r\\ncontent-length: %d\\r\\nconnection: close\\r\\n\\r\\n' % len(body)
    connection.sendall(head.encode() + body)
    connection.close()
"""
_SERVE = """
print('up', VERSION, flush=True)
listener.setblocking(False)
started()
while True:
    found, _, _ = select.select([listener, control], [], [])
    if control in found:
        if b'drain' in control.recv(64): drained()
    try:
        connection, _ = listener.accept()
    except BlockingIOError:
        continue
    answer(connection)
"""


def speaking(version: str = "one", more: str = "") -> str:
    """A server that answers with its version; ``more`` is done ahead of serving, and may change what it does."""
    return _HEAD.format(version=version) + more + _SERVE


async def reload(rig: Rig, behave: str, **files: str) -> Reloaded:
    """Save ``behave.py``, and others."""
    written = {name: text.encode() for name, text in {"behave.py": behave, **files}.items()}
    return await rig.service.previews.reload(ANN, "g1", FilesChange(written))


async def body_of(preview: LivePreview, path: str = "/") -> str:
    return (await ask(preview, path)).partition(b"\r\n\r\n")[2].decode()


def story(preview: LivePreview) -> list[str]:
    return preview.last_lines(1000)


async def says(preview: LivePreview, text: str) -> str:
    """Wait until its log has a line that begins so."""
    with preview.log.subscribe() as events:
        while True:
            found = next((line for line in story(preview) if line.startswith(text)), None)
            if found is not None:
                return found
            await events.receive()


def pids_of(preview: LivePreview, seen: Mapping[int, str]) -> set[int]:
    """Processes of the preview, of those of the service."""
    return {pid for pid in seen if (proctree.read_marker(pid) or "").partition("-")[0] == preview.id}


async def served(preview: LivePreview, version: str) -> None:
    """Wait until the preview answers so."""
    while await body_of(preview) != version:
        await trio.lowlevel.checkpoint()
