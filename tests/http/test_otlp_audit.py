"""The audit trail by OTLP: a collector that fails or refuses, a restart, removed entries, and hostile texts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import httpx2
import pytest
import trio
from http_kit import NEVER_READY, open_events, open_world
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from otlp_sink import open_sink
from sqlalchemy import delete, update

from preview.auth import Audit
from preview.http.metrics import Metrics
from preview.http.otlp.audit import AuditFollower
from preview.http.otlp.exporter import OtlpExporter
from preview.storage.database import Database
from preview.storage.people_tables import audit_trail
from preview.storage.tables import service_facts


class Collector:
    """A collector that keeps the audit entries that it takes."""

    def __init__(self, database: Database, trail: Audit) -> None:
        self.status = 200
        self.got: list[tuple[int, str, dict[str, str]]] = []
        self.metrics = Metrics()
        self.follower = AuditFollower(trail, database)
        self.exporter = OtlpExporter("http://collector", {}, self.metrics, self.follower)

    @property
    def lost(self) -> Counter[str]:
        return self.metrics.lost_exports

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        groups = ExportLogsServiceRequest.FromString(request.content).resource_logs
        for record in [one for group in groups for scope in group.scope_logs for one in scope.log_records]:
            facts = {one.key: one.value for one in record.attributes}
            if "audit.seq" in facts and self.status == 200:
                texts = {key: value.string_value for key, value in facts.items()}
                self.got.append((facts["audit.seq"].int_value, record.body.string_value, texts))
        return httpx2.Response(self.status, stream=httpx2.ByteStream(b""))

    async def flush(self) -> list[int]:
        async with httpx2.AsyncClient(transport=httpx2.MockTransport(self.answer)) as client:
            await self.exporter.flush(client)
        return [seq for seq, _, _ in self.got]


@pytest.fixture
def trail(database: Database, tmp_path: Path) -> Audit:
    return Audit(database, tmp_path)


async def test_entries_wait_for_a_collector_that_fails_also_over_a_restart(database: Database, trail: Audit) -> None:
    await trail.note("ann", "launched", "before the first export", "")
    collector = Collector(database, trail)
    assert await collector.flush() == []
    for subject in ("a", "b \ud800 \0 c", "c" * 5000):
        await trail.note("ann", "launched", subject, "")
    collector.status = 503
    assert await collector.flush() == []
    await collector.follower.release()
    again = Collector(database, trail)
    assert await again.flush() == [2, 3, 4]
    assert await again.flush() == [2, 3, 4]
    seq, action, texts = again.got[0]
    stored = (await trail.after(seq - 1, 1))[0]
    assert (action, texts["audit.user_id"], texts["audit.outcome"]) == ("launched", "ann", "ok")
    assert texts["audit.hash"] == stored.hash
    assert again.lost["audit_entries"] == 0


async def test_what_a_collector_never_takes_is_counted_and_holds_up_nothing(database: Database, trail: Audit) -> None:
    collector = Collector(database, trail)
    await collector.flush()
    await trail.note("ann", "launched", "a", "")
    collector.status = 400
    assert await collector.flush() == []
    assert collector.lost["audit_entries"] == 1
    collector.status = 200
    await trail.note("ann", "launched", "b", "")
    assert await collector.flush() == [2]


async def test_entries_that_were_removed_before_their_export_are_counted(database: Database, trail: Audit) -> None:
    collector = Collector(database, trail)
    await collector.flush()
    for subject in "abc":
        await trail.note("ann", "launched", subject, "")
    await database.write(lambda connection: connection.execute(delete(audit_trail).where(audit_trail.c.seq < 3)))
    assert await collector.flush() == [3]
    assert collector.lost["audit_entries"] == 2


async def end_lease(database: Database, value: str = "0123456789abcdef 1") -> None:
    """Let the time of the lease pass, or spoil it."""
    change = update(service_facts).where(service_facts.c.name == "audit exporter").values(value=value)
    await database.write(lambda connection: connection.execute(change))


async def test_of_two_services_on_one_database_one_exports_each_entry_once(database: Database, trail: Audit) -> None:
    await trail.note("ann", "launched", "before", "")
    both = [Collector(database, trail), Collector(database, trail)]
    for at in range(6):
        async with trio.open_nursery() as nursery:
            for collector in both:
                nursery.start_soon(collector.flush)
        # The holder leaves, and comes back as the other.
        if at == 3:
            for collector in both:
                await collector.follower.release()
            both.reverse()
        await trail.note("ann", "launched", str(at), "")
    await both[0].flush()
    await both[1].flush()
    assert sorted(seq for collector in both for seq, _, _ in collector.got) == [2, 3, 4, 5, 6, 7]
    assert both[0].lost["audit_entries"] == both[1].lost["audit_entries"] == 0


async def test_a_service_killed_between_sending_and_noting_loses_nothing(database: Database, trail: Audit) -> None:
    """The other one sends that page again once the lease has ended: each entry at least once."""
    killed, other = Collector(database, trail), Collector(database, trail)
    await killed.flush()
    for subject in "abc":
        await trail.note("ann", "launched", subject, "")
    entries, _ = await killed.follower.next()
    assert [entry.seq for entry in entries] == [1, 2, 3]
    assert await other.flush() == []
    await end_lease(database)
    assert await other.flush() == [1, 2, 3]
    # It was only slow: what it notes now is refused, and the position stays.
    assert await killed.follower.done(1) is False
    assert await killed.flush() == []
    assert await other.flush() == [1, 2, 3]


@pytest.mark.parametrize("value", ["", "x", "somebody 99999999999999999", "somebody -1", "somebody \u0663"])
async def test_a_lease_of_a_wrong_clock_or_of_no_form_ends_at_once(
    database: Database, trail: Audit, value: str
) -> None:
    first, second = Collector(database, trail), Collector(database, trail)
    await first.flush()
    await trail.note("ann", "launched", "a", "")
    await end_lease(database, value)
    assert await second.flush() == [1]


async def test_a_service_sends_its_audit_and_its_previews_lines_to_its_collector(tmp_path: Path) -> None:
    """All of it together; what waits is sent at the service's end."""
    async with open_sink() as sink, open_world(tmp_path, otlp_endpoint=sink.url, log_shipping="otlp:") as world:
        generation = await world.keep(NEVER_READY)
        await world.launch(generation, wait_s=None)
        async with open_events(world, generation) as stream:
            await stream.until_message("sleeping")
    texts = {name: sink.log_texts(name) for name in ("preview.audit", "preview.output")}
    assert any("launch" in text for text in texts["preview.audit"]), texts
    assert any("sleeping" in text for text in texts["preview.output"]), texts
