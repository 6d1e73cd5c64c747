"""What tests of the client have in common."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from client_kit import Service, serving


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A real service."""
    with serving(tmp_path_factory.mktemp("service")) as started:
        yield started
