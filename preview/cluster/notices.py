"""Notices between nodes by PostgreSQL's LISTEN and NOTIFY: one connection a node, in one thread.

A notice only wakes. A node that misses one (a lost connection) finds the change with its next poll.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial

import psycopg
import structlog
import trio
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from preview.errors import ConfigurationError
from preview.storage.database import CHANNEL

log = structlog.get_logger(__name__)

# The thread looks this often if it is to end.
_LOOK_S = 0.25
_RETRY_S = 1.0
# Different notices in one wake-up; after more, everything may have changed.
_MOST = 1000

ANYTHING = "*"
"""Payload of a notice that something may have changed: the connection was lost, or there were too many notices."""

LOST = "lost"
"""Kind of the notice that a preview of a lost node has another one: ``lost:ID``."""

_QUEUE = "queue"


def queue_notice(invited: Collection[str] = ()) -> str:
    """Return the payload of a notice that a preview waits: ``queue`` for all nodes, or ``queue:`` and some names."""
    return f"{_QUEUE}:{' '.join(invited)}" if invited else _QUEUE


def wakes(payload: str, name: str) -> bool:
    """Return whether a notice asks the node of this name to look at the queue."""
    kind, _, names = payload.partition(":")
    return payload in {ANYTHING, f"node:{name}"} or (kind == _QUEUE and (not names or name in names.split()))


class Notices:
    """Passes notices on to subscribers, in trio's thread. ``run`` is its task."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._subscribers: list[Callable[[str], None]] = []

    @contextmanager
    def subscribed(self, subscriber: Callable[[str], None]) -> Iterator[None]:
        """Call ``subscriber`` with each payload while the context is open. It must not wait or fail."""
        self._subscribers.append(subscriber)
        try:
            yield
        finally:
            self._subscribers.remove(subscriber)

    def publish(self, payload: str) -> None:
        """Pass a notice on to the subscribers of this process."""
        for subscriber in list(self._subscribers):
            subscriber(payload)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen until cancelled; reconnect after an outage. Cancellation: the thread ends within 0.25 s."""
        limiter, over = trio.CapacityLimiter(1), threading.Event()
        listen = partial(self._listen, trio.lowlevel.current_trio_token(), over)
        task_status.started()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_set_at_cancellation, over)
            while True:
                try:
                    await trio.to_thread.run_sync(listen, limiter=limiter)
                except (psycopg.Error, DBAPIError, ConfigurationError) as error:
                    log.info("cluster notices interrupted", reason=type(error).__name__)
                await trio.sleep(_RETRY_S)

    def _listen(self, token: trio.lowlevel.TrioToken, over: threading.Event) -> None:
        """Listen until the connection fails or the task ends. Runs in a thread."""
        options = {"isolation_level": "AUTOCOMMIT"}
        with self._engine.connect() as pooled:
            connection = pooled.execution_options(**options).connection.driver_connection
            assert isinstance(connection, psycopg.Connection)  # noqa: S101  the cluster's database is PostgreSQL
            connection.execute(f"LISTEN {CHANNEL}")
            try:
                # Notices of the time before this one are lost.
                token.run_sync_soon(self._publish_all, [ANYTHING])
                while not over.is_set():
                    found = [notice.payload for notice in connection.notifies(timeout=_LOOK_S, stop_after=1)]
                    found += [notice.payload for notice in connection.notifies(timeout=0)] if found else []
                    if found:
                        token.run_sync_soon(self._publish_all, found)
            finally:
                # A pooled connection that still listens would collect notices for nobody.
                pooled.invalidate()

    def _publish_all(self, payloads: list[str]) -> None:
        different = dict.fromkeys(payloads)
        for payload in different if len(different) <= _MOST else (ANYTHING,):
            self.publish(payload)


async def _set_at_cancellation(over: threading.Event) -> None:
    try:
        await trio.sleep_forever()
    finally:
        over.set()
