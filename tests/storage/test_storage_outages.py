"""Every class of error that a database gives, from a real one: an outage, or a mistake in what it was asked."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection, insert
from sqlalchemy.exc import DBAPIError

from preview.errors import DatabaseUnavailable
from preview.storage import Database, open_database
from preview.storage.tables import users


def add_user(connection: Connection, user_id: str = "user_1") -> None:
    connection.execute(insert(users).values(id=user_id, created_at=0))


def damage(file: Path) -> None:
    """Overwrite all but the first page."""
    size = file.stat().st_size
    with file.open("r+b") as opened:
        opened.seek(4096)
        opened.write(os.urandom(size - 4096))


# Raised by the server itself, as it raises its own: each is of the class that psycopg gives a real one.
@pytest.mark.parametrize("state", ["53100", "53300", "57014", "57P01", "58030", "40P01", "XX001", "0A000", "26000"])
async def test_each_state_of_a_postgres_is_an_outage(postgres_database_url: str, state: str) -> None:
    def change(connection: Connection) -> None:
        connection.exec_driver_sql(f"DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{state}'; END $$")

    async with open_database(postgres_database_url) as database:
        with pytest.raises(DatabaseUnavailable) as caught:
            await database.write(change)
    assert caught.value.details == {"reason": state}


@pytest.mark.parametrize("state", ["22003", "23505", "42601", "54000"])
async def test_what_the_values_or_the_statement_cause_is_not(postgres_database_url: str, state: str) -> None:
    def change(connection: Connection) -> None:
        connection.exec_driver_sql(f"DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{state}'; END $$")

    async with open_database(postgres_database_url) as database:
        with pytest.raises(DBAPIError):
            await database.write(change)


async def test_a_role_that_lost_a_privilege_is_an_outage(postgres_database_url: str) -> None:
    async with open_database(postgres_database_url) as database:
        with psycopg.connect(postgres_database_url, autocommit=True) as owner:
            owner.execute("CREATE ROLE of_outages LOGIN")
            try:

                def change(connection: Connection) -> None:
                    connection.exec_driver_sql("SET LOCAL ROLE of_outages")
                    add_user(connection)

                with pytest.raises(DatabaseUnavailable, match="grant") as caught:
                    await database.write(change)
            finally:
                owner.execute("DROP ROLE of_outages")
    assert caught.value.details == {"reason": "42501"}


async def test_a_damaged_file_is_an_outage(sqlite_database_url: str) -> None:
    async with open_database(sqlite_database_url) as database:
        damage(Path(sqlite_database_url.removeprefix("sqlite:///")))
        with pytest.raises(DatabaseUnavailable) as caught:
            await database.write(add_user)
    assert caught.value.details == {"reason": "SQLITE_CORRUPT"}


async def test_a_file_that_may_only_be_read_is_an_outage(sqlite_database_url: str) -> None:
    async with open_database(sqlite_database_url) as database:

        def change(connection: Connection) -> None:
            connection.exec_driver_sql("PRAGMA query_only = ON")
            try:
                add_user(connection)
            finally:
                connection.exec_driver_sql("PRAGMA query_only = OFF")

        with pytest.raises(DatabaseUnavailable) as caught:
            await database.write(change)
    assert caught.value.details == {"reason": "SQLITE_READONLY"}


async def test_a_value_that_is_too_long_is_no_outage(sqlite_database_url: str) -> None:
    def change(connection: Connection) -> None:
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 100)
        connection.exec_driver_sql("SELECT ?", ("x" * 1000,))

    async with open_database(sqlite_database_url) as database:
        with pytest.raises(DBAPIError):
            await database.read(change)


async def test_a_broken_key_is_no_outage(database: Database) -> None:
    await database.write(add_user)
    with pytest.raises(DBAPIError):
        await database.write(add_user)
