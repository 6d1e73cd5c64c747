"""Stored lines as events: a page of batches with its gaps named."""

from __future__ import annotations

from collections.abc import Awaitable

import trio

from preview.errors import DatabaseUnavailable
from preview.logs.model.batch import Batch
from preview.logs.model.events import Gap
from preview.logs.storage.store import LogStore

# One page: 2 ms to read, some 200 KiB as frames.
PAGE_LINES = 1000
# Who needs lines that are still queued waits this long for the database.
_SETTLE_S = 10.0


async def settled(writing: Awaitable[None], preview_id: str) -> None:
    """Wait for ``writing``: until then, what the database lacks may only be on its way.

    Raises:
        DatabaseUnavailable: It took too long.

    Cancellation: nothing changes.
    """
    with trio.move_on_after(_SETTLE_S) as scope:
        await writing
    if scope.cancelled_caught:
        raise DatabaseUnavailable(
            f"Lines of preview {preview_id} wait for the database, which does not answer; try again in a moment.",
            preview_id=preview_id,
        )


async def read_events(
    store: LogStore, preview_id: str, *, expected: int, below: int | None = None
) -> list[Batch | Gap]:
    """The next page from line ``expected`` on; empty if nothing is stored there.

    Args:
        store: Where the lines are.
        preview_id: Whose lines.
        expected: Number of the line wanted next.
        below: Where the database's part ends: what it lacks before this number is gone, and a gap.

    Raises:
        DatabaseUnavailable: The database did not answer.

    Cancellation: nothing changes.
    """
    page = await store.read_page(preview_id, after=expected - 1, limit=PAGE_LINES, below=below)

    def missing(first: int, last: int) -> Gap:
        return Gap(first, last, "retention" if first < page.first_kept else "lost")

    events: list[Batch | Gap] = []
    for batch in page.batches:
        if batch.first_seq > expected:
            events.append(missing(expected, batch.first_seq - 1))
        events.append(batch)
        expected = batch.last_seq + 1
    if below is not None and not page.full and expected < below:
        events.append(missing(expected, below - 1))
    return events
