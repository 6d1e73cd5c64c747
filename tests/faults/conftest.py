from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_postgres import Postgres, open_postgres
from postgres import NoPostgres


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all tests of a run: an environment is built once."""
    return tmp_path_factory.getbasetemp() / "fault-cache"


@pytest.fixture
def server() -> Iterator[Postgres]:
    context = open_postgres()
    try:
        made = context.__enter__()
    except NoPostgres as error:
        pytest.skip(f"no PostgreSQL: {error}")
    try:
        yield made
    finally:
        context.__exit__(None, None, None)
