"""Recording beside a stalled database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from test_http_requests import recording_door, requests_of

from preview.storage.database import Database


@pytest.mark.parametrize("relay", [True, False])
async def test_a_stalled_database_delays_no_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, relay: bool
) -> None:
    reached, goes_on, write = trio.Event(), trio.Event(), Database.write

    async def stalled(self: Database, *args: Any, **more: Any) -> Any:
        reached.set()
        await goes_on.wait()
        return await write(self, *args, **more)

    async with recording_door(tmp_path, relay=relay, capture="full") as door:
        headers = door.bearer()
        assert (await door.get("/first", headers=headers)).status_code == 200
        await requests_of(door)
        with monkeypatch.context() as patch:
            patch.setattr(Database, "write", stalled)
            with trio.fail_after(60):
                assert (await door.get("/0", headers=headers)).status_code == 200
                # The record's write hangs from here on.
                await reached.wait()
                for number in range(1, 50):
                    assert (await door.get(f"/{number}", headers=headers)).status_code == 200
            assert not goes_on.is_set()
            assert door.preview.traffic.stored_number == 1
        goes_on.set()
        stored = await requests_of(door, "?limit=100")
        assert [one["path"] for one in stored] == [*(f"/{number}" for number in reversed(range(50))), "/first"]
        assert door.preview.traffic.lost_records == 0
