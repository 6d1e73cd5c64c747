"""Pool of workers in the service: runs the server process that forks workers, and one worker for each job."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import structlog
import trio
from pydantic import TypeAdapter

from preview.errors import AnalysisFailed, InvalidGeneration, ServiceShort
from preview.generations import GenerationLimits
from preview.settings import Settings
from preview.worker.answers import MAX_SHOWN, clean, file_of, path_of, too_complex, validated
from preview.worker.archives import file_bytes
from preview.worker.forked import ForkedWorker, ServerEnded
from preview.worker.wire import ENDED, FORK, FORKED, MAX_FDS, MAX_PACKET_BYTES, READY, SPARE, Header

log = structlog.get_logger(__name__)

T = TypeVar("T")

JOBS_MODULE: Final = "preview.worker.jobs"
# The server receives the service's module path and none of its variables.
_PROGRAM: Final = (
    "import sys; number, module, *sys.path = sys.argv[1:]; "
    "from preview.worker.server import serve; serve(int(number), module)"
)
# Idle workers: one for a launch, one for the environment build of pushed files.
_IDLE: Final = 2
# A fork competes with the launch for the processor; the second idle worker covers this delay.
_REFILL_AFTER_S: Final = 0.3
# Pause before a restart: the server may have run out of memory, or something may kill it repeatedly.
_FIRST_PAUSE_S: Final = 0.05
_LAST_PAUSE_S: Final = 5.0
# The server's imports take half a second on a free processor, and over 30 s on one with thirty waiting processes.
_START_TIMEOUT_S: Final = 60.0
_STOP_S: Final = 2.0
# Eight times the answer for the largest known project.
_MAX_ANSWER_BYTES: Final = 2 << 20
_PIECE_BYTES: Final = 64 << 10
# From the end of a worker's answer to the server's report of the worker's exit.
_ENDED_TIMEOUT_S: Final = 1.0
# The kernel counts a worker's processor time (RLIMIT_CPU); on a loaded machine the same work takes longer.
_WALL_FACTOR: Final = 10
# A job is retried once if the server ended while the job ran.
_ATTEMPTS: Final = 2


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of one job; see ``Settings``."""

    seconds: float
    memory_mb: int
    file_bytes: int


@asynccontextmanager
async def open_worker_pool(settings: Settings, *, jobs: str = JOBS_MODULE) -> AsyncIterator[WorkerPool]:
    """Provide the pool while its server starts; jobs wait until the server is ready.

    Args:
        settings: The settings ``workers`` and ``worker_*``.
        jobs: Name of the module that defines the jobs.

    Cancellation: the server and the workers are killed; running jobs fail.
    """
    pool = WorkerPool(settings, jobs)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pool.run_server)
        nursery.start_soon(pool.run_refill)
        try:
            yield pool
        finally:
            nursery.cancel_scope.cancel()


