"""The service goes first when all previews end with it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

from supervisor_kit import open_rig

from preview.settings import Settings
from preview.supervisor.giving_way import let_service_go_first

MakeSettings = Callable[..., Settings]


async def test_a_preview_that_no_group_holds_gives_way(make_settings: MakeSettings) -> None:
    async with open_rig(make_settings()) as rig:
        preview = await rig.running()
        pid = preview.record.pid
        assert pid is not None
        let_service_go_first([preview])
        assert os.getpriority(os.PRIO_PROCESS, pid) > os.getpriority(os.PRIO_PROCESS, 0)


async def test_a_preview_whose_processor_time_a_group_divides_stays_as_it_is(make_settings: MakeSettings) -> None:
    async with open_rig(make_settings()) as rig:
        preview = await rig.running()
        pid, holding = preview.record.pid, preview.holding
        assert pid is not None
        assert holding is not None
        preview.holding = replace(holding, held=frozenset({"memory", "processes", "cpu"}))
        let_service_go_first([preview])
        assert os.getpriority(os.PRIO_PROCESS, pid) == os.getpriority(os.PRIO_PROCESS, 0)
