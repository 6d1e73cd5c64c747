"""The confined program of a probe, and the connection to it."""

from __future__ import annotations

import json
import shutil
import socket
import sys
import sysconfig
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from secrets import token_hex
from tempfile import mkdtemp

import trio

from preview.core.isolation import Network
from preview.core.removal import remove_folder
from preview.replay.probe.confined import CONFINED, PROGRAM
from preview.replay.probe.messages import MOST_LINE_BYTES, ProtocolBroken
from preview.runtime import CONTROL_PLACEHOLDER, ProcessSpec, RunningProcess, Runtime, beside, limits_of
from preview.runtime.sandbox import interpreter_paths
from preview.settings import Settings

_MIB = 1024 * 1024
_MEMORY_BYTES = 768 * _MIB
# More than a core would take it from the application.
_CORES = 1.0
_LOOK_S = 0.2
_CHUNK_BYTES = 64 * 1024
_REMOVE_S = 5.0
# Ports that no preview has; see ``ProcessSpec.slot``.
_FIRST_SLOT = 5
_MOST_SLOTS = 200
_MOST_PRINTED = 4096
# Folders of this process: the data folder is its own, so that all others are leftovers.
_FOLDERS = "probe-"
_OURS = f"{_FOLDERS}{token_hex(4)}-"


def has_schemathesis() -> bool:
    """Return whether the extra ``preview[probe]`` is installed."""
    return find_spec("schemathesis") is not None


@dataclass(slots=True)
class ProgramConnection:
    """The connection to the program, line by line.

    Attributes:
        why_ended: Reason why the program was stopped; empty if it was not.
        printed: The last bytes that it printed: only a mistake of the program prints anything.
    """

    stream: trio.SocketStream
    why_ended: str = ""
    printed: bytes = b""
    _buffer: bytearray | None = None

    async def send(self, data: bytes) -> None:
        """Send one or more whole lines.

        Raises:
            ProtocolBroken: The program has closed the connection.

        Cancellation: a part may be sent.
        """
        try:
            await self.stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ProtocolBroken("closed") from error

    async def receive(self) -> bytes:
        """Return the next line, without its end; empty at the end of the connection.

        Raises:
            ProtocolBroken: The line is too long.

        Cancellation: nothing is lost.
        """
        buffer = self._buffer = bytearray() if self._buffer is None else self._buffer
        searched = 0
        while (end := buffer.find(b"\n", searched)) < 0:
            if len(buffer) > MOST_LINE_BYTES:
                raise ProtocolBroken("too long")
            searched = len(buffer)
            try:
                chunk = await self.stream.receive_some(_CHUNK_BYTES)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                chunk = b""
            if not chunk:
                return b""
            buffer += chunk
        line = bytes(buffer[:end])
        del buffer[: end + 1]
        return line


class ProbePrograms:
    """Starts the programs: without network, with limits, each as a user of its own where the machine has these.

    Args:
        settings: Where folders are made, and limits.
        runtime: Confines the programs.
    """

    def __init__(self, settings: Settings, runtime: Runtime) -> None:
        self._settings = settings
        self._runtime = runtime
        self._numbers = count(1)
        self._slots = set(range(_FIRST_SLOT, _FIRST_SLOT + _MOST_SLOTS))

    async def remove_leftovers(self) -> None:
        """Remove the folders of services that were killed.

        Raises:
            OSError: The data folder cannot be listed.

        Cancellation: some may be left.
        """
        await trio.to_thread.run_sync(_remove_leftovers, self._settings.data_dir, abandon_on_cancel=True)

    @asynccontextmanager
    async def open(self, task: Mapping[str, object]) -> AsyncIterator[ProgramConnection]:
        """Start a program with a task; it is ended when the context is left.

        Raises:
            LaunchFailed: It could not be started.

        Cancellation: all its processes are gone.
        """
        folder = Path(await trio.to_thread.run_sync(_make_folder, self._settings.data_dir))
        slot = self._slots.pop()
        try:
            ours, theirs = socket.socketpair()
            with theirs:
                async with (
                    trio.SocketStream(trio.socket.from_stdlib_socket(ours)) as stream,
                    self._runtime.open_process(self._spec(folder, slot, theirs)) as process,
                ):
                    theirs.close()
                    connection = ProgramConnection(stream)
                    async with beside(_Watch(connection, process, self._watches_memory).run):
                        await connection.send(json.dumps(task, ensure_ascii=True).encode() + b"\n")
                        yield connection
                        await process.stop(0)
        finally:
            self._slots.add(slot)
            with trio.move_on_after(_REMOVE_S, shield=True):
                await trio.to_thread.run_sync(_remove, folder, abandon_on_cancel=True)

    @property
    def _watches_memory(self) -> bool:
        return "memory" not in self._runtime.holds()

    def _spec(self, folder: Path, slot: int, control: socket.socket) -> ProcessSpec:
        packages = Path(sysconfig.get_path("purelib"))
        argv = (sys.executable, "-I", "-S", str(PROGRAM), CONTROL_PLACEHOLDER)
        return ProcessSpec(
            preview_id="probe",
            argv=(*argv, str(packages)) if has_schemathesis() else argv,
            directory=folder,
            environment={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": str(folder), "TMPDIR": str(folder)},
            listener=None,
            limits=replace(limits_of(self._settings), memory_bytes=_MEMORY_BYTES, cpu_cores=_CORES),
            readable=(CONFINED, *interpreter_paths(Path(sys.executable)), *((packages,) if has_schemathesis() else ())),
            writable=(folder,),
            network=Network.NONE,
            slot=slot,
            number=next(self._numbers),
            control=control,
        )


@dataclass(slots=True)
class _Watch:
    """Reads what a program prints, and ends it if it takes too much memory."""

    connection: ProgramConnection
    process: RunningProcess
    watches_memory: bool

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            if self.watches_memory:
                nursery.start_soon(self._measure)
            try:
                async for chunk in self.process.output:
                    self.connection.printed = (self.connection.printed + chunk)[-_MOST_PRINTED:]
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass

    async def _measure(self) -> None:
        while True:
            if (await self.process.usage()).memory_bytes > _MEMORY_BYTES:
                break
            await trio.sleep(_LOOK_S)
        self.connection.why_ended = f"It used more than {_MEMORY_BYTES // _MIB} MiB of memory."
        await self.process.stop(0)


def _make_folder(parent: Path) -> str:
    return mkdtemp(prefix=_OURS, dir=parent)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _remove_leftovers(parent: Path) -> None:
    for folder in parent.glob(f"{_FOLDERS}*"):
        if not folder.name.startswith(_OURS):
            remove_folder(folder)
