"""One server program in a sandbox of its own, started at first need, and started again if it ends.

A server has run strangers' SQL, so it is confined like a preview: own user, own namespaces, no network, limits. The
service connects to the socket that lies in the server's folder. It opens the folder before the server runs, and the
socket in it without following a link, so a server cannot lead the service to any other socket.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing, suppress
from functools import partial

import structlog
import trio

from preview.backing.server_command import ServerCommand, discard_left, keep_copy, make_folder, note_use
from preview.errors import LaunchFailed
from preview.runtime import Exit, RunningProcess, Runtime, beside, boot_id

log = structlog.get_logger(__name__)

_START_S = 30.0
_PREPARE_S = 60.0
_LOOK_S = 0.005
_KILL_S = 5.0
# Pause before a server that has ended is started again; one that did not come up, if it is still wanted then. Each
# short run doubles the pause: a preview may have its Redis end as often as it likes, and each start costs some 20 ms.
_AGAIN_S, _MOST_AGAIN_S, _SHORT_S = 0.05, 1.0, 10.0
_PAUSE_S = 5.0
_MOST_KEPT_BYTES = 4096
_MOST_SAID = 200
# Connections wait if the server's own queue is full: a unix socket then refuses at once (connect(2), EAGAIN). A preview
# can have its Redis accept nothing for hours, and 100 connections waiting.
_FULL_S, _FULL_MOST_S, _FULL_END_S = 0.005, 0.5, 20.0


class ServerUnavailable(Exception):
    """The server does not run; the message says why, in one sentence for people."""


class ServerSocket:
    """The socket of a running server, held by a descriptor of the file itself (open(2), O_PATH)."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def close(self) -> None:
        """Close the descriptor; connections stay open."""
        os.close(self._descriptor)

    @property
    def path(self) -> str:
        """Path for clients in this process; it always means the same file (proc(5), ``/proc/self/fd``)."""
        return f"/proc/self/fd/{self._descriptor}"

    async def connect(self) -> trio.SocketStream:
        """Connect to the server.

        Raises:
            OSError: The server does not listen, or accepts nothing for a while.

        Cancellation: no connection is left.
        """
        pause_s, deadline = _FULL_S, trio.current_time() + _FULL_END_S
        while True:
            try:
                return await trio.open_unix_socket(self.path)
            except BlockingIOError:
                if trio.current_time() > deadline:
                    raise
                await trio.sleep(pause_s)
                pause_s = min(2 * pause_s, _FULL_MOST_S)


