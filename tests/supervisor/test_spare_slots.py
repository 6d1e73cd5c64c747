"""Spare slots: who gets one, and when one ends unused."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import Mock

import pytest
import trio
from supervisor_kit import ANN, BOB, LightRuntime, Rig, ask, open_descriptors, open_rig

from preview.core.lifecycle import State
from preview.detection import Server
from preview.errors import NoPortFree
from preview.runtime import ProcessSpec, bind_in_range
from preview.settings import Settings
from preview.supervisor.launch.start_history import StartHistory, StartRecord
from preview.supervisor.launch.warming import Whose
from preview.supervisor.launch.workspace import workspace_root
from preview.supervisor.life import preview_slot as slot_module
from preview.supervisor.life.preview_slot import PreviewSlot
from preview.supervisor.manager import spare_slots as spares_module
from preview.supervisor.manager.cleanup import clean_once
from preview.supervisor.manager.spare_slots import SpareSlots

MakeSettings = Callable[..., Settings]


@dataclass
class Reserved:
    """What was reserved of a start."""

    spec: ProcessSpec
    stays: bool
    gone: trio.Event


class ReservingRuntime(LightRuntime):
    """Has something to reserve, and notes what was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[Reserved] = []
        self.asked = 0
        self.fails: Exception | None = None

    async def wait_prepared(self, spec: ProcessSpec) -> bool:
        await trio.lowlevel.checkpoint()
        return spec.warm is not None

    @asynccontextmanager
    async def reserve(self, spec: ProcessSpec, *, stays: bool = False) -> AsyncIterator[trio.Event]:
        self.asked += 1
        if self.fails is not None and stays:
            raise self.fails
        reserved = Reserved(spec, stays, trio.Event())
        self.open.append(reserved)
        try:
            yield reserved.gone
        finally:
            self.open.remove(reserved)


async def until(true: Callable[[], object]) -> None:
    with trio.fail_after(60):
        while not true():  # noqa: ASYNC110  nobody tells
            await trio.sleep(0.002)


class SlotsRig(Rig):
    """A service, and what its launches can take."""

    runtime: ReservingRuntime

    @property
    def slots(self) -> SpareSlots:
        return self.service.previews.slots

    async def ahead(self, count: int = 1) -> list[PreviewSlot]:
        """Those that can be taken, once there are so many."""
        await until(lambda: len(self._ready) == count)
        return self._ready

    @property
    def _ready(self) -> list[PreviewSlot]:
        return [one for one in self.slots._spares.values() if one.is_ready]

    @property
    def known(self) -> StartHistory:
        return self.service.previews._context.history

    def start_of(self, generation_id: str) -> StartRecord:
        start = self.known.find(generation_id, Whose(ANN.id, ""))
        assert start is not None
        return start

    async def is_made(self, key: str) -> None:
        await until(lambda: key in self.slots._spares and self.slots._spares[key].is_ready)

    async def gone(self, slot: PreviewSlot) -> None:
        await until(lambda: not self.slots.has(slot.id) and not folder_of(self, slot).exists())


def folder_of(rig: Rig, slot: PreviewSlot) -> Path:
    return workspace_root(rig.service.settings) / slot.id


def listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@asynccontextmanager
async def open_slots(settings: Settings) -> AsyncIterator[SlotsRig]:
    runtime = ReservingRuntime()
    async with open_rig(settings, runtime=runtime) as opened:
        yield SlotsRig(opened.service, opened.source, runtime)


@pytest.fixture
async def rig(make_settings: MakeSettings) -> AsyncIterator[SlotsRig]:
    async with open_slots(make_settings(warm_templates=1, spares=2)) as opened:
        yield opened


async def test_a_spare_slot_has_its_folders_port_and_fork_before_its_launch(rig: SlotsRig) -> None:
    first = await rig.running()
    (slot,) = await rig.ahead()
    assert folder_of(rig, slot).is_dir()
    (reserved,) = [one for one in rig.runtime.open if one.stays]
    assert reserved.spec.preview_id == slot.id
    assert reserved.spec.slot == slot.port != first.record.port
    assert folder_of(rig, slot) / "project" in reserved.spec.writable


