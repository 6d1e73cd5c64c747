"""The children of this process, orphans that it has taken in among them: one look is shared by all who want one.

Each preview's tree looks for its orphans among all children of the service. When a hundred end at once, as many looks
at a hundred children each would take ten seconds.
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
    """A child that runs. What is read about it is read once in a look, when it is first asked for.

    Attributes:
        session: Its session: the leader's pid.
        marker: The mark it was started with, or None.
    """

    def __init__(self, identity: ProcessIdentity, session: int, marker: str | None) -> None:
        self.identity = identity
        self.session = session
        self.marker = marker

    @cached_property
    def folder(self) -> Path | None:
        """Its working folder."""
        return proctree.working_folder(self.identity.pid)

    @cached_property
    def pipes(self) -> frozenset[str]:
        """The pipes that it holds the writing end of."""
        return proctree.pipes_written(self.identity.pid)


class Look:
    """All children at one moment.

    Attributes:
        ended: Those that wait to be reaped by the task that has started them.
    """

    def __init__(self, children: Iterable[Child], ended: frozenset[ProcessIdentity]) -> None:
        self.ended = ended
        self._unmarked: list[Child] = []
        self._marked: dict[str, list[Child]] = {}
        for child in children:
            of_its_mark = self._unmarked if child.marker is None else self._marked.setdefault(child.marker, [])
            of_its_mark.append(child)

    def candidates(self, marker: str) -> list[Child]:
        """Children that may be of the tree with this mark: they have it, or have none."""
        return [*self._marked.get(marker, ()), *self._unmarked]


class Adopted:
    """Looks at the children of this process, and reaps orphans that have ended: nobody else will.

    One for all previews of a runtime.

    Attributes:
        leaders: Of the trees that are not over.
    """

    def __init__(self) -> None:
        self.leaders: set[ProcessIdentity] = set()
        self._count = 0
        self._last = Look((), frozenset())
        self._taken_at = -float("inf")
        self._rest_until = -float("inf")

    async def look(self) -> Look:
        """Return a look that begins after this call; callers until then share it.

        Looks take half of the time at most: who asks meanwhile waits for the next one.

        Cancellation: nothing changes.
        """
        asked = self._count
        await trio.sleep(max(0.0, self._rest_until - time.monotonic()))
        return self.take() if self._count == asked else self._last

    def recent(self, age_s: float) -> Look:
        """Return a look that is at most so many seconds old. In any thread."""
        return self._last if time.monotonic() - self._taken_at <= age_s else self.take()

    def take(self) -> Look:
        """Look now. In any thread."""
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
    """Return whether an ended child was somebody else's.

    Children that somebody here has started and waits for are in this process's session, or lead their own; and they are
    in its process namespace (fork(2) makes no other): the first process of a sandbox is an orphan.
    """
    return session not in (own, pid) or len(proctree.namespace_pids(pid)) > 1
