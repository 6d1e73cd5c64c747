from __future__ import annotations

from dataclasses import replace

import trio
from supervisor_kit import ANN, Rig

from preview.core.lifecycle import State


async def test_an_end_the_database_did_not_take_is_stored_as_soon_as_it_is_back(rig: Rig) -> None:
    await rig.running()
    record = await rig.service.previews.stop("g1")
    pending = rig.service.previews._context.pending
    pending[record.id] = record
    with trio.fail_after(60):
        while pending:  # noqa: ASYNC110  the cleanup's own time
            await trio.sleep(0.05)


async def test_a_list_by_state_holds_nothing_that_is_known_to_be_in_another(rig: Rig) -> None:
    previews = rig.service.previews
    context = previews._context
    live = (await rig.running()).record
    # That it runs is known ahead of its row, which follows in a moment; here it is the other one that is behind.
    await context.store.update(live)
    behind = replace(live, id="preview_behind", generation_id="g2")
    await context.store.insert(behind)
    context.pending[behind.id] = replace(behind, state=State.STOPPED)
    found, _ = await previews.list_for_user(ANN.id, state=State.RUNNING)
    assert [one.id for one in found] == [live.id]
