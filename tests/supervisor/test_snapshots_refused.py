"""What becomes of snapshots that cannot be had."""

from __future__ import annotations

import gc
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import trio
import trio.testing

from preview.runtime import NoSnapshot, ProcessSpec, Snapshot
from preview.supervisor import LivePreview
from preview.supervisor.launch.steps import PreparedLaunch
from preview.supervisor.process.snapshots import Snapshots


class Said:
    """In place of a preview, and of its log."""

    def __init__(self) -> None:
        self.log = self
        self.lines: list[str] = []

    def say(self, line: str, _level: int = 0) -> None:
        self.lines.append(line)


class RefusingStage:
    """In place of a stage, of its settings and of its runtime."""

    warm_snapshots = True

    def __init__(self) -> None:
        self.tries = 0

    @property
    def settings(self) -> RefusingStage:
        return self

    @property
    def runtime(self) -> RefusingStage:
        return self

    @asynccontextmanager
    async def open_snapshot(self, _spec: ProcessSpec) -> AsyncIterator[Snapshot]:
        self.tries += 1
        raise NoSnapshot("it has threads")
        yield


class WarmSpec:
    warm = object()


SPEC = cast("ProcessSpec", WarmSpec())


async def test_a_stage_that_was_refused_is_not_tried_again(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    said, stage = Said(), RefusingStage()
    snapshots = Snapshots(cast("LivePreview", said), nursery)
    for _ in range(2):
        snapshots.keep(cast("PreparedLaunch", stage), SPEC)
        await trio.sleep(1)
    assert stage.tries == 1
    assert said.lines == ["no snapshot for restarts: it has threads"]


async def test_stages_of_before_are_forgotten_where_they_were_refused(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    snapshots = Snapshots(cast("LivePreview", Said()), nursery)
    first = RefusingStage()
    gone = weakref.ref(first)
    snapshots.keep(cast("PreparedLaunch", first), SPEC)
    await trio.sleep(1)
    del first
    snapshots.keep(cast("PreparedLaunch", RefusingStage()), SPEC)
    await trio.sleep(1)
    gc.collect()
    assert gone() is None
