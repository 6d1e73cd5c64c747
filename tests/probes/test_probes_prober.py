"""The task of a probe, its end with its generation, and what killed services leave."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
import trio.testing

from preview.core.clock import utc_now
from preview.replay.probe import Prober, ProbeRequest, ProbeResult, ProbeState, prober
from preview.replay.probe.store import ProbeStore
from preview.settings import Settings
from preview.storage import Database

GENERATION = cast("Any", SimpleNamespace(id="g1", user_id="ann", revision=1))
ANN = cast("Any", SimpleNamespace(id="ann"))


@asynccontextmanager
async def open_prober(database: Database, path: Path) -> AsyncIterator[Prober]:
    service = SimpleNamespace(
        settings=Settings(data_dir=path),
        runtime=None,
        database=database,
        library=SimpleNamespace(),
        failures=SimpleNamespace(watch=None),
    )
    async with trio.open_nursery() as nursery:
        yield Prober(nursery, cast("Any", service), cast("Any", None), cast("Any", None))
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("error", [OSError("no descriptor"), ExceptionGroup("two", [OSError(), ValueError()])])
async def test_an_unexpected_error_fails_the_probe_only(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    @asynccontextmanager
    async def broken(*_: object) -> AsyncIterator[None]:
        await trio.lowlevel.checkpoint()
        raise error
        yield

    monkeypatch.setattr(prober, "open_trial", broken)
    async with open_prober(database, tmp_path) as probes:
        result = probes.start(ANN, GENERATION, ProbeRequest(5))
        await probes._active["g1"].over.wait()
        assert result.state is ProbeState.FAILED
        stored = await probes.last(GENERATION)
        assert stored is not None
        assert stored.error == result.error


async def test_a_store_that_hangs_does_not_hold_up_the_end(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    @asynccontextmanager
    async def endless(*_: object) -> AsyncIterator[None]:
        await trio.sleep_forever()
        yield

    async def hang(*_: object) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(prober, "open_trial", endless)
    monkeypatch.setattr(ProbeStore, "save", hang)
    started = trio.current_time()
    async with open_prober(database, tmp_path) as probes:
        probes.start(ANN, GENERATION, ProbeRequest(5))
        await trio.testing.wait_all_tasks_blocked()
    assert trio.current_time() - started <= 2


async def test_a_deleted_generation_ends_its_probe_and_keeps_no_result(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def endless(*_: object) -> AsyncIterator[None]:
        await trio.sleep_forever()
        yield

    monkeypatch.setattr(prober, "open_trial", endless)
    await ProbeStore(database).save(ProbeResult("probe_1", "g1", ProbeState.DONE, utc_now(), 30, 1), "ann")
    async with open_prober(database, tmp_path) as probes:
        probes.start(ANN, GENERATION, ProbeRequest(5))
        await trio.testing.wait_all_tasks_blocked()
        await probes.forget("g1")
        assert await probes.last(GENERATION) is None


async def test_what_a_killed_service_has_left_is_removed(database: Database, tmp_path: Path) -> None:
    await ProbeStore(database).save(ProbeResult("probe_1", "g1", ProbeState.DONE, utc_now(), 30, 1), "ann")
    for name in ("probe-old", "other"):
        (tmp_path / name).mkdir()
    async with open_prober(database, tmp_path) as probes:
        await probes.clean()
        assert await probes.last(GENERATION) is None
    assert (tmp_path / "other").is_dir()
    assert not (tmp_path / "probe-old").exists()
