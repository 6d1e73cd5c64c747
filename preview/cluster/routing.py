"""The node that owns a preview or a generation's live preview, from a cache with a bound on its staleness.

An answer is believed for ``FRESH_S`` at most, and less if a notice of the database drops it. If the database does not
respond, the last answer is used: the node that it names refuses what it does not own.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import NamedTuple, Protocol

import trio

from preview.core.bounded_dict import BoundedDict
from preview.errors import DatabaseUnavailable

FRESH_S = 2.0
# An id without an owner may get one at any moment, by a launch through another node.
_FRESH_NOBODY_S = 0.5
_MAX_ENTRIES = 10_000
_ALL = "*"
# Strangers can name any id. Their lookups must leave connections of the database to others.
_LOOKUPS = 2
# A request waits so long for its turn, and less if the last answer is known.
_PATIENCE_S, _PATIENCE_KNOWN_S = 5.0, 0.5


class Owner(NamedTuple):
    """The owner of a preview.

    Attributes:
        node: Name of the node.
        address: ``HOST:PORT`` of its internal listener; the host is an IP address.
        fence: Grows with each change of the owner.
        public_url: Address for clients, without a path; empty if it has none.
    """

    node: str
    address: str
    fence: int
    public_url: str = ""


class Directory(Protocol):
    """Reads owners from the database."""

    async def owner_of(self, preview_id: str) -> Owner | None:
        """Return the owner of a preview; None if no node has it.

        Raises:
            DatabaseUnavailable: The database did not respond.

        Cancellation: no state changes.
        """

    async def preview_of(self, generation_id: str) -> str | None:
        """Return the id of the generation's live preview, on whichever node; None if there is none.

        Raises:
            DatabaseUnavailable: The database did not respond.

        Cancellation: no state changes.
        """


class Subject(NamedTuple):
    """A name that a request has for a preview.

    Attributes:
        id: Id of a preview or of a generation.
        is_generation: Which of the two it is.
    """

    id: str
    is_generation: bool


class _Entry(NamedTuple):
    owner: Owner | None
    until: float
    preview_id: str | None


class Router:
    """Finds the node that owns what a request names.

    Args:
        node: The own name.
        directory: Reads owners.
        now: Monotonic clock.
        holds: Returns whether the node's lease holds. If not, it has lost the database, and nothing waits for that.
    """

    def __init__(
        self,
        node: str,
        directory: Directory,
        *,
        now: Callable[[], float] = monotonic,
        holds: Callable[[], bool] = lambda: True,
    ) -> None:
        self.node = node
        self._directory = directory
        self._now, self._holds = now, holds
        self._entries: BoundedDict[Subject, _Entry] = BoundedDict(_MAX_ENTRIES)
        self._lookups = trio.CapacityLimiter(_LOOKUPS)
        # Ids that were dropped during each lookup: its answer about them may be from before, and is not kept.
        self._dropped: list[set[str]] = []

    def known(self, subject: Subject) -> Owner | None:
        """Return the other node that owns this, if the cache knows it; never waits."""
        # For each request: ``UserDict.get`` takes three calls.
        entry = self._entries.data.get(subject)
        if entry is None or self._now() >= entry.until:
            return None
        return entry.owner

    async def find(self, subject: Subject) -> Owner | None:
        """Return the other node that owns this; None if it is this node, or nobody.

        Raises:
            DatabaseUnavailable: The database did not respond, and nothing is cached.

        Cancellation: no state changes.
        """
        entry = self._entries.get(subject)
        if entry is not None and self._now() < entry.until:
            return entry.owner
        if not self._holds():
            if entry is None or entry.owner is None:
                # That nobody had it may be long past.
                raise DatabaseUnavailable("This node has lost its place in the cluster; try again in a moment.")
            return entry.owner
        with trio.move_on_after(_PATIENCE_S if entry is None else _PATIENCE_KNOWN_S) as patience:
            await self._lookups.acquire()
        if patience.cancelled_caught:
            if entry is None:
                raise DatabaseUnavailable("Too many look-ups of previews wait; try again in a moment.")
            return entry.owner
        try:
            # Another request may have asked meanwhile.
            latest = self._entries.get(subject)
            if latest is not None and self._now() < latest.until:
                return latest.owner
            dropped = set[str]()
            self._dropped.append(dropped)
            try:
                owner, preview_id = await self._look_up(subject)
            except DatabaseUnavailable:
                if entry is None:
                    raise
                owner, preview_id = entry.owner, entry.preview_id
            finally:
                self._dropped = [one for one in self._dropped if one is not dropped]
        finally:
            self._lookups.release()
        if entry is not None and entry.owner == owner:
            # The same object: requests admitted for it stay admitted.
            owner = entry.owner
        # Any launch may be that of a generation without a preview.
        if not (dropped if preview_id is None else dropped & {subject.id, preview_id, _ALL}):
            until = self._now() + (_FRESH_NOBODY_S if owner is None else FRESH_S)
            self._entries[subject] = _Entry(owner, until, preview_id)
        return owner

    def preview_of(self, subject: Subject) -> str | None:
        """Return the id of the preview that the last lookup has found; None if it has found none."""
        entry = self._entries.get(subject)
        return None if entry is None else entry.preview_id

    def is_over(self, subject: Subject) -> bool:
        """Return whether the last lookup of this generation has found no preview on any node, not even a queued one."""
        entry = self._entries.get(subject)
        return subject.is_generation and entry is not None and entry.preview_id is None

    def is_queued(self, subject: Subject) -> bool:
        """Return whether the last lookup of this generation has found a preview without a node, or on this one."""
        entry = self._entries.get(subject)
        return subject.is_generation and entry is not None and entry.preview_id is not None and entry.owner is None

    def forget(self, subject: Subject) -> None:
        """Drop one answer, which turned out to be wrong."""
        self._drop(subject.id)
        self._entries.pop(subject, None)

    def forget_preview(self, preview_id: str) -> None:
        """Drop all answers about this preview, and those that said nobody: it may be theirs."""
        self._drop(preview_id)
        for subject, entry in list(self._entries.items()):
            if subject.id == preview_id or entry.preview_id in {preview_id, None}:
                del self._entries[subject]

    def forget_all(self) -> None:
        """Drop all answers: owners have changed, or notices may have been lost."""
        self._drop(_ALL)
        self._entries.clear()

    def _drop(self, name: str) -> None:
        for dropped in self._dropped:
            dropped.add(name)

    async def _look_up(self, subject: Subject) -> tuple[Owner | None, str | None]:
        preview_id = await self._directory.preview_of(subject.id) if subject.is_generation else subject.id
        owner = None if preview_id is None else await self._directory.owner_of(preview_id)
        return (None if owner is None or owner.node == self.node else owner), preview_id
