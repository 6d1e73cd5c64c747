"""Recognizes the processes of one tree, also orphans, by several marks."""

from __future__ import annotations

import os
from collections.abc import Set as AbstractSet
from pathlib import Path

from preview.runtime.interface import ProcessIdentity
from preview.runtime.kernel import proctree
from preview.runtime.kernel.verified import VerifiedProcess, as_known
from preview.runtime.process.adopted import Child, Look


class Membership:
    """The processes of one tree, including orphans.

    An orphan becomes a child of this process (the child subreaper), like orphans of other trees. Each of these marks
    alone shows that it belongs to this tree: the preview's marker in its initial environment, its working folder, the
    leader's session, the output's pipe, or an earlier position below the leader. A process that removes all marks
    (``env -i``, ``setsid``, ``cd /``, closed output) between two scans is not found; only a namespace prevents that.

    Args:
        instance: Value of the marker.
        output_fd: The service's reading end of the output pipe.
        leaders: Leaders of all running trees of this process; a leader never belongs to another tree.
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
        # Bounded, because only living processes are kept.
        self._seen: frozenset[ProcessIdentity] = frozenset()

    @property
    def known(self) -> frozenset[VerifiedProcess]:
        """Processes seen below the leader that are not reaped yet."""
        return frozenset(as_known(one for one in self._seen if not self._is_anothers(one)))

    def _is_anothers(self, one: ProcessIdentity) -> bool:
        """Return whether the process belongs to the preview's other tree.

        A fork has no marker until shortly after its ``exec``, and already has the other tree's folder.
        """
        if one in self._leaders and one != self._leader:
            return True
        marker = proctree.read_marker(one.pid)
        preview_id = self._instance.partition("-")[0]
        return marker is not None and marker != self._instance and marker.partition("-")[0] == preview_id

    def look(self, children: Look) -> list[VerifiedProcess]:
        """Return all running processes of the tree, the leader first, and remember those below the leader.

        Args:
            children: Scan of this process's children.
        """
        self.reap(children)
        below = proctree.living(proctree.descendants(self._leader.pid))
        found = [*below, *(one.identity for one in self.orphans(children))]
        known = (one for one in self._seen if proctree.identify(one.pid) == one)
        self._seen = frozenset([*known, *found])
        return as_known(one for one in dict.fromkeys([self._leader, *found]) if proctree.is_alive(one))

    def reap(self, children: Look) -> None:
        """Reap ended processes that were seen below the leader, and were adopted since."""
        for one in self._seen & children.ended:
            if one != self._leader:
                proctree.reap(one.pid)

    def orphans(self, children: Look) -> list[VerifiedProcess]:
        """Return the tree's processes that this process has adopted, with their descendants, without the leader."""
        found: list[ProcessIdentity] = []
        for child in children.candidates(self._instance):
            pid = child.identity.pid
            if pid == self._leader.pid:
                continue
            # The marker is read again: a fork for the other tree may not have had one during the scan.
            if child.marker is not None or (self._is_ours(child) and not self._is_anothers(child.identity)):
                found.extend([child.identity, *proctree.living(proctree.descendants(pid))])
        return as_known(one for one in found if proctree.is_alive(one))

    def _is_ours(self, child: Child) -> bool:
        """Return whether a child without a marker belongs to this tree."""
        return (
            (child.folder is not None and child.folder.is_relative_to(self._directory))
            or child.identity in self._seen
            or self._is_in_session(child)
            or self._pipe in child.pipes
        )

    def _is_in_session(self, child: Child) -> bool:
        """Return whether the child is in the leader's session, whose id has not been reused for another session."""
        if child.session != self._leader.pid:
            return False
        return proctree.identify(self._leader.pid) in (None, self._leader)
