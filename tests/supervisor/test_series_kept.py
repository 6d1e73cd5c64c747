"""Measurements of one preview that are stored at the same moment: those of a minute, and those of its end."""

from __future__ import annotations

import threading
from collections.abc import Callable

import trio
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from supervisor_kit import SERVER, open_rig

from preview.settings import Settings
from preview.storage.database import NO_FENCES
from preview.traffic.measurements import keeping

_WAITS = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")


async def test_two_writers_of_the_first_measurements_disturb_nobody(
    postgres_database_url: str, make_settings: Callable[..., Settings]
) -> None:
    async with open_rig(make_settings(database_url=postgres_database_url)) as rig:
        preview = await rig.running(SERVER)
        engine, errors = rig.service.database.engine, list[SQLAlchemyError]()

        def write_end() -> None:
            try:
                with engine.begin() as connection:
                    keeping._write(NO_FENCES, preview.id, "the end", connection)
            except SQLAlchemyError as error:
                errors.append(error)

        other = threading.Thread(target=write_end)
        with engine.begin() as connection:
            keeping._write(NO_FENCES, preview.id, "a minute", connection)
            other.start()
            with trio.fail_after(30), engine.connect() as looking:
                while not looking.execute(_WAITS).scalar():
                    looking.rollback()
                    await trio.sleep(0.02)
        await trio.to_thread.run_sync(other.join)
        assert errors == []
        with engine.connect() as connection:
            assert connection.scalar(keeping._query(preview.id)) == "the end"
