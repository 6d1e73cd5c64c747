"""Owners of orphans: the marks of one preview's processes after their parent has gone."""

from __future__ import annotations

import os
from collections.abc import Set as AbstractSet
from pathlib import Path

from preview.runtime.interface import ProcessIdentity
from preview.runtime.kernel import proctree
from preview.runtime.kernel.verified import VerifiedProcess, as_known
from preview.runtime.process.adopted import Child, Look


class Membership:
    """The processes of one tree, orphans included.

    An orphan is a child of this process (the child subreaper), as others are that are none of this tree's; each mark
    alone says that it is: the preview's marker in the environment it was started with, its working folder, the
    leader's session, the output's pipe, or having been seen below the leader. What took off all of them (``env -i``,
    ``setsid``, ``cd /``, its output closed) between two looks is not found: only a namespace would hold that.

    Args:
        instance: What the marker holds.
        output_fd: Our reading end of the output's pipe.
        leaders: Those of all trees that this process has started and not ended: none is another tree's.
    """

    def __init__(
        self,
        leader: ProcessIdentity,
        instance: str,
        directory: Path,
        output_fd: int,
        leaders: AbstractSet[ProcessIdentity] = frozenset(),
    ) -> None:
        self._leader = leader
        self._instance = instance
        self._directory = directory
        self._pipe = f"pipe:[{os.fstat(output_fd).st_ino}]"
        self._leaders = leaders
        # Bounded: only the living are kept.
        self._seen: frozenset[ProcessIdentity] = frozenset()

    @property
    def known(self) -> frozenset[VerifiedProcess]:
        """Processes below the leader that were seen and are not reaped yet."""
        return frozenset(as_known(one for one in self._seen if not self._is_anothers(one)))

    def _is_anothers(self, one: ProcessIdentity) -> bool:
        """Return whether it belongs to the preview's other tree: a fork in progress has that one's folder, and no mark.

        Nor has it one for a moment behind its exec, which has let its parent go on.
        """
        if one in self._leaders and one != self._leader:
            return True
        marker = proctree.read_marker(one.pid)
        preview_id = self._instance.partition("-")[0]
        return marker is not None and marker != self._instance and marker.partition("-")[0] == preview_id

    def look(self, children: Look) -> list[VerifiedProcess]:
        """All processes of the tree that run now, the leader first; what is below it is known from here on.

        Args:
            children: Of this process.
        """
        self.reap(children)
        below = proctree.living(proctree.descendants(self._leader.pid))
        found = [*below, *(one.identity for one in self.orphans(children))]
        known = (one for one in self._seen if proctree.identify(one.pid) == one)
        self._seen = frozenset([*known, *found])
        return as_known(one for one in dict.fromkeys([self._leader, *found]) if proctree.is_alive(one))

    def reap(self, children: Look) -> None:
        """Take the exit status of those that were seen below the leader, and have been taken in since."""
        for one in self._seen & children.ended:
            if one != self._leader:
                proctree.reap(one.pid)

    def orphans(self, children: Look) -> list[VerifiedProcess]:
        """Return processes of the tree adopted by this process, and their descendants; without the leader."""
        found: list[ProcessIdentity] = []
        for child in children.candidates(self._instance):
            pid = child.identity.pid
            if pid == self._leader.pid:
                continue
            # What was just being forked for the other tree, with no mark yet, has its mark by now.
            if child.marker is not None or (self._is_ours(child) and not self._is_anothers(child.identity)):
                found.extend([child.identity, *proctree.living(proctree.descendants(pid))])
        return as_known(one for one in found if proctree.is_alive(one))

    def _is_ours(self, child: Child) -> bool:
        """Of a child without a mark."""
        return (
            (child.folder is not None and child.folder.is_relative_to(self._directory))
            or child.identity in self._seen
            or self._is_in_session(child)
            or self._pipe in child.pipes
        )

    def _is_in_session(self, child: Child) -> bool:
        """Return whether it is in the session; a session keeps its number, and another start is another session."""
        if child.session != self._leader.pid:
            return False
        return proctree.identify(self._leader.pid) in (None, self._leader)
