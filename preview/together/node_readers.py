"""Table of the users whose events other nodes read, as these nodes announce it."""

from __future__ import annotations

import math


class NodeReaders:
    """The users whose events are read on other nodes. Each node has a table of its own.

    A user stays in a table for three announcements. A full table drops nobody: then its node counts as one that reads
    the events of all users.

    Args:
        most_users: Maximum number of users in the table of one node.
        announced_each_s: Time between two announcements of a node.
    """

    def __init__(self, *, most_users: int, announced_each_s: float) -> None:
        self._most_users, self._announced_each_s = most_users, announced_each_s
        self._tables: dict[str, _Table] = {}

    def has(self, user_id: str, now: float) -> bool:
        """Return whether a user's events are read on some other node."""
        return any(one.has(user_id, now) for one in self._tables.values())

    def note(self, node: str, user_id: str, now: float) -> bool:
        """Note that a node has announced a user; return whether all is sent to it since its last announcement.

        Args:
            node: Name of the node.
            user_id: The user.
            now: The time.
        """
        table = self._tables.get(node)
        if table is None:
            self._tables = {name: one for name, one in self._tables.items() if one.is_needed(now)}
            table = self._tables[node] = _Table(self._most_users)
        was_known = table.has(user_id, now, since=now - 1.5 * self._announced_each_s)
        table.add(user_id, now, until=now + 3 * self._announced_each_s)
        return was_known


class _Table:
    """The users whom one node has announced.

    Args:
        most: Maximum number of users.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        # Until when each user is here.
        self._until: dict[str, float] = {}
        # The time in which the node counts as one that reads the events of all users.
        self._all_since, self._all_until = math.inf, -math.inf
        self._cleared_at = -math.inf

    def is_needed(self, now: float) -> bool:
        return self._all_until > now or any(until > now for until in self._until.values())

    def has(self, user_id: str, now: float, *, since: float = math.inf) -> bool:
        """Return whether the user is here, or all users are since a time."""
        return self._until.get(user_id, -math.inf) > now or (self._all_until > now and self._all_since <= since)

    def add(self, user_id: str, now: float, *, until: float) -> None:
        """Keep a user until a time."""
        if user_id not in self._until and len(self._until) >= self._most:
            self._clear(now)
        if user_id in self._until or len(self._until) < self._most:
            self._until[user_id] = until
            return
        if self._all_until <= now:
            self._all_since = now
        self._all_until = until

    def _clear(self, now: float) -> None:
        """Drop users whose time is over; not for each user of an announcement."""
        if now >= self._cleared_at + 1.0:
            self._cleared_at = now
            self._until = {user_id: until for user_id, until in self._until.items() if until > now}
