from __future__ import annotations

from pathlib import Path

import pytest
import trio
from log_room import MakeRoom, Room, make_settings

from preview.logs import LogStore, LogWriter, run_log_writer
from preview.storage import Database


@pytest.fixture
async def make_room(tmp_path: Path, database: Database) -> MakeRoom:
    """Makes rooms on a fresh database, of either kind in turn."""

    def make(**values: object) -> Room:
        settings = make_settings(tmp_path, **values)
        return Room(settings, database, LogStore(database), LogWriter(database, settings))

    return make


@pytest.fixture
async def room(make_room: MakeRoom, nursery: trio.Nursery) -> Room:
    """A room with one preview, ``preview_a``, and its writer running."""
    room = make_room()
    await room.add_preview("preview_a")
    await nursery.start(run_log_writer, room.writer)
    return room
