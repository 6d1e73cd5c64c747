"""One service per test; environments are built once for all of them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import trio
from supervisor_kit import Rig, open_rig

from preview.runtime.kernel import proctree
from preview.settings import Settings


@pytest.fixture(scope="session")
def shared_cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def make_settings(make_settings_in: Callable[..., Settings], shared_cache_dir: Path) -> Callable[..., Settings]:
    def make(**values: object) -> Settings:
        return make_settings_in(**{"cache_dir": shared_cache_dir, "stop_grace_s": 2, **values})

    return make


@pytest.fixture
async def rig(make_settings: Callable[..., Settings]) -> AsyncIterator[Rig]:
    async with open_rig(make_settings()) as opened:
        yield opened


@pytest.fixture(autouse=True)
async def in_time_and_no_process_left() -> AsyncIterator[None]:
    # Services that live as long as the whole run have previews too.
    before = set(proctree.descendants(os.getpid()))
    with trio.fail_after(120):
        yield
    left = [pid for pid in proctree.descendants(os.getpid()) if pid not in before and proctree.read_marker(pid)]
    assert left == []
