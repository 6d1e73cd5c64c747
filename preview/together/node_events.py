"""News for users on all nodes of a cluster: what happens on one node, readers on another learn.

A node announces whose events are read on it. The others send it what changes for these users, by notices of PostgreSQL.
Nothing is stored: when a notice may be lost, the readers are asked to read everything again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator

import structlog
import trio
from sqlalchemy import Connection

from preview.cluster import ANYTHING, Notices
from preview.core.bounded_dict import BoundedDict
from preview.errors import DatabaseUnavailable
from preview.storage.database import Database, notify
from preview.together.events import EventBook, UserEvent
from preview.together.node_readers import NodeReaders

log = structlog.get_logger(__name__)

_EVENT, _READERS = "event:", "readers:"
_LOST = "lost"
# Changes within this time are sent together, and only the newest of each subject.
_TOGETHER_S = 0.1
_RETRY_S = 1.0
_ANNOUNCE_S = 30.0
# A change shortly before its reader was known here.
_UNSENT_S = 10.0
# PostgreSQL takes less than 8,000 bytes.
_MOST_BYTES = 7900
_MOST_USERS = 10_000
# Changes that wait for being sent, and users of further ones. Of 1,000 notices at once, ``Notices`` reads none.
_MOST_WAITING, _MOST_LOST = 500, 250
# In place of a user: the readers of all users.
_EVERYBODY = ""


class NodeEvents:
    """Exchanges events with the other nodes. ``run`` is its task.

    Args:
        node: Name of this node.
        book: Events of the users who read them here.
        notices: Notices of all nodes.
        database: Sends notices.
        retell: Tells the present state of a user's previews on this node.
    """

    def __init__(
        self, node: str, book: EventBook, notices: Notices, database: Database, retell: Callable[[str], None]
    ) -> None:
        self._node, self._book, self._notices, self._database = node, book, notices, database
        self._retell = retell
        self._readers = NodeReaders(most_users=_MOST_USERS, announced_each_s=_ANNOUNCE_S)
        # The last change of a user whom no other node wanted.
        self._unsent: BoundedDict[str, float] = BoundedDict(_MOST_USERS)
        # Payloads by user and subject, in the order in which they are sent.
        self._waiting: dict[tuple[str, str], str] = {}
        # Users who are read here: announced before, and not yet.
        self._announced, self._new = set[str](), set[str]()
        # Whether notices were lost since the last announcement that lets other nodes tell their state.
        self._was_deaf, self._told_all_at = False, -math.inf
        self._wake = trio.Event()

    # For the book

    def wants(self, user_id: str) -> bool:
        """Return whether another node has readers of a user's events; if not, note that something has changed."""
        now = trio.current_time()
        if self._readers.has(user_id, now):
            return True
        self._unsent[user_id] = now
        return False

    def reads(self, user_id: str) -> None:
        """Announce that a user's events are read here."""
        if user_id not in self._announced:
            self._new.add(user_id)
            self._wake.set()

    def send(self, user_id: str, subject: str, event: UserEvent) -> None:
        """Send an event of this node to the others, if one of them has readers."""
        if not self.wants(user_id):
            return
        head = [self._node, user_id, subject, event.name, event.generation_id, event.preview_id]
        self._put(user_id, subject, f"{_EVENT}{json.dumps(head)}\n{event.data}")

    def _put(self, user_id: str, subject: str, payload: str) -> None:
        """Let a payload wait: if it is too large or too many wait, one for its user, and then one for everybody."""
        if len(payload.encode()) > _MOST_BYTES or self._is_full(user_id, subject, _MOST_WAITING):
            subject, payload = _LOST, self._lost(user_id)
            if self._is_full(user_id, subject, _MOST_WAITING + _MOST_LOST):
                user_id, payload = _EVERYBODY, self._lost(_EVERYBODY)
        self._waiting.pop((user_id, subject), None)
        self._waiting[user_id, subject] = payload
        self._wake.set()

    def _is_full(self, user_id: str, subject: str, most: int) -> bool:
        return len(self._waiting) >= most and (user_id, subject) not in self._waiting

    def _lost(self, user_id: str) -> str:
        return f"{_EVENT}{json.dumps([self._node, user_id, '', _LOST, '', None])}\n"

    # The task

    async def run(self) -> None:
        """Exchange events until cancelled. Cancellation: what waits is not sent."""
        self._book.nodes = self
        announce_at = trio.current_time() + _ANNOUNCE_S
        with self._notices.subscribed(self._on_notice):
            while True:
                with trio.move_on_at(announce_at):
                    await self._wake.wait()
                await trio.sleep(_TOGETHER_S)
                self._wake = trio.Event()
                if trio.current_time() >= announce_at:
                    self._announced = set(self._book.read_here())
                    announce_at = trio.current_time() + _ANNOUNCE_S
                    is_new, self._was_deaf = self._was_deaf, False
                    await self._send(list(_announcements(self._node, self._announced, is_new=is_new)))
                await self._send_waiting()

    async def _send_waiting(self) -> None:
        new, waiting = self._new, self._waiting
        self._new, self._waiting = set(), {}
        self._announced |= new
        if not await self._send([*_announcements(self._node, new, is_new=True), *waiting.values()]):
            self._new |= new
            newer, self._waiting = self._waiting, waiting
            for (user_id, subject), payload in newer.items():
                self._put(user_id, subject, payload)
            await trio.sleep(_RETRY_S)
            self._wake.set()

    async def _send(self, payloads: list[str]) -> bool:
        def send(connection: Connection) -> None:
            for payload in payloads:
                notify(connection, payload)

        try:
            if payloads:
                await self._database.write(send)
        except DatabaseUnavailable as error:
            log.info("events not sent to nodes", events=len(payloads), reason=error.message)
            return False
        return True

    # Notices

    def _on_notice(self, payload: str) -> None:
        try:
            if payload == ANYTHING:
                self._lose_all()
            elif payload.startswith(_EVENT):
                self._take(payload.removeprefix(_EVENT))
            elif payload.startswith(_READERS):
                self._note(payload.removeprefix(_READERS))
        except (ValueError, TypeError) as error:
            log.warning("events of another node not read", reason=str(error))

    def _lose_all(self) -> None:
        """Notices may be lost: readers here read everything again, and other nodes tell the state again."""
        users = self._book.read_here()
        for user_id in users:
            self._lose(user_id)
        # The other nodes' answers may be too many notices in turn: then the next announcement asks again.
        self._was_deaf = trio.current_time() < self._told_all_at + _ANNOUNCE_S
        if users and not self._was_deaf:
            self._told_all_at = trio.current_time()
            self._new.update(users)
            self._wake.set()

    def _lose(self, user_id: str) -> None:
        if (events := self._book.kept(user_id)) is not None:
            events.lose()

    def _take(self, payload: str) -> None:
        head, _, data = payload.partition("\n")
        node, user_id, subject, name, generation_id, preview_id = json.loads(head)
        if node == self._node:
            return
        if name == _LOST:
            for one in self._book.read_here() if user_id == _EVERYBODY else [user_id]:
                self._lose(one)
        elif (events := self._book.kept(user_id)) is not None:
            events.take(subject, UserEvent(0, name, generation_id, preview_id, data, node))

    def _note(self, payload: str) -> None:
        """Note whose events another node reads, and send it what it may not know of them."""
        node, is_new, users = json.loads(payload)
        now = trio.current_time()
        for user_id in users if node != self._node else ():
            was_wanted = self._readers.note(node, user_id, now)
            if was_wanted and not is_new:
                continue
            if not is_new or self._unsent.get(user_id, -math.inf) > now - _UNSENT_S:
                # Something has changed since the readers have read everything.
                self._put(user_id, _LOST, self._lost(user_id))
            self._retell(user_id)


def _announcements(node: str, users: Iterable[str], *, is_new: bool) -> Iterator[str]:
    part, size = list[str](), 0
    for user_id in sorted(users):
        more = len(json.dumps(user_id)) + 2
        if part and size + more > _MOST_BYTES - 1000:
            yield _announcement(node, part, is_new=is_new)
            part, size = [], 0
        part.append(user_id)
        size += more
    if part:
        yield _announcement(node, part, is_new=is_new)


def _announcement(node: str, users: list[str], *, is_new: bool) -> str:
    return f"{_READERS}{json.dumps([node, is_new, users])}"
