"""The log of a preview that is over, as its supervisor leaves it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import trio
from supervisor_kit import SERVER, open_rig

from preview.logs import End, Gap, Received
from preview.settings import Settings
from preview.storage import PreviewRecord
from preview.supervisor import PreviewManager

MakeSettings = Callable[..., Settings]


async def read(previews: PreviewManager, record: PreviewRecord, after: int | None = None) -> list[Received]:
    events: list[Received] = []
    with previews.open_log(record, after=after) as log:
        while True:
            try:
                events += await log.receive()
            except trio.EndOfChannel:
                return events


async def test_lines_that_were_lost_at_the_end_are_told_by_the_stored_history(make_settings: MakeSettings) -> None:
    async with open_rig(make_settings(log_queue_bytes=1)) as rig:
        previews = rig.service.previews
        preview = await rig.running(SERVER)
        await previews.stop("g1")
        record = await previews.get(preview.id)
        last = preview.log.last_seq
        assert record.last_seq == last > 5
        gap, end = await read(previews, record)
        assert gap == Gap(1, last, "lost")
        assert isinstance(end, End)
        # Somebody who saw them live comes back: nothing is given again, and nothing more is to come.
        assert [type(event) for event in await read(previews, record, after=last)] == [End]
        assert await previews.has_all(record, last)
        assert not await previews.has_all(record, last - 1)


async def test_a_live_preview_has_more_to_say(make_settings: MakeSettings) -> None:
    async with open_rig(make_settings()) as rig:
        preview = await rig.running()
        assert preview.record.last_seq is None
        assert not await rig.service.previews.has_all(preview.record, preview.log.last_seq)


async def test_after_a_crash_the_last_stored_line_is_the_last(make_settings: MakeSettings) -> None:
    async with open_rig(make_settings()) as rig:
        preview = await rig.running()
        await rig.service.previews.stop("g1")
        crashed = replace(preview.record, last_seq=None)
        assert await rig.service.previews.has_all(crashed, preview.log.last_seq)
        assert not await rig.service.previews.has_all(crashed, preview.log.last_seq + 1)
