"""Manager and supervisor against a model: hundreds of random lives, each answer and state as the model foretells."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Literal

import pytest
import trio
from fake_runtime import FakeProcess, FakeRuntime
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from supervisor_kit import MemorySource

from preview.core.lifecycle import ACTIVE, State
from preview.errors import AlreadyRunning, Forbidden, InvalidRequest, LimitReached, NoActivePreview, PreviewError
from preview.runtime import Exit
from preview.service import Service, open_service
from preview.settings import Settings
from preview.supervisor import LaunchRequest, LivePreview, User

GENERATIONS = ("a1", "a2", "a3", "a4", "b1")
TIERS = {"a": "pro", "b": "free"}
LIMITS = {"pro": 3, "free": 1}
NUMBER = count()
# By hand PREVIEW_TEST_LIVES=2000 looks longer (a test may take two minutes).
LIVES = int(os.environ.get("PREVIEW_TEST_LIVES", "250"))

Kind = Literal[
    "launch", "steal", "ready", "say", "exit", "stop", "stop_twice", "look", "extend", "restart", "drop_caller"
]
KINDS: tuple[Kind, ...] = Kind.__args__  # type: ignore[attr-defined]  # the words of the Literal
STEPS = st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from(GENERATIONS)), min_size=1, max_size=12)


@dataclass
class Model:
    """What must be true: the state of each generation's newest preview."""

    state: dict[str, State] = field(default_factory=dict)

    def is_active(self, name: str) -> bool:
        return self.state.get(name) in ACTIVE

    def held_by(self, letter: str) -> int:
        return sum(self.is_active(one) for one in GENERATIONS if one[0] == letter)

    def refusal(self, name: str) -> type[PreviewError] | None:
        if self.is_active(name):
            return AlreadyRunning
        return LimitReached if self.held_by(name[0]) >= LIMITS[TIERS[name[0]]] else None


class World:
    """One life: two users and their generations, which nobody else in the service knows.

    Args:
        service: Without a live preview.
        source: Where its generations come from.
        runtime: Starts its children.
    """

    def __init__(self, service: Service, source: MemorySource, runtime: FakeRuntime) -> None:
        number = next(NUMBER)
        self.service = service
        self.runtime = runtime
        self.model = Model()
        self.owners = {letter: User(f"{letter}-{number}", tier) for letter, tier in TIERS.items()}
        self.ids = {name: f"{name}-{number}" for name in GENERATIONS}
        for name, generation_id in self.ids.items():
            source.add(generation_id, owner=self.owners[name[0]])

    def owner(self, name: str) -> User:
        return self.owners[name[0]]

    def preview(self, name: str) -> LivePreview:
        return self.service.previews.require(self.ids[name])

    async def process(self, name: str) -> FakeProcess:
        """The child, once it has started."""
        return await self.runtime.process(self.preview(name).id)

    async def step(self, kind: Kind, name: str) -> None:
        await getattr(self, f"_{kind}")(name)
        self.check()

    def check(self) -> None:
        active = self.service.previews.all_active
        expected = {one for one in GENERATIONS if self.model.is_active(one)}
        assert {preview.record.generation_id for preview in active.values()} == {self.ids[one] for one in expected}
        ports = [preview.record.port for preview in active.values()]
        assert len(set(ports)) == len(ports)
        for one in expected:
            assert self.preview(one).record.state is self.model.state[one]

    async def live(self, steps: list[tuple[Kind, str]]) -> None:
        """Take the steps; the previews that live then are left alive."""
        for kind, name in steps:
            await self.step(kind, name)
        for letter, user in self.owners.items():
            records, _ = await self.service.previews.list_for_user(user.id, limit=200)
            assert sum(record.is_active for record in records) == self.model.held_by(letter)

    async def _launch(self, name: str) -> None:
        with expected_refusal(self.model.refusal(name)) as goes_on:
            await self.service.previews.launch(LaunchRequest(self.owner(name), self.ids[name]))
        if goes_on:
            self.model.state[name] = State.STARTING

    async def _steal(self, name: str) -> None:
        with pytest.raises(Forbidden):
            await self.service.previews.launch(LaunchRequest(User("thief", "enterprise"), self.ids[name]))

    async def _ready(self, name: str) -> None:
        if self.model.is_active(name):
            (await self.process(name)).become_ready()
            await self.preview(name).settled.wait()
            self.model.state[name] = State.RUNNING

    async def _say(self, name: str) -> None:
        if self.model.is_active(name):
            process = await self.process(name)
            before = self.preview(name).log.last_seq
            await process.writer.send_all(b"a line\n")
            with self.preview(name).log.subscribe(after=before) as lines:
                while self.preview(name).log.last_seq <= before:
                    await lines.receive()

    async def _exit(self, name: str) -> None:
        if self.model.is_active(name):
            preview = self.preview(name)
            (await self.process(name)).end(Exit(code=3))
            await preview.over.wait()
            self.model.state[name] = State.FAILED
            assert preview.record.exit_code == 3

    async def _stop(self, name: str) -> None:
        with expected_refusal(None if self.model.is_active(name) else NoActivePreview) as goes_on:
            record = await self.service.previews.stop(self.ids[name])
            assert record.state is State.STOPPED
        if goes_on:
            self.model.state[name] = State.STOPPED

    async def _stop_twice(self, name: str) -> None:
        if self.model.is_active(name):
            answers: list[object] = []

            async def stop() -> None:
                answers.append(await self.service.previews.stop(self.ids[name]))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(stop)
                nursery.start_soon(stop)
            assert answers[0] == answers[1]
            self.model.state[name] = State.STOPPED

    async def _look(self, name: str) -> None:
        state = self.model.state.get(name)
        hidden = state in (None, State.STOPPED)
        with expected_refusal(NoActivePreview if hidden else None):
            assert (await self.service.previews.current(self.ids[name])).state is state

    async def _extend(self, name: str) -> None:
        refusal: type[PreviewError] | None = None
        if not self.model.is_active(name):
            refusal = NoActivePreview
        elif self.owner(name).tier == "free":
            refusal = InvalidRequest
        with expected_refusal(refusal):
            await self.service.previews.extend(self.ids[name], 1)

    async def _restart(self, name: str) -> None:
        was_active = self.model.is_active(name)
        refusal = None if was_active else self.model.refusal(name)
        with expected_refusal(refusal) as goes_on:
            await self.service.previews.restart(self.owner(name), self.ids[name])
        # What runs is restarted in place.
        if goes_on and self.model.state.get(name) is not State.RUNNING:
            self.model.state[name] = State.STARTING

    async def _drop_caller(self, name: str) -> None:
        """A stop whose caller goes away at once: it is carried out."""
        if self.model.is_active(name):
            preview = self.preview(name)
            with trio.CancelScope() as scope:
                scope.cancel()
                await self.service.previews.stop(self.ids[name])
            await preview.over.wait()
            self.model.state[name] = State.STOPPED


