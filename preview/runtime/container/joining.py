"""Hands sockets and pipes to a container through a unix socket that it shows, and learns its first process.

An engine passes no descriptors. So the container's first program connects to the service, and receives them
(SCM_RIGHTS, unix(7)). The kernel tells the service which process has connected (SO_PEERCRED). It counts only if it is
the first of its process namespace, and in the container's own control group; an engine without control groups names
its pid. One process is let in; then the socket is
closed and removed. Environment variables go the same way: an engine shows those of its own interface to all its users.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

import trio

from preview.runtime.inbound import close_inbound, seal
from preview.runtime.interface import Limits, ProcessSpec
from preview.runtime.kernel import proctree
from preview.runtime.kernel.linux import memory_file
from preview.runtime.kernel.proctree import MARKER
from preview.runtime.kernel.verified import NotVerified, OpenProcess, verify
from preview.runtime.sandbox.port_forwarding import VARIABLES
from preview.runtime.warm.packets import PacketsEnded, parse, receive, send

JOIN = Path(__file__).resolve().parent / "inside" / "preview_join.py"
"""First program of each container."""

SHOWN: Final = Path("/run/preview-join")
"""Folder of the socket in a container; other parts of the service show folders at ``/run/preview``."""

_NAME: Final = "join"
_FOLDER = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREDENTIALS = struct.Struct("iII")
# Processes of other containers cannot connect; a few that fail the check are a fault.
_MOST_TRIES: Final = 8
_HELLO_BYTES: Final = 64
_FIRST_PID = 1


class NotJoined(Exception):
    """The container has not joined; the message is half a sentence."""


@dataclass(frozen=True, slots=True)
class Order:
    """The program of a container.

    Attributes:
        argv: Program (absolute path) and arguments.
        limits: Limits of each process.
        processes: Limit of the user's processes.
        filter: The compiled system call filter.
        descriptors: Descriptors to hand over, with the numbers that they have in the program. 1 is the output, which
            becomes 2 as well.
        folder: Number of the descriptor with a folder's content, and the folder that gets it; None without one.
        within_s: Of a check beside the program: seconds after which it is killed.
    """

    argv: Sequence[str]
    environment: dict[str, str]
    directory: Path
    limits: Limits
    processes: int
    filter: bytes
    descriptors: dict[int, int]
    folder: tuple[int, str] | None = None
    within_s: float = 0.0

    def packed(self) -> bytes:
        """Return the order as ``preview_join.py`` reads it."""
        limits = {
            "RLIMIT_NOFILE": self.limits.open_files,
            "RLIMIT_NPROC": self.processes,
            "RLIMIT_FSIZE": self.limits.file_bytes,
            "RLIMIT_CORE": 0,
        }
        return json.dumps(
            {
                "argv": list(self.argv),
                "environment": self.environment,
                "directory": str(self.directory),
                "limits": limits,
                "filter": base64.b64encode(self.filter).decode("ascii"),
                "numbers": list(self.descriptors),
                "folder": self.folder,
                "within_s": self.within_s,
            }
        ).encode()


@dataclass(frozen=True, slots=True)
class Joined:
    """A container that has joined, and waits for its order. The caller owns all three.

    Attributes:
        first: The namespace's first process.
        program: The process that becomes the program.
        own: The sealed socket to the first process.
    """

    first: OpenProcess
    program: OpenProcess
    own: socket.socket

    def close(self) -> None:
        """Close all three; the container's first process ends."""
        self.first.close()
        self.program.close()
        close_inbound(self.own)

    async def command(self, order: Order) -> None:
        """Let the program run.

        Raises:
            NotJoined: The container has ended.
            OSError: No file descriptor is free.

        Cancellation: the program runs, or does not.
        """
        with memory_file(order.packed()) as packed:
            try:
                await send(self.own, b"order", (packed, *order.descriptors.values()))
            except PacketsEnded:
                raise NotJoined("it ended before its program ran") from None


@contextmanager
def variables_apart(spec: ProcessSpec, order: Order, number: int) -> Iterator[Order]:
    """Yield the order with a file for the variables of an image's process, if the bridge runs before its program.

    Args:
        spec: The process.
        order: Its order.
        number: Number of the file's descriptor in the program.

    Raises:
        OSError: No file descriptor is free.
    """
    if spec.image is None or order.argv[-len(spec.argv) :] == list(order.argv):
        yield order
        return
    own = {MARKER: order.environment[MARKER], VARIABLES: str(number)}
    with memory_file(json.dumps(order.environment).encode()) as packed:
        yield replace(order, environment=own, descriptors={**order.descriptors, number: packed})


