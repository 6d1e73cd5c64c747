"""The service's side of the workers: the server process that forks them, and one worker for each job."""

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
from preview.worker.answers import (
    ENDED,
    FORK,
    FORKED,
    MAX_FDS,
    MAX_PACKET_BYTES,
    MAX_SHOWN,
    READY,
    SPARE,
    Header,
    clean,
    file_of,
    path_of,
    too_complex,
    validated,
)
from preview.worker.archives import file_bytes
from preview.worker.forked import ForkedWorker, ServerEnded

log = structlog.get_logger(__name__)

T = TypeVar("T")

JOBS_MODULE: Final = "preview.worker.jobs"
# The server takes over the service's own module path; it gets nothing else of it.
_PROGRAM: Final = (
    "import sys; number, module, *sys.path = sys.argv[1:]; "
    "from preview.worker.server import serve; serve(int(number), module)"
)
# Ready ones: a launch takes one, and the build of what was pushed another.
_IDLE: Final = 2
# Forking while a launch goes on would take its processor; the other idle worker bridges this time.
_REFILL_AFTER_S: Final = 0.3
# The server has ended for want of memory, or somebody ends it again and again.
_FIRST_PAUSE_S: Final = 0.05
_LAST_PAUSE_S: Final = 5.0
# Its imports take half a second of a free processor.
_START_TIMEOUT_S: Final = 30.0
_STOP_S: Final = 2.0
# What the largest known project answers is an eighth of it.
_MAX_ANSWER_BYTES: Final = 2 << 20
_PIECE_BYTES: Final = 64 << 10
# From the end of its answer to the word of its end.
_ENDED_TIMEOUT_S: Final = 1.0
# A job whose server was ended meanwhile is done once more.
_ATTEMPTS: Final = 2


@dataclass(frozen=True, slots=True)
class Bounds:
    """GenerationLimits of one job; see ``Settings``."""

    seconds: float
    memory_mb: int
    file_bytes: int


@asynccontextmanager
async def open_worker_pool(settings: Settings, *, jobs: str = JOBS_MODULE) -> AsyncIterator[WorkerPool]:
    """Provide the pool, with its server starting; jobs wait until it is ready.

    Args:
        settings: ``workers`` and ``worker_*``.
        jobs: The module that has the jobs.

    Cancellation: server and workers are killed; jobs under way fail.
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
    """Runs jobs in worker processes. Made by ``open_worker_pool``.

    Invariant: ``_pending`` counts forks that the present server was asked for and has not made yet.
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
        """Do a job in a worker of its own.

        Args:
            job: Its name.
            arguments: JSON.
            answer: What it answers; anything else is no answer.
            directory: The one folder that the worker may read.
            files: Descriptors that it gets, for the time of this call.

        Raises:
            TooComplex: It took too long, or too much memory.
            AnalysisFailed: The worker ended without a valid answer.
            PreviewError: What the job says itself: ``InvalidGeneration``, ``EnvironmentFailed``, ``TooLarge``.

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
            with _opened(directory) as opened, trio.move_on_after(bounds.seconds):
                await worker.send(Header(len(data)).pack() + data, [*opened, *files])
                raw = await worker.receive(_MAX_ANSWER_BYTES)
                return await self._decode(raw, worker)
            raise too_complex(worker, f"within {bounds.seconds:g} s", limit_s=bounds.seconds)
        finally:
            self._drop(worker)

    async def _decode(self, raw: bytes, worker: ForkedWorker) -> object:
        """Return the answer, or raise the reason why there is none, from the worker's end."""
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
            raise too_complex(worker, "as it is nested")
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
        """Return an idle worker; requests one if there is none.

        Raises:
            ServiceShort: There is none within 30 s.
        """
        self._waiting += 1
        try:
            with trio.move_on_after(_START_TIMEOUT_S):
                while not self._idle:
                    # Taken first: the fork may be there before the call returns.
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
        """Drop the job: it has ended."""
        worker.kill()
        # Its number is the server's until that has told of its end.
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
                # It has ended; the next one is asked again.
                return

    def _tell_changed(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def run_refill(self) -> None:
        """Have idle workers again, once none was taken for a moment. One task. Cancellation: as the pool's."""
        while True:
            await self._low.wait()
            while self._low.is_set():
                self._low = trio.Event()
                await trio.sleep(_REFILL_AFTER_S)
            await self._ask_for_enough(_IDLE)

    # The server

    async def run_server(self) -> None:
        """Run the server, again where it ends. One task.

        Cancellation: server and workers are killed.
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
        """Take what the server says, until it has ended."""
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
            # Ended before it had a job: for want of memory, as a rule.
            self._idle.remove(idle)
            idle.kill()
            self._low.set()

    def _forget_server(self) -> None:
        """Its workers end with it (PR_SET_PDEATHSIG)."""
        self._server, self.server_pid, self.parts, self._pending = None, None, (), 0
        while self._idle:
            self._idle.popleft().kill()
        self._working.clear()
        self._tell_changed()


@contextmanager
def _opened(directory: Path | None) -> Iterator[Sequence[int]]:
    """Provide the folder's descriptor, in a list; none without a folder."""
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
    """Return the service's own interpreter, isolated from its environment, with the service's compiled modules."""
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
