"""Main function of one worker: wait for one job, run it confined, write one answer, and exit."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from pydantic_core import to_jsonable_python

from preview.errors import PreviewError
from preview.worker.checks import Progress
from preview.worker.confine import WorkerConfinement
from preview.worker.wire import MAX_FDS, Header, receive_exactly

# A worker is short-lived and creates few reference cycles: rarer collections save a tenth of its time.
_COLLECT_AFTER: Final = (50_000, 20, 100)


@dataclass(frozen=True, slots=True)
class JobContext:
    """Resources of a job.

    Attributes:
        directory: The project's folder, absolute; None for a job without one.
        files: Descriptors that arrived with the job.
        progress: Receives the name of each file before the file is read.
    """

    directory: Path | None
    files: Sequence[int]
    progress: Progress

    @property
    def project(self) -> Path:
        """The project's folder; only for a job that has one."""
        assert self.directory is not None, "this job comes with a folder"  # noqa: S101
        return self.directory


JobFunction = Callable[[JobContext, Mapping[str, Any]], object]
"""Function of a job. It receives the arguments, decoded from JSON, and its result is encoded as JSON."""


@dataclass(frozen=True, slots=True)
class Job:
    """One kind of job.

    Attributes:
        run: Function that does the job.
        writes: Whether the job writes to descriptors that arrive with it.
    """

    run: JobFunction
    writes: bool = False


def run_worker(
    connection: socket.socket,
    progress: Progress,
    jobs: Mapping[str, Job],
    confinement: WorkerConfinement,
    *,
    warm_up: Job | None,
    parent: int,
) -> NoReturn:
    """Do one job in a process that was forked for it; run ``warm_up`` first if it is given."""
    status = 1
    try:
        _close_others(connection.fileno(), progress.descriptor)
        confinement.end_with(parent)
        gc.enable()
        gc.set_threshold(*_COLLECT_AFTER)
        # A first run before a job arrives: it copies the shared memory pages that jobs write to.
        if warm_up is not None:
            warm_up.run(JobContext(Path(__file__).parent / "sample", (), progress), {})
        signal.signal(signal.SIGXCPU, signal.SIG_DFL)
        confinement.enter()
        _work(connection, progress, jobs, confinement)
        status = 0
    finally:
        # Skip the exit handlers, threads and buffers that the fork has inherited from the server.
        os._exit(status)


def _close_others(*kept: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    first = 3
    for descriptor in sorted(kept):
        os.closerange(first, descriptor)
        first = descriptor + 1
    os.closerange(first, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _work(
    connection: socket.socket, progress: Progress, jobs: Mapping[str, Job], confinement: WorkerConfinement
) -> None:
    raw, files, _, _ = socket.recv_fds(connection, Header.SIZE, MAX_FDS)
    if not raw:
        return
    header = Header.unpack(raw + receive_exactly(connection, Header.SIZE - len(raw)))
    request = json.loads(receive_exactly(connection, header.size_bytes))
    job = jobs[request["job"]]
    directory = request["directory"]
    folder = None if directory is None else files.pop(0)
    confinement.close(
        folder,
        memory_mb=request["memory_mb"],
        seconds=request["seconds"],
        file_bytes=request["file_bytes"] if job.writes else 0,
    )
    context = JobContext(None if directory is None else Path(directory), files, progress)
    _write(connection.fileno(), _answer(job, context, request["arguments"]))


def _answer(job: Job, context: JobContext, arguments: Mapping[str, Any]) -> bytes:
    try:
        return _encode({"ok": job.run(context, arguments)})
    except PreviewError as error:
        return _encode({"error": {"code": error.code, "message": error.message, "details": error.details}})
    except MemoryError:
        return b'{"failed": "memory"}'
    except RecursionError:
        return b'{"failed": "depth"}'
    except Exception as error:  # noqa: BLE001  the answer reports it
        return _encode({"failed": f"{type(error).__name__}: {error}"[:500]})


def _encode(answer: object) -> bytes:
    # The escapes preserve lone surrogates, which file names may contain.
    return json.dumps(to_jsonable_python(answer), ensure_ascii=True, separators=(",", ":")).encode("ascii")


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    with contextlib.suppress(BrokenPipeError):
        while view:
            view = view[os.write(descriptor, view) :]
    # Close before the process ends: releasing its memory takes milliseconds.
    os.close(descriptor)
