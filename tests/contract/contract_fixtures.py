"""One service for all tests of the room: a worker starts it once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from contract_cases import Sender, load
from contract_world import World, open_world
from schemathesis import BaseSchema

__all__ = ["schema", "sender", "world"]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The running service; at its end nothing unexpected may stand in its log."""
    with open_world(tmp_path_factory.mktemp("contract"), tmp_path_factory.getbasetemp() / "preview-http-cache") as made:
        yield made
        assert made.mishaps() == []


@pytest.fixture(scope="session")
def schema(world: World) -> BaseSchema:
    """Its OpenAPI document."""
    return load(world)


@pytest.fixture(scope="session")
def sender() -> Sender:
    """Sends requests and checks answers."""
    return Sender()
