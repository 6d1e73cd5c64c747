"""The service's end of the control channel to a server: its word that it serves, the order to release the socket.

What is at the other end is the application's, and not to be trusted: some bytes are read, of which three words count;
anything else is nothing. A channel that is gone, silent or abused costs its own process the hand-over, and no more.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import trio

from preview.detection import Overrides
from preview.runtime.inbound import close_inbound, receive_now, seal
from preview.storage.tables import PreviewRecord
from preview.user import User

# ``ready``, ``closed`` and ``drained``, each with its line's end, and some more.
_MOST_BYTES = 256


class Control:
    """One process's channel. Made by ``open_control`` alone.

    Attributes:
        theirs: The child's end, to be inherited.
        ready: Set when the process has said that it accepts on the listening socket.
        closed: Set when it has said that it accepts no more.
        drained: Set when it has said that it has answered all that it had accepted.
    """

    def __init__(self, ours: socket.socket, theirs: socket.socket) -> None:
        self._ours = ours
        self.theirs = theirs
        self.ready = trio.Event()
        self.closed = trio.Event()
        self.drained = trio.Event()

    def has_started(self) -> None:
        """Close our copy of the child's end: its end of the channel is seen only then."""
        self.theirs.close()

    async def listen(self) -> None:
        """Take in what the process says, until it says no more. Cancellation: nothing changes."""
        heard = b""
        while len(heard) < _MOST_BYTES:
            await trio.lowlevel.wait_readable(self._ours)
            try:
                word = receive_now(self._ours, _MOST_BYTES)
            except BlockingIOError:
                continue
            except OSError:
                return
            if not word.data or word.had_descriptors:
                return
            heard += word.data
            *words, _ = heard.split(b"\n")
            if b"ready" in words:
                self.ready.set()
            if b"closed" in words or b"drained" in words:
                self.closed.set()
            if b"drained" in words:
                self.drained.set()

    def ask_to_drain(self) -> bool:
        """Tell the process to accept no more and to end when all is answered; whether that could be said."""
        try:
            self._ours.send(b"drain\n")
        except OSError:
            return False
        return True


@contextmanager
def open_control() -> Iterator[Control]:
    """Provide a channel for one future process.

    Raises:
        OSError: No descriptor is left.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with theirs:
        try:
            seal(ours)
            yield Control(ours, theirs)
        finally:
            close_inbound(ours)


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """A launch as the edge has understood it.

    Attributes:
        user: Who launches; must own the generation.
        generation_id: What to launch.
        project_id: Must be the generation's, where given.
        startup_timeout_s: Seconds allowed for start-up; None means the setting.
        overrides: What detection would else decide about the start; wins over the project's ``preview.toml``.
    """

    user: User
    generation_id: str
    project_id: str | None = None
    startup_timeout_s: float | None = None
    overrides: Overrides | None = None


@dataclass(frozen=True, slots=True)
class Launched:
    """Result of a launch.

    Attributes:
        record: The preview, ``starting``; ``running`` after a restart in place.
        token: A preview token in clear: shown once, kept only as a hash.
    """

    record: PreviewRecord
    token: str


@dataclass(frozen=True, slots=True)
class FilesChange:
    """Files of a project that are to be changed where it runs.

    Attributes:
        written: Content by relative path; checked as a generation's paths are (``preview.generations.PathCheck``).
        removed: Relative paths, checked likewise; one that is not there is no mistake.
    """

    written: Mapping[str, bytes] = field(default_factory=dict)
    removed: Sequence[str] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All paths, those that are written first."""
        return (*self.written, *(path for path in self.removed if path not in self.written))


@dataclass(frozen=True, slots=True)
class Reloaded:
    """Result of a reload: the new process serves.

    Attributes:
        record: The preview, ``running``.
        changed: Paths that were written.
        removed: Paths that were removed.
        elapsed_s: Seconds from the request until the new process served.
    """

    record: PreviewRecord
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    elapsed_s: float
