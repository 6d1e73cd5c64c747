from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
import trio
import trio.testing

from preview.core.clock import utc_now
from preview.errors import DatabaseUnavailable, TooManyStreams
from preview.http.streams.log_streams import LogStreamBody, StreamSlots, Waits
from preview.logs import Batch, Contract, Encoding, End, Gap, Received

LINE = Batch("preview_x", 1, [0], bytes([0]), ["hello"])
END = End("preview_x", "stopped", "over", 0, None, 0)


class Script:
    """Gives what it was given, then waits for ever or ends."""

    def __init__(self, *steps: Sequence[Received] | Exception) -> None:
        self.steps = list(steps)

    async def receive(self) -> list[Received]:
        await trio.lowlevel.checkpoint()
        if not self.steps:
            await trio.sleep_forever()
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return list(step)


def body(receiver: Script, **changes: Any) -> LogStreamBody:
    values: dict[str, Any] = {
        "encoding": Encoding(Contract.V1),
        "waits": Waits(),
        "preview_id": "preview_x",
        "expires_at": None,
        "keep_alive_s": 15.0,
    }
    return LogStreamBody(receiver, **values | changes)


async def chunks(made: LogStreamBody) -> list[bytes]:
    async with made as opened:
        return [chunk async for chunk in opened]


async def test_a_stream_begins_with_the_preamble_and_ends_with_the_end() -> None:
    got = await chunks(body(Script([LINE], [END])))
    assert got[0] == b"retry: 2000\n\n"
    assert got[1].startswith(b"id: 1\ndata: {")
    assert got[2].startswith(b"event: end\n")
    assert len(got) == 3


async def test_all_that_is_pending_is_one_chunk() -> None:
    got = await chunks(body(Script([LINE, Gap(2, 4, "retention"), END])))
    assert len(got) == 2


async def test_a_receiver_that_has_ended_closes_the_stream() -> None:
    assert await chunks(body(Script(trio.EndOfChannel()))) == [b"retry: 2000\n\n"]


async def test_a_database_that_does_not_answer_closes_the_stream_without_an_end() -> None:
    assert await chunks(body(Script([LINE], DatabaseUnavailable("gone")))) == [
        b"retry: 2000\n\n",
        LINE.encoded(Encoding(Contract.V1)),
    ]


async def test_silence_is_filled_with_comments(autojump_clock: trio.testing.MockClock) -> None:
    made = body(Script())
    async with made:
        await anext(made)
        begun = trio.current_time()
        assert await anext(made) == b": keep-alive\n\n"
        assert await anext(made) == b": keep-alive\n\n"
        assert trio.current_time() - begun == pytest.approx(30)


async def test_the_token_s_expiry_closes_the_stream() -> None:
    made = body(Script([LINE]), expires_at=utc_now() + timedelta(seconds=0.2))
    with trio.fail_after(20):
        got = await chunks(made)
    assert got[-1].startswith(b"event: expired\n")


async def test_a_busy_stream_is_closed_at_the_expiry_too() -> None:
    made = body(Script(*[[LINE]] * 100_000), expires_at=utc_now() + timedelta(seconds=0.1))
    with trio.fail_after(20):
        got = await chunks(made)
    assert got[-1].startswith(b"event: expired\n")


async def test_draining_says_goodbye_at_once() -> None:
    waits = Waits()
    made = body(Script(), waits=waits)
    got: list[bytes] = []

    async def read() -> None:
        got.extend(await chunks(made))

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked()
            waits.wake_all()
    assert got[-1].startswith(b"event: end\n")
    assert b"shutting down" in got[-1]


async def test_a_stream_that_is_opened_while_draining_says_goodbye_too() -> None:
    waits = Waits()
    waits.wake_all()
    with trio.fail_after(20):
        assert (await chunks(body(Script(), waits=waits)))[-1].startswith(b"event: end\n")


async def test_a_stream_that_does_not_follow_ends_with_the_newest_line() -> None:
    with trio.fail_after(20):
        assert len(await chunks(body(Script([LINE]), until_seq=1))) == 2
        assert len(await chunks(body(Script(), until_seq=0))) == 1
        assert len(await chunks(body(Script(), until_seq=7, start_seq=7))) == 1


async def test_leaving_the_body_ends_it() -> None:
    made = body(Script([LINE]))
    async with made:
        await anext(made)
    with pytest.raises(StopAsyncIteration):
        await anext(made)


def test_a_user_has_so_many_streams_and_no_more() -> None:
    slots = StreamSlots(2)
    with slots.hold("ann"), slots.hold("ann"), slots.hold("bob"):
        assert slots.total == 3
        with pytest.raises(TooManyStreams) as caught, slots.hold("ann"):
            pass
        assert caught.value.details == {"limit": 2, "open_streams": 2}
    assert slots.total == 0
    with slots.hold("ann"):
        assert slots.total == 1
