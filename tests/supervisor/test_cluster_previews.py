"""A service as a node of a cluster: a former owner's writes are refused, and a lost preview is started again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
from sqlalchemy import text
from supervisor_kit import SERVER, Rig, open_rig

from preview.core.lifecycle import State
from preview.errors import AlreadyRunning, LimitReached, ServiceStopping
from preview.settings import Settings


async def until(holds: Callable[[], bool]) -> None:
    with trio.fail_after(90):
        while not holds():  # noqa: ASYNC110  another service's own time
            await trio.sleep(0.02)


async def stored_lines(rig: Rig, preview_id: str) -> list[tuple[int, str]]:
    query = text("SELECT seq, message FROM preview_logs WHERE preview_id = :id ORDER BY seq")
    rows = await rig.service.database.read(lambda connection: connection.execute(query, {"id": preview_id}).all())
    return [(row.seq, row.message) for row in rows]


async def test_a_former_owner_writes_nothing_and_what_others_run_counts(
    postgres_database_url: str, make_settings: Callable[..., Settings]
) -> None:
    settings = make_settings(
        database_url=postgres_database_url,
        cluster=True,
        cluster_secret="one secret of all nodes of this cluster",
        node_name="one",
        node_address="127.0.0.1:7000",
        # Longer than a busy machine lets a process wait.
        node_lease_s=60,
        max_instances_enterprise=2,
    )
    async with open_rig(settings) as one:
        source = one.source
        database = one.service.database
        other = """
            INSERT INTO owners (preview_id, generation_id, user_id, state, node, fence, first_seq, queued_at)
            SELECT 'preview_other', 'g1', 'ann', 'running', id, 1, 1, 0 FROM nodes
        """
        await database.write(lambda connection: connection.execute(text(other)))
        # One preview of a generation, and one limit of a user, on all nodes.
        source.add("g1")
        with pytest.raises(AlreadyRunning) as running:
            await one.launch("g1")
        assert running.value.details["preview_id"] == "preview_other"
        preview = await one.running(SERVER, "g2")
        source.add("g3")
        with pytest.raises(LimitReached):
            await one.launch("g3")

        # Another owner: what the former one writes changes nothing, and its preview ends there.
        steal = "UPDATE owners SET state = 'queued', node = 'gone', fence = fence + 1 WHERE preview_id = :id"
        await database.write(lambda connection: connection.execute(text(steal), {"id": preview.id}))
        preview.log.say("a line of a former owner")
        await until(preview.over.is_set)
        assert preview.record.reason == "node lost ownership"
        # Who waits for it asks again, and another node answers.
        assert isinstance(preview.cause, ServiceStopping)
        # Any node starts it again.
        await until(lambda: one.service.previews.find(preview.id) not in {None, preview})
        again = one.service.previews.all_active[preview.id]
        await until(lambda: again.record.state is State.RUNNING)
        await one.service.log_writer.flush(preview.id)
        lines = await stored_lines(one, preview.id)
        assert "a line of a former owner" not in [line for _, line in lines]
        first = next(number for number, line in lines if "node lost: gone" in line)
        before = [number for number, _ in lines if number < first]
        assert before == list(range(1, len(before) + 1))
        # Those that may have been given out are left out.
        assert first > len(before) + 1
        # Its end is the cluster's too.
        await one.service.previews.stop("g2")
        ended = "SELECT state, fence FROM owners WHERE preview_id = :id"
        row = await database.read(lambda connection: connection.execute(text(ended), {"id": preview.id}).one())
        assert tuple(row) == ("over", 3)
        assert (await one.service.previews.get(preview.id)).state is State.STOPPED