class WorkerPool:
    """Runs jobs in worker processes. Created by ``open_worker_pool``.

    Invariant: ``_pending`` is the number of forks that the current server was requested to make and has not reported.
    """

    def __init__(self, settings: Settings, jobs: str) -> None:
        self._bounds = Bounds(
            settings.worker_timeout_s, settings.worker_memory_mb, file_bytes(GenerationLimits.of(settings))
        )
        self._jobs = jobs
        self._limiter = trio.CapacityLimiter(settings.workers)
        self._idle: deque[ForkedWorker] = deque()
        self._working: dict[int, ForkedWorker] = {}
        self._server: trio.socket.SocketType | None = None
        self._pending = 0
        self._waiting = 0
        self._changed = trio.Event()
        self._low = trio.Event()
        # For tests and for the operator.
        self.server_pid: int | None = None
        self.parts: tuple[str, ...] = ()

    # Jobs

    async def run(
        self,
        job: str,
        arguments: object,
        answer: TypeAdapter[T],
        *,
        directory: Path | None = None,
        files: Sequence[int] = (),
    ) -> T:
        """Run a job in a new worker.

        Args:
            job: The job's name.
            arguments: The job's arguments, in types that JSON can encode.
            answer: The type of the answer.
            directory: The only folder that the worker may read; None if it needs none.
            files: Descriptors that are sent to the worker; they must stay open during this call.

        Raises:
            TooComplex: The job exceeded its time, memory, answer size or nesting limit.
            AnalysisFailed: The worker or its server ended without a valid answer.
            ServiceShort: No worker was available within 30 s.
            PreviewError: The job's own error: ``InvalidGeneration``, ``EnvironmentFailed`` or ``TooLarge``.

        Cancellation: the worker is killed.
        """
        async with self._limiter:
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    said = await self._run_once(job, arguments, directory, files)
                except ServerEnded:
                    if attempt == _ATTEMPTS:
                        raise AnalysisFailed(
                            "The project's files could not be read: the process that reads them was ended. Try again."
                        ) from None
                else:
                    return validated(said, answer)
        raise AssertionError("each attempt returns or raises")

    async def _run_once(self, job: str, arguments: object, directory: Path | None, files: Sequence[int]) -> object:
        bounds = self._bounds
        request = {
            "job": job, "arguments": arguments, "directory": None if directory is None else str(directory),
            "seconds": bounds.seconds, "memory_mb": bounds.memory_mb, "file_bytes": bounds.file_bytes,
        }  # fmt: skip
        data = json.dumps(request).encode("ascii")
        worker = await self._take()
        try:
            with _opened(directory) as opened, trio.move_on_after(bounds.seconds * _WALL_FACTOR):
                await worker.send(Header(len(data)).pack() + data, [*opened, *files])
                raw = await worker.receive(_MAX_ANSWER_BYTES)
                return await self._decode(raw, worker)
            raise too_complex(worker, f"within {bounds.seconds * _WALL_FACTOR:g} s", limit_s=bounds.seconds)
        finally:
            self._drop(worker)

    async def _decode(self, raw: bytes, worker: ForkedWorker) -> object:
        """Return the decoded answer, or raise the reason why there is none, derived from how the worker ended."""
        said: object = None
        with suppress(ValueError, RecursionError):
            said = json.loads(raw)
        if isinstance(said, dict) and said.keys() & {"ok", "error"}:
            return said
        if len(raw) > _MAX_ANSWER_BYTES:
            raise too_complex(worker, "in an answer of 2 MiB", limit_bytes=_MAX_ANSWER_BYTES)
        failed = said.get("failed") if isinstance(said, dict) else None
        if failed == "memory":
            raise too_complex(worker, f"in {self._bounds.memory_mb} MiB", limit_mb=self._bounds.memory_mb)
        if failed == "depth":
            raise too_complex(worker, "(because it is nested too deeply)")
        with trio.move_on_after(_ENDED_TIMEOUT_S):
            await worker.ended.wait()
        if worker.status is None:
            raise ServerEnded
        if worker.status in (-signal.SIGXCPU, -signal.SIGKILL):
            raise too_complex(worker, f"in {self._bounds.seconds:g} s", limit_s=self._bounds.seconds)
        log.warning("worker failed", status=worker.status, why=clean(str(failed))[:MAX_SHOWN], file=worker.file)
        raise AnalysisFailed(
            f"{file_of(worker)} could not be analysed: the process that reads it ended. "
            "Shorten the file, or leave it out.",
            **path_of(worker),
        )

    # Workers

    async def _take(self) -> ForkedWorker:
        """Return an idle worker; request one if there is none."""
        self._waiting += 1
        try:
            with trio.move_on_after(_START_TIMEOUT_S):
                while not self._idle:
                    # Read the event before the request: the fork may arrive before the call returns.
                    changed = self._changed
                    await self._ask_for_enough()
                    await changed.wait()
        finally:
            self._waiting -= 1
        if not self._idle:
            raise ServiceShort("No process to read the project's files could be started; the service's log says why.")
        worker = self._idle.popleft()
        self._working[worker.pid] = worker
        self._low.set()
        return worker

    def _drop(self, worker: ForkedWorker) -> None:
        """Kill the worker after its job."""
        worker.kill()
        # The pid stays registered until the server reports the exit, because the server still uses it.
        if worker.status is not None:
            self._working.pop(worker.pid, None)

    async def _ask_for_enough(self, spare: int = 0) -> None:
        server = self._server
        while (
            server is not None
            and server is self._server
            and (have := self._pending + len(self._idle)) < (self._waiting + spare)
        ):
            self._pending += 1
            try:
                await server.send(FORK if have < self._waiting else SPARE)
            except OSError:
                # The server has ended; the next server receives new requests.
                return

    def _tell_changed(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def run_refill(self) -> None:
        """Refill the idle workers after a pause in demand. Run as one task. Cancellation: takes effect at once."""
        while True:
            await self._low.wait()
            while self._low.is_set():
                self._low = trio.Event()
                await trio.sleep(_REFILL_AFTER_S)
            await self._ask_for_enough(_IDLE)

    # The server

    async def run_server(self) -> None:
        """Run the worker server and restart it when it ends. Run as one task.

        Cancellation: the server and the workers are killed.
        """
        pause_s = _FIRST_PAUSE_S
        while True:
            began = trio.current_time()
            try:
                await self._serve()
            except OSError as error:
                log.warning("worker server start failed", why=str(error))
            if trio.current_time() - began > _LAST_PAUSE_S:
                pause_s = _FIRST_PAUSE_S
            log.warning("worker server exited", pause_s=pause_s)
            await trio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LAST_PAUSE_S)

    async def _serve(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with trio.socket.from_stdlib_socket(ours) as connection:
            with theirs:
                process = await trio.lowlevel.open_process(
                    [*_interpreter(), "-c", _PROGRAM, str(theirs.fileno()), self._jobs, *map(_absolute, sys.path)],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    env={"PATH": os.defpath, "LANG": "C.UTF-8"},
                    cwd="/",
                )
            self.server_pid = process.pid
            try:
                await self._listen(connection)
            finally:
                self._forget_server()
                with trio.move_on_after(_STOP_S, shield=True):
                    process.kill()
                    await process.wait()

    async def _listen(self, connection: trio.socket.SocketType) -> None:
        """Handle the server's packets until it ends or fails to get ready in time."""
        while True:
            with trio.move_on_after(_START_TIMEOUT_S if self._server is None else float("inf")) as scope:
                packet, ancillary, _, _ = await connection.recvmsg(
                    MAX_PACKET_BYTES, socket.CMSG_SPACE(MAX_FDS * 4), socket.MSG_CMSG_CLOEXEC
                )
            if scope.cancelled_caught or not packet:
                return
            word, *rest = packet.split(b" ")
            if word == READY:
                self.parts = tuple(rest[0].decode().split(","))
                self._server = connection
                log.debug("worker server ready", confined_by=self.parts)
                await self._ask_for_enough(_IDLE)
                self._tell_changed()
            elif word == FORKED:
                self._pending -= 1
                self._idle.append(ForkedWorker(int(rest[0]), _descriptors(ancillary)))
                self._tell_changed()
            elif word == ENDED:
                self._note_end(int(rest[0]), int(rest[1]))

    def _note_end(self, pid: int, status: int) -> None:
        worker = self._working.pop(pid, None)
        if worker is not None:
            worker.end(status)
            return
        for idle in [one for one in self._idle if one.pid == pid]:
            # The worker ended before it had a job, usually because it ran out of memory.
            self._idle.remove(idle)
            idle.kill()
            self._low.set()

    def _forget_server(self) -> None:
        """Drop all workers: the kernel kills them with their server (PR_SET_PDEATHSIG)."""
        self._server, self.server_pid, self.parts, self._pending = None, None, (), 0
        while self._idle:
            self._idle.popleft().kill()
        self._working.clear()
        self._tell_changed()


@contextmanager
def _opened(directory: Path | None) -> Iterator[Sequence[int]]:
    """Provide a list with the folder's descriptor; empty without a folder."""
    if directory is None:
        yield ()
        return
    try:
        descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise InvalidGeneration("The project's folder is gone.") from error
    try:
        yield [descriptor]
    finally:
        os.close(descriptor)


def _interpreter() -> list[str]:
    """Return the command of the service's interpreter: it ignores variables and uses the same bytecode cache."""
    prefix = [] if sys.pycache_prefix is None else ["-X", f"pycache_prefix={sys.pycache_prefix}"]
    return [sys.executable, "-I", *prefix, *(["-B"] if sys.dont_write_bytecode else [])]


def _absolute(path: str) -> str:
    return str(Path(path or ".").absolute())


def _descriptors(ancillary: Sequence[tuple[int, int, bytes]]) -> Sequence[int]:
    found: list[int] = []
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found += memoryview(data[: len(data) - len(data) % 4]).cast("i").tolist()
    return found
