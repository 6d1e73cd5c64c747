"""Rights of the Redis user of the bus: what it needs, and what happens without one of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import trio
from redis_kit import PATIENCE_S, open_redis_server

from preview.logs.bus import BusStream, LogBus
from preview.logs.bus.entries import batches_in
from preview.logs.bus.publisher import RIGHTS
from preview.logs.bus.redis import RedisRefusal, open_redis
from preview.logs.model.batch import Batch

KEY = b"k" * 32
MADE = Batch("preview_1", 1, [1_700_000_000_000], bytes(1), ["a"])


async def test_a_right_that_the_user_lacks_is_named_and_nothing_is_deleted(tmp_path: Path) -> None:
    with open_redis_server(tmp_path) as server:
        await server.up()
        async with trio.open_nursery() as nursery:
            for missing in ("", "+del", "+eval", "+xadd", "+expire"):
                name = f"without-{missing[1:]}"
                rights = [one for one in RIGHTS.split() if one != missing]
                await server.do("ACL", "SETUSER", name, "on", ">secret", *rights)
                await server.do("CONFIG", "RESETSTAT")
                limited, stream = replace(server.address, user=name), BusStream("preview_1", name)
                bus = LogBus(limited, KEY, nursery)
                async with open_redis(limited, most_bytes=100_000, within_s=PATIENCE_S) as redis:
                    if missing in {"+eval", "+xadd", "+expire"}:
                        with pytest.raises(RedisRefusal, match="PREVIEW_BUS_URL") as found:
                            await bus._add(redis, stream, [MADE])
                        assert RIGHTS in str(found.value)
                        assert b"cmdstat_del:" not in await server.do("INFO", "commandstats")  # type: ignore[operator]
                        continue
                    await bus._add(redis, stream, [MADE])
                    # What the readers need is among them.
                    reply = await redis.call("XREAD", "STREAMS", stream.name, "0-0", within_s=PATIENCE_S)
                    assert batches_in(reply, stream, KEY)
