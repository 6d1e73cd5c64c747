"""One service per test; environments are built once for all of them, in whatever worker they run."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import trio
from launch_kit import Rig, open_rig

from preview.runtime.kernel import proctree
from preview.settings import Settings


@pytest.fixture(scope="session")
def launch_cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.getbasetemp()
    # Workers share what their folders stand in; the environments' locks keep them apart.
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    return shared / "launch-cache"


@pytest.fixture
async def rig(
    make_settings_in: Callable[..., Settings], launch_cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Rig]:
    settings = make_settings_in(cache_dir=launch_cache_dir, stop_grace_s=2, usage_interval_s=0.5, step_timeout_s=20)
    # Services that live as long as the whole run have previews too.
    before = set(proctree.descendants(os.getpid()))
    with trio.fail_after(150):
        async with open_rig(settings, monkeypatch) as opened:
            yield opened
        left = [pid for pid in proctree.descendants(os.getpid()) if pid not in before and proctree.read_marker(pid)]
        assert left == []


@pytest.fixture
async def plain_rig(
    make_settings_in: Callable[..., Settings], launch_cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Rig]:
    """As ``rig``, without a sandbox."""
    settings = make_settings_in(cache_dir=launch_cache_dir, stop_grace_s=2, isolation="plain")
    with trio.fail_after(150):
        async with open_rig(settings, monkeypatch) as opened:
            yield opened
