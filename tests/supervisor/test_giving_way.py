"""The service goes first when all previews end with it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

from supervisor_kit import open_rig

from preview.settings import Settings
from preview.supervisor.manager.registry import lower_preview_priority

MakeSettings = Callable[..., Settings]


async def test_a_preview_that_no_group_holds_gives_way(make_settings: MakeSettings) -> None:
    async with open_rig(make_settings()) as rig:
        preview = await rig.running()
        pid = preview.record.pid
        assert pid is not None
        lower_preview_priority([preview])
        assert os.getpriority(os.PRIO_PROCESS, pid) > os.getpriority(os.PRIO_PROCESS, 0)


async def test_a_preview_whose_processor_time_a_group_divides_stays_as_it_is(make_settings: MakeSettings) -> None:
    async with open_rig(make_settings()) as rig:
        preview = await rig.running()
        pid, confinement = preview.record.pid, preview.confinement
        assert pid is not None
        assert confinement is not None
        preview.confinement = replace(confinement, held=frozenset({"memory", "processes", "cpu"}))
        lower_preview_priority([preview])
        assert os.getpriority(os.PRIO_PROCESS, pid) == os.getpriority(os.PRIO_PROCESS, 0)
