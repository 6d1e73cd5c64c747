"""Many guests who move at once, and many readers: a change costs one rendering, and a reader few pieces."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from preview.core.clock import utc_now
from preview.http.streams.log_streams import Waits
from preview.http.streams.presence_stream import PresenceBody
from preview.people_errors import TooFast
from preview.together import Audience, Target, TargetKind, Viewer

_READERS, _CHANGES = 20, 50


async def test_changes_at_once_are_rendered_once_for_all_readers(autojump_clock: MockClock) -> None:
    audience, over, rendered = Audience(), trio.Event(), 0
    pieces: list[bytes] = []

    def shown(viewers: Sequence[Viewer]) -> str:
        nonlocal rendered
        rendered += 1
        return ",".join(f"{one.id} at {one.target.id if one.target else '-'}" for one in viewers)

    async def read(body: PresenceBody) -> None:
        pieces.extend([piece async for piece in body])

    async with trio.open_nursery() as nursery:
        with audience.attending(Viewer("guest_1", "Bea", "use", 1)):
            for _ in range(_READERS):
                body = PresenceBody(
                    audience, "owner", over, shown=shown, waits=Waits(), expires_at=utc_now() + timedelta(hours=1),
                    keep_alive_s=30,
                )  # fmt: skip
                nursery.start_soon(read, body)
            await wait_all_tasks_blocked()
            assert (rendered, len(pieces)) == (1, 0)
            # Each change wakes all readers, as the many guests of one link can make them do.
            for number in range(1, _CHANGES + 1):
                audience.move("guest_1", Target(TargetKind.LINE, str(number)))
                await trio.testing.wait_all_tasks_blocked()
            assert rendered == 1
            await trio.sleep(0.5)
            assert rendered == 2
            over.set()
    assert len(pieces) == 3 * _READERS
    assert sum(b"guest_1 at 50" in one for one in pieces) == _READERS


async def test_a_name_that_changes_all_the_time_is_too_fast(autojump_clock: MockClock) -> None:
    audience = Audience()
    with audience.attending(Viewer("guest_1", "Bea", "use", 1)):
        for _ in range(10):
            audience.spend_move("guest_1")
        with pytest.raises(TooFast):
            audience.spend_move("guest_1")
        for _ in range(20):
            audience.edits.spend("guest_1")
        with pytest.raises(TooFast):
            audience.edits.spend("guest_1")
        audience.edits.spend("owner")
        await trio.sleep(1)
        audience.spend_move("guest_1")
        audience.edits.spend("guest_1")
