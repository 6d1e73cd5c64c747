"""Reads the lines of another node's log from Redis."""

from __future__ import annotations

from collections.abc import Callable

import trio

from preview.logs.bus.entries import MOST_REPLY_BYTES, READ_ENTRIES, BusFault, BusStream, batches_in
from preview.logs.bus.redis import RedisFault, open_redis
from preview.logs.model.batch import Batch
from preview.settings_address import RedisAddress

_CONNECT_S = 1.0
# Redis waits so long for new lines, and may be late by the other.
_BLOCK_MS = 500
_LATE_S = 1.0


async def follow_bus(
    address: RedisAddress, key: bytes, stream: BusStream, last_seq: Callable[[], int], take: Callable[[Batch], None]
) -> None:
    """Take the lines of a log from Redis until cancelled.

    Args:
        address: Where Redis is.
        key: Checks entries.
        stream: Where the owner says that it writes the log.
        last_seq: Returns the number of the last line that is known.
        take: Takes lines; some of them may be known.

    Raises:
        BusFault: Redis fails, or has something that the owner did not write.

    Cancellation: the connection is closed.
    """
    try:
        async with open_redis(address, most_bytes=MOST_REPLY_BYTES, within_s=_CONNECT_S) as redis:
            while True:
                before, at = last_seq(), trio.current_time()
                reply = await redis.call(
                    "XREAD", "COUNT", READ_ENTRIES, "BLOCK", _BLOCK_MS, "STREAMS", stream.name,
                    f"{before}-0", within_s=_BLOCK_MS / 1000 + _LATE_S,
                )  # fmt: skip
                for batch in batches_in(reply, stream, key):
                    take(batch)
                if last_seq() == before:
                    # A Redis that does not wait, or repeats itself, does not keep this node busy.
                    await trio.sleep_until(at + _BLOCK_MS / 1000)
    except RedisFault as fault:
        raise BusFault(str(fault)) from fault
