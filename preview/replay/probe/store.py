"""The last result of each generation's probes, in the service's database."""

from __future__ import annotations

from functools import partial

import structlog
from sqlalchemy import Connection, delete, insert, select

from preview.core.clock import to_ms
from preview.replay.probe.result import ProbeResult, decode_result, encode_result
from preview.storage import Database
from preview.storage.tables import generations, probe_results

log = structlog.get_logger(__name__)

_P = probe_results.c
# A result of 100 findings has less than a MiB.
_MOST_BYTES = 4 * 1024 * 1024


class ProbeStore:
    """Stored results. All methods raise ``DatabaseUnavailable`` on an outage.

    Args:
        database: The service's database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(self, result: ProbeResult, user_id: str) -> None:
        """Store a result in place of the generation's last one. Cancellation: completed, or nothing changes."""
        text = encode_result(result)
        if len(text) > _MOST_BYTES:
            log.warning("probe result too large", size_bytes=len(text))
            result.findings, result.failures = result.findings[: len(result.findings) // 4], []
            text = encode_result(result)
        finished_at = to_ms(result.finished_at or result.started_at)
        row: dict[str, object] = {
            "generation_id": result.generation_id,
            "user_id": user_id,
            "finished_at": finished_at,
            "result": text,
        }
        await self._database.write(partial(_replace, row))

    async def last(self, generation_id: str, user_id: str) -> ProbeResult | None:
        """Return the generation's last result; None if there is none. Cancellation: nothing changes."""
        query = select(_P.result).where(_P.generation_id == generation_id, _P.user_id == user_id)
        text: str | None = await self._database.read(lambda connection: connection.scalar(query))
        if text is None:
            return None
        try:
            return decode_result(text)
        except ValueError:
            log.warning("probe result not readable", generation_id=generation_id)
            return None

    async def delete(self, generation_id: str) -> None:
        """Delete the generation's result, if there is one. Cancellation: completed, or nothing changes."""
        gone = delete(probe_results).where(_P.generation_id == generation_id)
        await self._database.write(lambda connection: connection.execute(gone))

    async def delete_orphans(self) -> None:
        """Delete results of generations that are gone. Cancellation: completed, or nothing changes."""
        gone = delete(probe_results).where(_P.generation_id.not_in(select(generations.c.id)))
        await self._database.write(lambda connection: connection.execute(gone))


def _replace(row: dict[str, object], connection: Connection) -> None:
    connection.execute(delete(probe_results).where(_P.generation_id == row["generation_id"]))
    connection.execute(insert(probe_results).values(row))
