"""Whose orphans they are: by what marks a process is told to be of one preview's tree once its parent has gone."""

from __future__ import annotations

import os
from pathlib import Path

from preview.runtime import proctree
from preview.runtime.interface import ProcessIdentity

__all__ = ["Membership"]


class Membership:
    """The processes of one tree, orphans included.

    An orphan is a child of this process (the child subreaper), as others are that are none of this tree's; each mark
    alone says that it is: the preview's marker in the environment it was started with, its working folder, the
    leader's session, the output's pipe, or having been seen below the leader. What took off all of them (``env -i``,
    ``setsid``, ``cd /``, its output closed) between two looks is not found: only a namespace would hold that.

    Args:
        leader: The tree's first process.
        preview_id: What the marker holds.
        directory: The working folder.
        output_fd: Our reading end of the output's pipe.
    """

    def __init__(self, leader: ProcessIdentity, preview_id: str, directory: Path, output_fd: int) -> None:
        self._leader = leader
        self._preview_id = preview_id
        self._directory = directory
        self._pipe = f"pipe:[{os.fstat(output_fd).st_ino}]"
        # Bounded: only the living are kept.
        self._seen: frozenset[ProcessIdentity] = frozenset()

    @property
    def known(self) -> frozenset[ProcessIdentity]:
        """Processes below the leader that were seen and are not reaped yet."""
        return self._seen

    def look(self) -> list[ProcessIdentity]:
        """All processes of the tree that run now, the leader first; what is below it is known from here on."""
        self._reap()
        found = proctree.living([*proctree.descendants(self._leader.pid), *self.orphans()])
        known = (one for one in self._seen if proctree.identify(one.pid) == one)
        self._seen = frozenset([*known, *found])
        return [one for one in dict.fromkeys([self._leader, *found]) if proctree.is_alive(one)]

    def _reap(self) -> None:
        """Take the exit status of orphans that have ended: nobody else will, and each holds a pid until then.

        Children that somebody here has started and waits for are in this process's session, or lead their own.
        """
        own = os.getsid(0)
        for child in proctree.children(os.getpid()):
            if child == self._leader.pid or not proctree.is_zombie(child):
                continue
            if proctree.session(child) not in (own, child, None) or proctree.identify(child) in self._seen:
                proctree.reap(child)

    def orphans(self) -> list[int]:
        """Processes of the tree that this process has adopted, and all below them; without the leader."""
        found: list[int] = []
        for child in proctree.children(os.getpid()):
            if child != self._leader.pid and self._is_ours(child):
                found.append(child)
                found.extend(proctree.descendants(child))
        return found

    def _is_ours(self, pid: int) -> bool:
        marker = proctree.read_marker(pid)
        if marker is not None:
            return marker == self._preview_id
        return (
            proctree.works_below(pid, self._directory)
            or proctree.identify(pid) in self._seen
            or self._is_in_session(pid)
            or proctree.writes_to(pid, self._pipe)
        )

    def _is_in_session(self, pid: int) -> bool:
        """A session keeps its number from being given to a process; a leader with another start is another session."""
        if proctree.session(pid) != self._leader.pid:
            return False
        return proctree.identify(self._leader.pid) in (None, self._leader)