async def test_nobody_is_let_in_before_there_is_a_preview(rig: SlotsRig) -> None:
    await rig.running()
    (slot,) = await rig.ahead()
    assert not listens(slot.port)


async def test_the_next_launch_takes_it_and_another_is_made(rig: SlotsRig) -> None:
    await rig.running()
    (slot,) = await rig.ahead()
    port = slot.port
    assert rig.slots.claimed == {"spare": 0, "new": 1}
    second = await rig.running(generation_id="g2")
    assert rig.slots.claimed == {"spare": 1, "new": 1}
    assert (second.id, second.record.port, second.record.state) == (slot.id, port, State.RUNNING)
    assert b"200" in await ask(second)
    (following,) = await rig.ahead()
    assert following.id not in {slot.id, second.id}
    await rig.service.previews.stop("g2")
    assert not folder_of(rig, slot).exists()
    assert not listens(port)


async def test_of_many_launches_each_has_a_slot_of_its_own(rig: SlotsRig) -> None:
    await rig.running()
    (slot,) = await rig.ahead()
    for number in range(4):
        rig.source.add(f"many{number}")
    async with trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(rig.launch, f"many{number}")
    ids = {one.id for one in rig.service.previews.all_active.values()}
    assert len(ids) == 5
    assert slot.id in ids


async def test_whoever_nothing_is_known_of_takes_none(rig: SlotsRig) -> None:
    await rig.running()
    (slot,) = await rig.ahead()
    rig.source.add("bobs", owner=BOB)
    launched = await rig.launch("bobs", BOB)
    assert launched.record.id != slot.id
    assert slot in await rig.ahead()


async def test_one_for_another_environment_is_not_taken(rig: SlotsRig) -> None:
    await rig.running()
    (slot,) = await rig.ahead()
    start = rig.start_of("g1")
    elsewhere = replace(start.environment, directory=Path("/elsewhere"))
    rig.known.note(replace(start, generation_id="g2", environment=elsewhere))
    second = await rig.running(generation_id="g2")
    assert second.id != slot.id


async def test_there_are_as_many_as_the_settings_allow_and_the_last_used_stay(rig: SlotsRig) -> None:
    await rig.running()
    (first,) = await rig.ahead()
    start = rig.start_of("g1")
    for number, name in enumerate(("two", "three"), start=2):
        rig.known.expect(replace(start, environment=replace(start.environment, directory=Path(f"/{name}"))))
        await rig.is_made(name)
        assert rig.slots.has(first.id) == (number == 2)
    await rig.gone(first)


@pytest.mark.parametrize("setting", [{"spares": 0}, {"warm_templates": 0}])
async def test_without_templates_or_where_they_are_not_wanted_there_are_none(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, setting: dict[str, int]
) -> None:
    monkeypatch.setattr(spares_module, "_PAUSE_S", 0.0)
    async with open_slots(make_settings(**{"warm_templates": 1, **setting})) as rig:
        await rig.running()
        await trio.testing.wait_all_tasks_blocked()
        assert rig.slots._spares == {}


async def test_one_that_nobody_takes_ends(rig: SlotsRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slot_module, "_IDLE_S", 0.05)
    first = await rig.running()
    await until(lambda: rig.runtime.asked)
    await until(lambda: [one.name for one in workspace_root(rig.service.settings).iterdir()] == [first.id])
    await until(lambda: (rig.slots._spares, rig.runtime.open) == ({}, []))


async def test_one_whose_fork_is_gone_ends_and_another_is_made_at_the_next_launch(rig: SlotsRig) -> None:
    await rig.running()
    (slot,) = await rig.ahead()
    (reserved,) = [one for one in rig.runtime.open if one.stays]
    asked = rig.runtime.asked
    reserved.gone.set()
    await rig.gone(slot)
    await trio.sleep(3 * spares_module._PAUSE_S)
    assert (rig.runtime.asked, rig.slots._spares) == (asked, {})
    await rig.running(generation_id="g2")
    await rig.ahead()


