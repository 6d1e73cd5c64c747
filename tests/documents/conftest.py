from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
# For the real program as a process (``cli_service``).
sys.path.insert(0, str(Path(__file__).parent.parent / "cli"))

from documents_kit import LAST_PORT, DocumentsClient, Live, launch_live, open_documents_service


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all tests of a worker: an environment is built once."""
    return tmp_path_factory.mktemp("documents-cache")


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Iterator[DocumentsClient]:
    """A service with the default settings; each test has a user of its own."""
    with open_documents_service(tmp_path_factory.mktemp("documents"), cache) as client:
        yield client


@pytest.fixture(scope="session")
def narrow(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Iterator[DocumentsClient]:
    """A service whose bounds are reached quickly."""
    bounds = {
        "PREVIEW_PORT_MIN": str(LAST_PORT),
        "PREVIEW_PORT_MAX": str(LAST_PORT),
        "PREVIEW_PROXY_TIMEOUT": "1",
        "PREVIEW_PROXY_BODY_BYTES": "1000",
        "PREVIEW_MAX_STREAMS_PER_USER": "1",
        "PREVIEW_KEEP_ALIVE": "1",
    }
    with open_documents_service(tmp_path_factory.mktemp("narrow"), cache, **bounds) as client:
        yield client


@pytest.fixture(scope="session")
def live(service: DocumentsClient) -> Live:
    """A preview that runs, for tests that only read."""
    return launch_live(service, "reader")
