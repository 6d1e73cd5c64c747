"""One service per test, on the rung that the test names; the environment is built once."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import trio
from engine_kit import IN_TIME_S, engine_or_skip, use_engine
from hostile_kit import RUNGS, Rig, isolation_of, open_hostile_rig, sandbox_or_skip

from preview.runtime.kernel import proctree
from preview.settings import Settings


@pytest.fixture(scope="session")
def hostile_cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def sandbox_here(tmp_path_factory: pytest.TempPathFactory) -> None:
    sandbox_or_skip(tmp_path_factory.mktemp("etc"))


@pytest.fixture(params=RUNGS)
def rung(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    name = use_engine(request.param, monkeypatch)
    if name == "container":
        engine_or_skip()
    elif name != "plain":
        request.getfixturevalue("sandbox_here")
    return name


@pytest.fixture
def hostile_settings(
    make_settings_in: Callable[..., Settings], hostile_cache_dir: Path, rung: str
) -> Callable[..., Settings]:
    def make(**values: object) -> Settings:
        given: dict[str, object] = {"cache_dir": hostile_cache_dir, "stop_grace_s": 0.5, **isolation_of(rung)}
        # A busy machine reads even a small project for longer than 30 s.
        given["startup_timeout_s"] = IN_TIME_S
        return make_settings_in(**{**given, "usage_interval_s": 0.1, **values})

    return make


@pytest.fixture
async def hostile(hostile_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    # Services that live as long as the whole run have previews too.
    before = set(proctree.descendants(os.getpid()))
    async with open_hostile_rig(hostile_settings(), monkeypatch) as rig:
        yield rig
    left = [pid for pid in proctree.descendants(os.getpid()) if pid not in before and proctree.read_marker(pid)]
    assert left == []
    await trio.lowlevel.checkpoint()
