"""Connects the service and a container of gVisor, which passes no descriptors.

1. The container's first program binds sockets in a folder that this container alone shows (``--host-uds``).
2. It connects to the door, as in every container. What connects on the machine is a process of gVisor, the engine's
   child. The service knows it by the container's control group, and gVisor's sandbox beside it.
3. The service opens both sockets by inode, and removes them and the folder. All this is before any code of the preview
   runs. From then on nothing can be made in the folder, and no name leads to the sockets.
4. The service connects to the inodes: once for the order and the output, once for each descriptor of the order, and
   once for each connection of a client.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import trio

from preview.core.descriptors import raise_want
from preview.runtime.container.joining import Door, NotJoined, groups_of, peer_of
from preview.runtime.interface import ProcessIdentity
from preview.runtime.kernel import proctree
from preview.runtime.kernel.verified import NotVerified, OpenProcess, verify

ORDERS: Final = "orders"
"""Name of the socket on which the first program waits."""

_SERVING: Final = "serving"
_FOLDER = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# gVisor names its processes so; no code of a preview has run yet.
_SANDBOX: Final = b"runsc-sandbox"
ADVICE: Final = "start runsc with --host-uds=all (docs/containers.md)"
"""What an operator does where containers cannot reach the service."""


class GvisorDoor(Door):
    """See ``Door``. What connects is gVisor's process for files, or its sandbox.

    Attributes:
        peers: Identities of both.
    """

    peers: frozenset[ProcessIdentity] = frozenset()

    async def _verify_first(
        self, connection: socket.socket, container: str, first_pid: Callable[[], Awaitable[int]]
    ) -> OpenProcess:
        """Return gVisor's sandbox, in which all processes of the container run."""
        pid = peer_of(connection)
        stat_of = proctree.read_stat(pid)
        if stat_of is None:
            raise NotVerified("it ended before it was set up")
        shim = stat_of.parent
        named = 0 if container in groups_of(pid) else await first_pid()
        beside = [one for one in proctree.children(shim) if _is_sandbox(one)]

        def find_fault(one: int) -> str | None:
            now = proctree.read_stat(one)
            if now is None or now.parent != shim or not _is_sandbox(one):
                return "it is no sandbox of gVisor"
            if named != one and not (container in groups_of(one) and container in groups_of(pid)):
                return "neither its control group nor the engine names it"
            return None

        fault = NotVerified("it is no process of gVisor")
        for one in beside:
            try:
                found = verify(one, find_fault)
            except NotVerified as error:
                fault = error
                continue
            known = (proctree.identify(pid), found.identity)
            self.peers = frozenset(identity for identity in known if identity is not None)
            return found
        raise fault

    def _find_program(self, first: OpenProcess) -> OpenProcess:
        # No process of the machine is the program alone.
        return first.dup()

    def is_known(self, connection: trio.SocketStream) -> bool:
        """Return whether a process of this container's gVisor has made the connection."""
        with suppress(OSError):
            return proctree.identify(peer_of(connection.socket)) in self.peers
        return False


def _is_sandbox(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0] == _SANDBOX
    except OSError as error:
        raise_want(error)
        return False


class Meeting:
    """The two sockets of one container. The caller closes it.

    Args:
        folder: New folder that this container alone shows, writable.
        uid: The container's user; None for the service's own.
    """

    def __init__(self, folder: Path, uid: int | None) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700)
        if uid is not None:
            os.chown(folder, uid, uid)
        self._sockets: dict[str, int] = {}

    def take(self) -> None:
        """Open both sockets by inode, and remove their names and the folder. Call it before the preview's code runs.

        Raises:
            NotJoined: There is something else in the folder.
            OSError: No file descriptor is free.
        """
        folder = os.open(self.folder, _FOLDER)
        try:
            for name in (ORDERS, _SERVING):
                found = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
                self._sockets[name] = found
                if not stat.S_ISSOCK(os.fstat(found).st_mode):
                    raise NotJoined("its first program does not keep to the rules")
                os.unlink(name, dir_fd=folder)
            self.folder.rmdir()
        except OSError as error:
            raise_want(error)
            raise NotJoined(f"its sockets are not there ({error.strerror}): {ADVICE}") from None
        finally:
            os.close(folder)

    async def connect(self, name: str = _SERVING) -> trio.SocketStream:
        """Return a new connection, which the caller closes.

        Raises:
            OSError: Nothing listens, too many connections wait, or no descriptor is free.

        Cancellation: no connection is left.
        """
        await trio.lowlevel.checkpoint()
        found = self._sockets.get(name, -1)
        if found < 0:
            raise OSError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.setblocking(False)
            # At once, or not at all: a full queue is an error (unix(7)).
            made.connect(f"/proc/self/fd/{found}")
        except OSError:
            made.close()
            raise
        return trio.SocketStream(trio.socket.from_stdlib_socket(made))

    async def send(self, data: bytes) -> trio.SocketStream:
        """Return a new connection to the first program that has brought these bytes; its other half is open.

        Raises:
            OSError: The program has ended, or no file descriptor is free.

        Cancellation: no connection is left.
        """
        stream = await self.connect(ORDERS)
        try:
            await stream.send_all(data)
            await stream.send_eof()
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        return stream

    def close(self) -> None:
        """Close both; a second call does nothing."""
        while self._sockets:
            os.close(self._sockets.popitem()[1])