async def test_its_port_is_another_launch_s_where_no_other_is_free(rig: SlotsRig) -> None:
    await rig.running()
    (slot,) = await rig.ahead()
    port = slot.port
    rig.slots._context = replace(
        rig.slots._context, settings=rig.service.settings.model_copy(update={"port_min": port, "port_max": port})
    )
    rig.source.add("bobs", owner=BOB)
    launched = await rig.launch("bobs", BOB)
    assert launched.record.id != slot.id
    assert launched.record.port == port
    await rig.gone(slot)
    with pytest.raises(NoPortFree):
        rig.slots.claim("more", Whose(BOB.id, ""))


async def test_nobody_else_can_have_its_port(rig: SlotsRig) -> None:
    await rig.running()
    (slot,) = await rig.ahead()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", slot.port))
    for listens in (True, False):
        with pytest.raises(NoPortFree):
            bind_in_range("127.0.0.1", slot.port, slot.port, listens=listens)


async def test_one_that_cannot_listen_is_nobody_s_failure(rig: SlotsRig, monkeypatch: pytest.MonkeyPatch) -> None:
    await rig.running()
    (slot,) = await rig.ahead()
    monkeypatch.setattr(spares_module, "listen_at_last", Mock(side_effect=OSError(98, "Address already in use")))
    second = await rig.running(generation_id="g2")
    assert second.id != slot.id
    await rig.gone(slot)


async def test_what_is_not_forked_takes_none_though_its_environment_is_the_same(rig: SlotsRig) -> None:
    await rig.running()
    (slot,) = await rig.ahead()
    start = rig.start_of("g1")
    plan = replace(start.analysis.plan, server=Server.COMMAND, command=("true",))
    rig.known.note(replace(start, generation_id="g2", analysis=replace(start.analysis, plan=plan)))
    second = await rig.running(generation_id="g2")
    assert second.id != slot.id


async def test_a_service_that_is_being_stopped_makes_no_more(rig: SlotsRig) -> None:
    await rig.running()
    await rig.ahead()
    await rig.running(generation_id="g2")
    await rig.service.previews.stop_all()
    asked = rig.runtime.asked
    await trio.sleep(3 * spares_module._PAUSE_S)
    await trio.testing.wait_all_tasks_blocked()
    assert (rig.slots._spares, rig.runtime.asked) == ({}, asked)


async def test_the_cleanup_leaves_its_folder_alone(rig: SlotsRig) -> None:
    await rig.running()
    (slot,) = await rig.ahead()
    await clean_once(rig.service.previews, rig.service.previews._context)
    assert folder_of(rig, slot).is_dir()


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("a mistake")])
async def test_one_that_fails_is_nobody_s_failure(rig: SlotsRig, error: Exception) -> None:
    rig.runtime.fails = error
    await rig.running()
    await until(lambda: rig.runtime.asked and not rig.slots._spares)
    second = await rig.running(generation_id="g2")
    assert second.record.state is State.RUNNING


async def test_a_project_that_cannot_start_leaves_nothing_of_the_slot_that_it_took(rig: SlotsRig) -> None:
    await rig.running()
    (slot,) = await rig.ahead()
    second = await rig.running("raise SystemExit(3)", generation_id="g2")
    assert second.id == slot.id
    await second.over.wait()
    assert second.record.state is State.FAILED
    assert not folder_of(rig, slot).exists()


async def test_a_service_that_ends_leaves_none(make_settings: MakeSettings) -> None:
    before = open_descriptors()
    async with open_slots(make_settings(warm_templates=1)) as rig:
        await rig.running()
        (slot,) = await rig.ahead()
        port, folder = slot.port, folder_of(rig, slot)
    assert not folder.exists()
    assert open_descriptors() <= before
    with socket.socket() as one:
        one.bind(("127.0.0.1", port))
