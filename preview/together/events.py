"""News for users: changes of the previews, generations, people and comments that a user may see. Nothing is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from secrets import token_hex
from typing import Protocol

import trio

MOST_EVENTS = 200
"""Most kept events of one user. Only the newest of each subject is kept; see ``UserEvents.tell``."""
MOST_USERS = 500
"""Most users without a reader whose events are kept for one that comes back."""
# A reader that is away for longer reads everything again.
_KEPT_S = 300.0


@dataclass(frozen=True, slots=True)
class UserEvent:
    """Something that a reader learns at once.

    Attributes:
        number: From 1 for its user; later events have higher numbers.
        name: Name of the event.
        generation_id: The generation that it is about.
        preview_id: The preview that it is about; None for the generation itself.
        data: JSON text.
        node: The node of the cluster that it comes from; None for this one.
    """

    number: int
    name: str
    generation_id: str
    preview_id: str | None
    data: str
    node: str | None = None


class OtherNodes(Protocol):
    """The other nodes of a cluster."""

    def wants(self, user_id: str) -> bool:
        """Return whether one of them has readers of a user's events. Called at a change that they would learn."""

    def reads(self, user_id: str) -> None:
        """Note that a user's events are read here."""

    def send(self, user_id: str, subject: str, event: UserEvent) -> None:
        """Send an event of this node to their readers."""


class UserEvents:
    """The events of one user, from the first reader on.

    Args:
        send: Sends an event of this node to the other nodes.

    Attributes:
        epoch: Distinguishes these numbers from those of an earlier object for the same user.
        last: Number of the newest event.
        readers: Number of open streams.
        was_read: True after the first reader; before, only other nodes have some.
        left_at: Time at which the last reader left; see ``trio.current_time``.
    """

    def __init__(self, send: Callable[[str, UserEvent], None] = lambda _subject, _event: None) -> None:
        self.epoch = token_hex(4)
        self.last = 0
        self.readers = 0
        self.was_read = False
        self.left_at = trio.current_time()
        self._send = send
        # The newest event of each subject, in the order of the numbers.
        self._kept: dict[str, UserEvent] = {}
        # Number of the newest event that was dropped because there were too many.
        self._dropped = 0
        self._changed = trio.Event()

    def tell(self, subject: str, name: str, data: str, *, generation_id: str, preview_id: str | None = None) -> None:
        """Send an event to all readers. It replaces an older one of the same subject, which slow readers miss."""
        event = UserEvent(0, name, generation_id, preview_id, data)
        self.take(subject, event)
        self._send(subject, event)

    def take(self, subject: str, event: UserEvent) -> None:
        """Send an event to the readers of this node, with a number of this object."""
        self.last += 1
        self._kept.pop(subject, None)
        self._kept[subject] = replace(event, number=self.last)
        if len(self._kept) > MOST_EVENTS:
            self._dropped = self._kept.pop(next(iter(self._kept))).number
        self._wake()

    def lose(self) -> None:
        """Let all readers read everything again: events of other nodes may be lost."""
        self.last += 1
        self._dropped = self.last
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def newest(self, name: str) -> list[UserEvent]:
        """Return the kept events of this name, one for each subject."""
        return [one for one in self._kept.values() if one.name == name]

    def after(self, number: int) -> list[UserEvent] | None:
        """Return the kept events after this one; None if one was dropped, or the number is unknown."""
        if number < self._dropped or number > self.last:
            return None
        return [one for one in self._kept.values() if one.number > number]

    def number_in(self, event_id: str) -> int | None:
        """Return the number in the id of an event of this object; None for any other text."""
        epoch, _, number = event_id.partition("-")
        if epoch != self.epoch or not number.isascii() or not number.isdigit() or len(number) > 15:
            return None
        return int(number)

    def id_of(self, number: int) -> str:
        """Return the id of the event with this number."""
        return f"{self.epoch}-{number}"

    async def wait(self) -> None:
        """Wait for the next event. Cancellation: nothing changes."""
        await self._changed.wait()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Count one reader while this context is open."""
        self.readers += 1
        self.was_read = True
        try:
            yield
        finally:
            self.readers -= 1
            self.left_at = trio.current_time()


class EventBook:
    """The events of all users who read them.

    Attributes:
        nodes: The other nodes; None outside a cluster.
    """

    def __init__(self) -> None:
        self.nodes: OtherNodes | None = None
        self._users: dict[str, UserEvents] = {}

    def find(self, user_id: str) -> UserEvents | None:
        """Return a user's events for a change; None if nobody has read them lately."""
        found = self.kept(user_id)
        if found is None and self.nodes is not None and self.nodes.wants(user_id):
            found = self._open(user_id)
        return found

    def kept(self, user_id: str) -> UserEvents | None:
        """Return a user's events, if they are kept here."""
        found = self._users.get(user_id)
        if found is None or found.readers or trio.current_time() - found.left_at < _KEPT_S:
            return found
        del self._users[user_id]
        return None

    def of(self, user_id: str) -> UserEvents:
        """Return a user's events for a reader."""
        if self.nodes is not None:
            self.nodes.reads(user_id)
        return self.kept(user_id) or self._open(user_id)

    def read_here(self) -> list[str]:
        """Return the users whose events are read here, or were lately."""
        return [one for one in list(self._users) if (events := self.kept(one)) is not None and events.was_read]

    def _open(self, user_id: str) -> UserEvents:
        self._make_space()
        found = self._users[user_id] = UserEvents(partial(self._send, user_id))
        return found

    def _send(self, user_id: str, subject: str, event: UserEvent) -> None:
        if self.nodes is not None:
            self.nodes.send(user_id, subject, event)

    def _make_space(self) -> None:
        idle = [one for one, events in self._users.items() if not events.readers]
        for user_id in idle[: max(0, len(idle) + 1 - MOST_USERS)]:
            del self._users[user_id]
