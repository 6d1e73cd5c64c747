"""The children of this process, including adopted orphans: one scan is shared by all trees that need one.

Each preview's tree searches all children of the service for its orphans. If a hundred trees ended at once, a hundred
scans of a hundred children each would take ten seconds.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path

import trio

from preview.runtime.interface import ProcessIdentity
from preview.runtime.kernel import proctree


class Child:
    """A running child. Its details are read at most once per scan, on first use.

    Attributes:
        session: Id of its session, which is the pid of the session's leader.
        marker: Marker in its initial environment, or None.
    """

    def __init__(self, identity: ProcessIdentity, session: int, marker: str | None) -> None:
        self.identity = identity
        self.session = session
        self.marker = marker

    @cached_property
    def folder(self) -> Path | None:
        """Its working folder; None if it has ended."""
        return proctree.working_folder(self.identity.pid)

    @cached_property
    def pipes(self) -> frozenset[str]:
        """Pipes whose writing end it has open."""
        return proctree.pipes_written(self.identity.pid)


class Look:
    """All children at one moment, found by one scan.

    Attributes:
        ended: Ended children that the task which started them will reap.
    """

    def __init__(self, children: Iterable[Child], ended: frozenset[ProcessIdentity]) -> None:
        self.ended = ended
        self._unmarked: list[Child] = []
        self._marked: dict[str, list[Child]] = {}
        for child in children:
            of_its_mark = self._unmarked if child.marker is None else self._marked.setdefault(child.marker, [])
            of_its_mark.append(child)

    def candidates(self, marker: str) -> list[Child]:
        """Return children that may belong to the tree with this marker: they have this marker, or none."""
        return [*self._marked.get(marker, ()), *self._unmarked]


class Adopted:
    """Scans the children of this process, and reaps ended orphans, which no other task does.

    All previews of a runtime share one instance.

    Attributes:
        leaders: Leaders of the trees that have not ended.
    """

    def __init__(self) -> None:
        self.leaders: set[ProcessIdentity] = set()
        self._count = 0
        self._last = Look((), frozenset())
        self._taken_at = -float("inf")
        self._rest_until = -float("inf")

    async def look(self) -> Look:
        """Return the result of a scan that starts after this call; concurrent callers share it.

        Scans take at most half of the time; callers in between wait for the next scan.

        Cancellation: no effect.
        """
        asked = self._count
        await trio.sleep(max(0.0, self._rest_until - time.monotonic()))
        return self.take() if self._count == asked else self._last

    def recent(self, age_s: float) -> Look:
        """Return a result that is at most ``age_s`` seconds old. Callable in any thread."""
        return self._last if time.monotonic() - self._taken_at <= age_s else self.take()

    def take(self) -> Look:
        """Scan now. Callable in any thread."""
        started = time.monotonic()
        look = self._last = _look(_stats())
        self._count += 1
        self._taken_at, self._rest_until = started, 2 * time.monotonic() - started
        return look


def _stats() -> Mapping[int, proctree.Stat]:
    looked = {pid: proctree.read_stat(pid) for pid in proctree.children(os.getpid())}
    return {pid: stat for pid, stat in looked.items() if stat is not None}


def _look(stats: Mapping[int, proctree.Stat]) -> Look:
    own = os.getsid(0)
    living: list[Child] = []
    ended: list[ProcessIdentity] = []
    for pid, stat in stats.items():
        if not stat.has_ended:
            living.append(Child(stat.identity, stat.session, proctree.read_marker(pid)))
        elif _is_orphan(pid, stat.session, own):
            proctree.reap(pid)
        else:
            ended.append(stat.identity)
    return Look(living, frozenset(ended))


def _is_orphan(pid: int, session: int, own: int) -> bool:
    """Return whether no task here started the ended child.

    Children that a task has started, and waits for, are in this process's session, or lead their own. They are also in
    this process's PID namespace (fork(2) makes no other). So the first process of a sandbox is an orphan.
    """
    return session not in (own, pid) or len(proctree.namespace_pids(pid)) > 1