class Server:
    """Runs a server from the first ``connected`` on, as long as ``run`` runs.

    Args:
        command: The server.
        runtime: Confines it.
        ready: Called with the socket of each new process until it returns true: it may set the server up.
    """

    def __init__(
        self, command: ServerCommand, runtime: Runtime, ready: Callable[[ServerSocket], Awaitable[bool]]
    ) -> None:
        self.command = command
        self._runtime = runtime
        self._ready = ready
        self._wanted = trio.Event()
        self._settled = trio.Event()
        self._socket: ServerSocket | None = None
        # The running process; None while none runs.
        self.process: RunningProcess | None = None
        self._why = ""
        # Set when the running process is to make way for a new one, whose folder is filled first.
        self._again = trio.Event()
        self._fill: Callable[[], object] | None = None

    def want(self) -> None:
        """Start the server in the background."""
        self._wanted.set()

    @property
    def socket(self) -> ServerSocket | None:
        """The running server's socket; None while none runs."""
        return self._socket

    async def connected(self) -> ServerSocket:
        """Return the running server's socket; start the server first, if it does not run.

        Raises:
            ServerUnavailable: It did not come up.

        Cancellation: the server starts all the same.
        """
        self.want()
        await self._settled.wait()
        if self._socket is None:
            raise ServerUnavailable(self._why)
        return self._socket

    async def connect(self) -> trio.SocketStream:
        """Connect to the server as a client; start the server first, if it does not run.

        Raises:
            ServerUnavailable: It did not come up, or does not answer.

        Cancellation: no connection is left.
        """
        try:
            return await (await self.connected()).connect()
        except OSError as error:
            raise ServerUnavailable(f"{self.command.shown} does not answer ({error.strerror or error})") from error

    async def restart(self, fill: Callable[[], object]) -> None:
        """End the server, and start it with files in its folder; clients wait meanwhile.

        Args:
            fill: Puts files into the folder; called in a thread once the folder is new, and before the program runs.

        Raises:
            ServerUnavailable: It did not come up with these files. The next start has an empty folder.

        Cancellation: the server starts all the same.
        """
        self._fill = fill
        if self._settled.is_set():
            self._settled = trio.Event()
        self._again.set()
        await self.connected()

    async def wait_running(self) -> None:
        """Wait until the server has come up, or has failed to; it is not started. Cancellation: nothing changes."""
        await self._settled.wait()

    async def run(self) -> None:
        """Run the server whenever it is wanted, forever. Cancellation: its processes are ended (bounded)."""
        try:
            await trio.to_thread.run_sync(discard_left, self.command)
        except OSError as error:
            log.warning("files of a server not removed", server=self.command.name, why=str(error))
        again_s = _AGAIN_S
        while True:
            await self._wanted.wait()
            self._again, fill, self._fill = trio.Event(), self._fill, None
            is_up, paused_s, started = True, again_s, trio.current_time()
            try:
                why = await self._run_once(fill)
                is_short = trio.current_time() - started < _SHORT_S
                again_s = min(2 * again_s, _MOST_AGAIN_S) if is_short else _AGAIN_S
                if not self._again.is_set():
                    log.error("server ended", server=self.command.name, why=why)
            except (LaunchFailed, ServerUnavailable, OSError) as error:
                self._why = f"{self.command.shown} did not start: {error}"
                log.warning("server did not start", server=self.command.name, why=str(error))
                is_up, paused_s = False, _PAUSE_S
            except Exception:
                # An exception here would end the service.
                self._why = f"{self.command.shown} did not start; see the service's own log"
                log.exception("server did not start", server=self.command.name)
                is_up, paused_s = False, _PAUSE_S
            if not self._again.is_set():
                await self._pause(paused_s, is_wanted=is_up)

    async def _pause(self, paused_s: float, *, is_wanted: bool) -> None:
        """Wait before the next start, or until ``restart`` asks for it."""
        if not is_wanted:
            self._wanted = trio.Event()
        # Wakes all waiting tasks, and those that ask during the pause.
        self._settled.set()
        with trio.move_on_after(paused_s):
            await self._again.wait()
        if self._settled.is_set():
            self._settled = trio.Event()

    async def _run_once(self, fill: Callable[[], object] | None) -> str:
        """Run the server to its end, or until it is to start again; return why it ended.

        Raises:
            LaunchFailed, OSError, ServerUnavailable: It did not come up.
        """
        command = self.command
        await trio.to_thread.run_sync(make_folder, command)
        if fill is not None:
            await trio.to_thread.run_sync(fill)
        if command.prepare is not None and not command.prepared.exists():
            await self._prepare(command.prepare)
        await trio.to_thread.run_sync(note_use, command, boot_id())
        # Opened before the program runs: it cannot replace what this leads to.
        folder = os.open(command.folder / "socket", os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            with suppress(FileNotFoundError):
                os.unlink(command.socket, dir_fd=folder)
            async with self._runtime.open_process(command.spec(command.argv)) as process:
                self.process = process
                return await self._watch(process, folder)
        finally:
            self.process = None
            os.close(folder)

    async def _watch(self, process: RunningProcess, folder: int) -> str:
        kept = bytearray()
        try:
            async with beside(partial(_keep_last, process.output, kept)):
                with closing(await self._wait_ready(process, folder, kept)) as socket:
                    if self._again.is_set():
                        return ""
                    self._socket = socket
                    self._settled.set()
                    try:
                        why = _reason(await self._wait_end(process), kept)
                        # Before the socket goes: clients that connect from then on get this sentence.
                        self._why = f"{self.command.shown} exited ({why}); restarting it"
                        return why
                    finally:
                        self._socket = None
        finally:
            grace_s = self.command.grace_s
            with trio.move_on_after(grace_s + _KILL_S, shield=True):
                if await process.stop(grace_s) == Exit(code=0):
                    await trio.to_thread.run_sync(note_use, self.command, "")

    async def _wait_end(self, process: RunningProcess) -> Exit:
        """Wait until the process has ended, or is to end; return how it ended, if it has."""
        ended: list[Exit] = []

        async def watch() -> None:
            ended.append(await process.wait())
            scope.cancel()

        with trio.CancelScope() as scope:
            async with beside(watch):
                await self._again.wait()
        return ended[0] if ended else Exit()

    async def _wait_ready(self, process: RunningProcess, folder: int, kept: bytearray) -> ServerSocket:
        """Return the server's socket once ``ready`` has accepted it; the caller closes it.

        Raises:
            ServerUnavailable: The program ended, or took too long.
        """
        ended: list[Exit] = []
        found: list[ServerSocket] = []
        is_ready = False
        with trio.move_on_after(_START_S) as scope:

            async def watch() -> None:
                ended.append(await process.wait())
                scope.cancel()

            try:
                async with beside(watch):
                    await self._look_for(folder, found)
                    is_ready = True
            finally:
                if not is_ready and found:
                    found.pop().close()
        if not found:
            raise ServerUnavailable(_reason(ended[0], kept) if ended else f"it did not answer within {_START_S:g} s")
        return found[0]

    async def _look_for(self, folder: int, found: list[ServerSocket]) -> None:
        while not found:
            descriptor = _find_socket(folder, self.command.socket)
            if descriptor is not None:
                found.append(ServerSocket(descriptor))
            else:
                await trio.sleep(_LOOK_S)
        while not await self._ready(found[0]):  # noqa: ASYNC110  another program decides
            await trio.sleep(_LOOK_S)

    async def _prepare(self, argv: Sequence[str]) -> None:
        """Fill the folder. Raises: ServerUnavailable: The command failed."""
        started = trio.current_time()
        kept = bytearray()
        ended: Exit | None = None
        with trio.move_on_after(_PREPARE_S):
            async with (
                self._runtime.open_process(self.command.spec(argv)) as process,
                beside(partial(_keep_last, process.output, kept)),
            ):
                ended = await process.wait()
        if ended != Exit(code=0):
            why = f"took more than {_PREPARE_S:g} s" if ended is None else _reason(ended, kept)
            raise ServerUnavailable(f"its data folder could not be made: {why}")
        if self.command.kept is not None:
            await trio.to_thread.run_sync(keep_copy, self.command, self.command.kept)
        log.info("server prepared", server=self.command.name, elapsed_s=round(trio.current_time() - started, 2))


def _find_socket(folder: int, name: str) -> int | None:
    """Return a descriptor of the socket itself; None if there is none yet, or something else has its name."""
    try:
        descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return None
    if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    return None


async def _keep_last(output: trio.abc.ReceiveStream, kept: bytearray) -> None:
    """Read a program's output to its end, and keep the last of it."""
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        async for chunk in output:
            kept += chunk
            del kept[:-_MOST_KEPT_BYTES]


def _reason(ended: Exit, kept: bytearray) -> str:
    lines = [line for line in kept.decode("utf-8", "replace").splitlines() if line.strip()]
    last = "".join(one if one.isprintable() else "?" for one in lines[-1][-_MOST_SAID:]) if lines else ""
    said = last or "it printed nothing"
    return f"{ended}: {said}"
