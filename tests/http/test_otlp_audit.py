"""The audit trail by OTLP: a collector that fails or refuses, a restart, removed entries, and hostile texts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import httpx2
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from sqlalchemy import delete

from preview.auth import Audit
from preview.http.metrics import Metrics
from preview.http.otlp.audit import AuditFollower
from preview.http.otlp.exporter import OtlpExporter
from preview.storage.database import Database
from preview.storage.people_tables import audit_trail


class Collector:
    """A collector that keeps the audit entries that it takes."""

    def __init__(self, database: Database, trail: Audit) -> None:
        self.status = 200
        self.got: list[tuple[int, str, dict[str, str]]] = []
        self.metrics = Metrics()
        self.exporter = OtlpExporter("http://collector", {}, self.metrics, AuditFollower(trail, database))

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
