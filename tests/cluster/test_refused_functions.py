"""A database service that refuses functions of PostgreSQL's log, as Amazon Aurora does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ownership_kit import LEASE_MS, Tables, open_tables
from sqlalchemy import text
from sqlalchemy.exc import NotSupportedError

from preview.storage.engine import make_engine

REFUSES = """
CREATE FUNCTION refusing.{name}({arguments}) RETURNS {returns} LANGUAGE plpgsql AS $$ BEGIN
    RAISE feature_not_supported USING MESSAGE = 'Function {name}() is currently not supported for Aurora';
END $$
"""
FUNCTIONS = (
    ("pg_current_wal_insert_lsn", "", "pg_lsn"),
    ("pg_walfile_name", "at pg_lsn", "text"),
    ("pg_last_xact_replay_timestamp", "", "timestamptz"),
)


@pytest.fixture
def tables(postgres_database_url: str) -> Iterator[Tables]:
    engine = make_engine(postgres_database_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA refusing"))
        for name, arguments, returns in FUNCTIONS:
            connection.execute(text(REFUSES.format(name=name, arguments=arguments, returns=returns)))
    engine.dispose()
    separator = "&" if "?" in postgres_database_url else "?"
    path = "options=-csearch_path%3Drefusing,pg_catalog,public"
    with open_tables(f"{postgres_database_url}{separator}{path}") as made:
        yield made


def test_nodes_join_renew_claim_and_take(tables: Tables) -> None:
    one, two = tables.join("one"), tables.join("two")
    # More often than the driver needs to prepare a statement.
    for _ in range(12):
        assert (tables.renew(one), tables.renew(two)) == (False, False)
    tables.claim(one, "p")
    tables.wait(LEASE_MS)
    tables.renew(two)
    assert tables.take(two) == {"p": 2}
    # Nobody knows whether this server was a standby.
    assert (one.was_standby, one.timeline) == (True, two.timeline)


def test_the_functions_of_this_test_refuse(tables: Tables) -> None:
    with tables.engine.begin() as connection, pytest.raises(NotSupportedError):
        connection.execute(text("SELECT pg_current_wal_insert_lsn()"))