@contextmanager
def expected_refusal(kind: type[PreviewError] | None) -> Iterator[bool]:
    if kind is None:
        yield True
    else:
        with pytest.raises(kind):
            yield False


@pytest.fixture
def template(make_settings: Callable[..., Settings], sqlite_template: Path, tmp_path: Path) -> Callable[[], Settings]:
    """Settings for one service more, on a data folder and a migrated database of its own."""

    def make() -> Settings:
        data_dir = tmp_path / f"service-{next(NUMBER)}"
        data_dir.mkdir()
        shutil.copy(sqlite_template, data_dir / "preview.db")
        return make_settings(data_dir=data_dir, liveness_interval_s=3600, usage_interval_s=3600)

    return make


@asynccontextmanager
async def open_worlds(settings: Settings) -> AsyncIterator[Callable[[], World]]:
    """A service, and one world after the other in it; nothing runs when it has ended."""
    source, runtime = MemorySource(), FakeRuntime()
    async with open_service(settings, generations=source, runtime=runtime) as service:
        yield partial(World, service, source, runtime)
    assert runtime.live == {}


async def draw(lives: int, life: Callable[[list[tuple[Kind, str]]], Awaitable[None]]) -> None:
    """So many lives, drawn by hypothesis in a thread, lived here: one service may stay open over all of them."""

    @given(steps=STEPS)
    @hypothesis_settings(max_examples=lives, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def each(steps: list[tuple[Kind, str]]) -> None:
        trio.from_thread.run(life, steps)

    await trio.to_thread.run_sync(each)


async def test_hundreds_of_lives_go_as_the_model_foretells(template: Callable[[], Settings]) -> None:
    async with open_worlds(template()) as make_world:

        async def live(steps: list[tuple[Kind, str]]) -> None:
            world = make_world()
            try:
                with trio.fail_after(60):
                    await world.live(steps)
            finally:
                # What fails here is drawn again, shorter: in an empty service.
                await world.service.previews.stop_all()
            assert world.runtime.live == {}
            assert world.service.previews.all_active == {}

        await draw(LIVES, live)


async def test_a_service_that_ends_in_the_midst_of_any_life_leaves_nothing_of_it(
    template: Callable[[], Settings],
) -> None:
    async def live(steps: list[tuple[Kind, str]]) -> None:
        with trio.fail_after(60):
            async with open_worlds(template()) as make_world:
                await make_world().live(steps)

    await draw(LIVES // 10, live)
