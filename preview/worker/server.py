"""Worker server: a small process that has imported the parsers and forks one worker for each job.

The server reads no untrusted files. It ends with the service, whose exit closes the connection between them.
"""

from __future__ import annotations

import gc
import importlib
import os
import select
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from preview.worker.checks import Progress
from preview.worker.child import Job, JobContext, run_worker
from preview.worker.confine import WorkerConfinement
from preview.worker.wire import ENDED, FORK, FORKED, MAX_PACKET_BYTES, READY, SPARE

_WARM_UPS = 2


def serve(descriptor: int, module: str) -> None:
    """Fork workers on demand until the service closes the connection.

    Args:
        descriptor: Descriptor of the connection to the service, a packet socket.
        module: Name of the module that has ``JOBS`` by name. The server runs its ``warm_up`` job before the first fork;
            a spare worker runs it again.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = socket.socket(fileno=descriptor)
    jobs: Mapping[str, Job] = importlib.import_module(module).JOBS
    warm_up = jobs["warm_up"]
    confinement = WorkerConfinement()
    confinement.give_up_privileges()
    progress = Progress()
    for _ in range(_WARM_UPS):
        warm_up.run(JobContext(Path(__file__).parent / "sample", (), progress), {})
    progress.close()
    gc.collect()
    gc.disable()
    gc.freeze()
    # An error of the connection means that the service is gone (ECONNRESET if it left a packet unread). The workers end
    # with this process (PR_SET_PDEATHSIG).
    with suppress(ConnectionError):
        connection.send(b" ".join([READY, ",".join(confinement.parts).encode()]))
        _Server(connection, jobs, warm_up, confinement).run()


class _Server:
    def __init__(
        self, connection: socket.socket, jobs: Mapping[str, Job], warm_up: Job, confinement: WorkerConfinement
    ) -> None:
        self._connection = connection
        self._jobs = jobs
        self._warm_up = warm_up
        self._confinement = confinement
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        # pidfd to pid.
        self._workers: dict[int, int] = {}

    def run(self) -> None:
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor in self._workers:
                    self._reap(descriptor)
                else:
                    word = self._connection.recv(MAX_PACKET_BYTES)
                    if word not in (FORK, SPARE):
                        return
                    self._fork(self._warm_up if word == SPARE else None)

    def _fork(self, warm_up: Job | None) -> None:
        ours, theirs = socket.socketpair()
        progress = Progress()
        own = os.getpid()
        pid = os.fork()
        if pid == 0:
            run_worker(theirs, progress, self._jobs, self._confinement, warm_up=warm_up, parent=own)
        pidfd = os.pidfd_open(pid)
        self._workers[pidfd] = pid
        self._poll.register(pidfd, select.POLLIN)
        with ours, theirs:
            packet = b" ".join([FORKED, str(pid).encode()])
            socket.send_fds(self._connection, [packet], [ours.fileno(), pidfd, progress.descriptor])
        progress.close()

    def _reap(self, pidfd: int) -> None:
        pid = self._workers.pop(pidfd)
        self._poll.unregister(pidfd)
        os.close(pidfd)
        _, status = os.waitpid(pid, 0)
        packet = b" ".join([ENDED, str(pid).encode(), str(os.waitstatus_to_exitcode(status)).encode()])
        self._connection.send(packet)


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2])
