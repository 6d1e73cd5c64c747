"""A service that is killed while it archives loses no line that it has stored."""

from __future__ import annotations

import os
import random
import signal
import sys
from pathlib import Path
from subprocess import PIPE

import pytest
import trio
from archive_kit import end_all_leases, lines
from archiving_child import LINES
from log_room import make_settings
from sqlalchemy import Connection, func, select, update

from preview.logs import LogStore, LogWriter
from preview.logs.archive.archive import Archive
from preview.logs.archive.place import Folder
from preview.logs.storage.archived import ArchivedLogs
from preview.logs.storage.archiving import archive_round
from preview.storage import prepare
from preview.storage.database import Database, open_database
from preview.storage.tables import preview_instances, preview_logs

_EXPECTED = [(row[0], row[1], row[4], row[5]) for row in lines(LINES)]


async def stored_before_the_kill(address: str, folder: Path, first: int, delay_s: float) -> list[int]:
    """Run the child, kill it some time after its first log was stored, and return what it had acknowledged."""
    command = [sys.executable, str(Path(__file__).with_name("archiving_child.py")), address, str(folder), str(first)]
    process = await trio.lowlevel.open_process(command, stdout=PIPE, env=os.environ | {"PYTHONPATH": _paths()})
    assert process.stdout is not None
    said = b""
    async with process.stdout:
        while not said.endswith(b"\n"):
            part = await process.stdout.receive_some()
            assert part, "the child has ended"
            said += part
        with trio.move_on_after(delay_s):
            while True:
                said += await process.stdout.receive_some()
        process.send_signal(signal.SIGKILL)
        async for part in process.stdout:
            said += part
    await process.wait()
    return [int(one) for one in said.splitlines(keepends=True) if one.endswith(b"\n")]


def _paths() -> str:
    here = Path(__file__).parent
    return os.pathsep.join((str(here), str(here.parent), str(here.parent.parent)))


async def check(database: Database, folder: Path, numbers: list[int]) -> None:
    """Check the logs as readers get them after the next start, and when all are in the archive."""
    archived = ArchivedLogs(database, Archive(Folder(folder)))
    await archived.claim()
    await end_all_leases(database)
    configured = make_settings(folder, archive_after_s=0.001)
    store = LogStore(database, archived)
    for _ in range(2):
        for number in numbers:
            page = await store.read_page(f"preview_{number}", after=0, limit=LINES + 1)
            found = [(one.seq, one.timestamp_ms, one.message, one.request_id) for part in page.batches for one in part]
            assert found == _EXPECTED
        await database.write(_stop_all)
        await archive_round(archived, configured, LogWriter(database, configured))
        await archive_round(archived, configured, LogWriter(database, configured))
    left = select(func.count()).select_from(preview_logs)
    assert await database.read(lambda connection: connection.execute(left).scalar_one()) == 0


def _stop_all(connection: Connection) -> None:
    connection.execute(update(preview_instances).values(status="stopped"))


@pytest.mark.parametrize("kills", [pytest.param(2, id="2"), pytest.param(20, id="20", marks=pytest.mark.long)])
async def test_a_kill_at_any_moment_loses_no_stored_line(tmp_path: Path, kills: int) -> None:
    chance, first, folder = random.Random(kills), 1, tmp_path / "archive"
    address = f"sqlite:///{tmp_path / 'preview.db'}"
    async with open_database(address, 60) as database:
        await prepare(database)
        for _ in range(kills):
            with trio.fail_after(60):
                numbers = await stored_before_the_kill(address, folder, first, chance.uniform(0, 0.3))
                await check(database, folder, numbers)
            # One more log may be stored without having been acknowledged.
            first = numbers[-1] + 2
