"""Stops all processes of a preview for a moment, so that what they store is of one moment."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from preview.runtime.kernel import proctree
from preview.runtime.kernel.verified import VerifiedProcess, find_living

# A process that forks while its tree is stopped is found in the next round.
_MOST_ROUNDS = 20
# A process is stopped once each of its threads has left the kernel, mostly within microseconds.
_STOPPED_S, _MOST_S = 0.1, 2.0
_POLL_S = 0.0005


class Freeze:
    """Stopped processes, which ``thaw`` lets go on. Each of them stays the same process meanwhile."""

    def __init__(self) -> None:
        self._stopped: dict[VerifiedProcess, None] = {}

    def stop(self, members: Callable[[], Iterable[int]], within_s: float = _MOST_S) -> bool:
        """Stop all processes, also those that are forked meanwhile. Blocks for some milliseconds: call it in a thread.

        Args:
            members: Returns the pids of the trees' processes, see ``RunningProcess.members``.
            within_s: Gives up after so long.

        Returns:
            Whether all stand still: a last look has found no other process, and none that another one has woken.

        Raises:
            OSError: No file descriptor is free; some processes may be stopped, and ``thaw`` lets them go on.
        """
        until = time.monotonic() + within_s
        for _ in range(_MOST_ROUNDS):
            found = [one for one in find_living(lambda: _with_descendants(members())) if self._may_run(one)]
            if not found:
                return True
            if time.monotonic() > until:
                return False
            for process in found:
                # First noted: it is woken whatever happens.
                self._stopped[process] = None
                process.send(signal.SIGSTOP)
            # One that is not stopped yet could still fork, or wake others.
            _wait_stopped(found)
        return False

    def _may_run(self, process: VerifiedProcess) -> bool:
        return process not in self._stopped or proctree.is_running(process.identity)

    @property
    def is_frozen(self) -> bool:
        """True while any process is stopped."""
        return bool(self._stopped)

    def thaw(self) -> None:
        """Let all stopped processes go on; a second call does nothing."""
        while self._stopped:
            process, _ = self._stopped.popitem()
            try:
                process.send(signal.SIGCONT)
            except OSError:
                # Without a free file descriptor nothing shows whose the pid is now. It was theirs seconds ago, and the
                # signal does nothing to a process that runs.
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(process.pid, signal.SIGCONT)


def _with_descendants(pids: Iterable[int]) -> list[int]:
    """Return the processes and all below them: without a control group, new ones are not known yet."""
    found: dict[int, None] = {}
    queue = list(pids)
    while queue:
        pid = queue.pop()
        if pid not in found:
            found[pid] = None
            queue += proctree.children(pid)
    return list(found)


def _wait_stopped(processes: Iterable[VerifiedProcess]) -> None:
    until = time.monotonic() + _STOPPED_S
    for process in processes:
        while proctree.is_running(process.identity) and time.monotonic() < until:
            time.sleep(_POLL_S)