class Door:
    """The listening socket of one container. Made by ``open_door``.

    Attributes:
        folder: Folder that the container shows as ``SHOWN``.
        fault: What was wrong with the last process that was not let in; empty if there was none.
    """

    def __init__(self, folder: Path, listener: socket.socket) -> None:
        self.folder = folder
        self.fault = ""
        self._listener = listener

    async def admit(self, container: str, first_pid: Callable[[], Awaitable[int]]) -> Joined:
        """Wait without a time limit until the container's first process has joined; admit no other.

        Args:
            container: The container's full id.
            first_pid: Asks the engine for the pid of the container's first process. An engine without root's rights may
                have no control groups.

        Raises:
            NotJoined: What connects is not the container's first process, or does not keep to the rules.
            OSError: No file descriptor is free.

        Cancellation: nothing is left open.
        """
        for _ in range(_MOST_TRIES):
            connection = await _accept(self._listener)
            with ExitStack() as held:
                held.callback(close_inbound, connection)
                try:
                    first = held.enter_context(closing(await self._verify_first(connection, container, first_pid)))
                except NotVerified as error:
                    self.fault = str(error)
                    continue
                self.close()
                await _receive_word(connection)
                joined = Joined(first, self._find_program(first), connection)
                held.pop_all()
                return joined
        raise NotJoined(f"another process answers for it ({self.fault})")

    async def _verify_first(
        self, connection: socket.socket, container: str, first_pid: Callable[[], Awaitable[int]]
    ) -> OpenProcess:
        pid = peer_of(connection)
        in_group = container in groups_of(pid)
        # A reused pid is noticed: the first process of a namespace does not end before the check does.
        is_named = in_group or await first_pid() == pid

        def find_fault(pid: int) -> str | None:
            numbers = proctree.namespace_pids(pid)
            if len(numbers) < 2 or numbers[-1] != _FIRST_PID:
                return "it is not the first process of a container"
            if not is_named or in_group != (container in groups_of(pid)):
                return "neither its control group nor the engine names it"
            return None

        return verify(pid, find_fault)

    def _find_program(self, first: OpenProcess) -> OpenProcess:
        def find_fault(pid: int) -> str | None:
            # The container's first process has forked once; its engine has used up some numbers before.
            stat = proctree.read_stat(pid)
            if stat is None or stat.parent != first.pid:
                return "it is not the container's program"
            return None

        for pid in proctree.children(first.pid):
            try:
                return verify(pid, find_fault)
            except NotVerified:
                continue
        raise NotJoined("it ended before its program ran")

    def close(self) -> None:
        """Refuse further connections."""
        self._listener.close()
        (self.folder / _NAME).unlink(missing_ok=True)


_Door = TypeVar("_Door", bound="Door")


@contextmanager
def open_door(folder: Path, kind: type[_Door]) -> Iterator[_Door]:
    """Open the socket of one container in a new folder, which is removed at the end.

    Args:
        folder: The folder.
        kind: How it verifies what connects.

    Raises:
        OSError: It cannot be made.
    """
    folder.mkdir(mode=0o755, parents=True)
    try:
        # Independent of the umask: the container has another user.
        folder.chmod(0o755)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            descriptor = os.open(folder, _FOLDER)
            try:
                # By descriptor: a path of a socket may have 107 bytes at most (unix(7)).
                listener.bind(f"/proc/self/fd/{descriptor}/{_NAME}")
            finally:
                os.close(descriptor)
            (folder / _NAME).chmod(0o666)
            listener.listen(_MOST_TRIES)
            listener.setblocking(False)
            yield kind(folder, listener)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _accept(listener: socket.socket) -> socket.socket:
    await trio.lowlevel.checkpoint_if_cancelled()
    while True:
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            await trio.lowlevel.wait_readable(listener)
        else:
            seal(connection)
            return connection


def peer_of(connection: socket.socket | trio.socket.SocketType) -> int:
    """Return the pid of the process that has connected.

    Raises:
        NotVerified: The kernel does not name it here.
    """
    said = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid = int(_CREDENTIALS.unpack(said)[0])
    if pid <= 0:
        raise NotVerified("its processes cannot be seen from here: run the service beside the engine, not inside of it")
    return pid


def groups_of(pid: int) -> str:
    """Return the control groups of a process, as the kernel lists them; empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/cgroup").read_text("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


async def _receive_word(connection: socket.socket) -> None:
    try:
        word = await receive(connection, _HELLO_BYTES)
        said = parse(word.data)
    except (PacketsEnded, ValueError):
        said = {}
    if said.get("joined") is not True:
        raise NotJoined("its first program does not keep to the rules")
