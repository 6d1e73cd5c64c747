"""Manager and supervisor against a model: a thousand random lives, each answer and state as the model foretells."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Literal

import pytest
import trio
from fake_runtime import FakeRuntime
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from supervisor_kit import MemorySource

from preview.errors import AlreadyRunning, Forbidden, InvalidRequest, LimitReached, NoActivePreview, PreviewError
from preview.lifecycle import ACTIVE, State
from preview.runtime import Exit
from preview.service import Service, open_service
from preview.settings import Settings
from preview.supervisor import ActivePreview, LaunchRequest, User

GENERATIONS = ("a1", "a2", "a3", "a4", "b1")
OWNERS = {"a": User("ann", "pro"), "b": User("bob", "free")}
LIMITS = {"ann": 3, "bob": 1}
NUMBER = count()

Kind = Literal[
    "launch", "steal", "ready", "say", "exit", "stop", "stop_twice", "look", "extend", "restart", "drop_caller"
]
KINDS: tuple[Kind, ...] = Kind.__args__  # type: ignore[attr-defined]  # the words of the Literal
STEPS = st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from(GENERATIONS)), min_size=1, max_size=12)


@dataclass
class Model:
    """What must be true: the state of each generation's newest preview, and what it has said."""

    state: dict[str, State] = field(default_factory=dict)
    said: dict[str, int] = field(default_factory=dict)

    def is_active(self, generation_id: str) -> bool:
        return self.state.get(generation_id) in ACTIVE

    def held_by(self, user: User) -> int:
        return sum(self.is_active(one) for one in GENERATIONS if owner(one) is user)

    def refusal(self, generation_id: str) -> type[PreviewError] | None:
        if self.is_active(generation_id):
            return AlreadyRunning
        user = owner(generation_id)
        return LimitReached if self.held_by(user) >= LIMITS[user.id] else None


def owner(generation_id: str) -> User:
    return OWNERS[generation_id[0]]


@dataclass
class World:
    service: Service
    runtime: FakeRuntime
    model: Model = field(default_factory=Model)

    def preview(self, generation_id: str) -> ActivePreview:
        return self.service.previews.require(generation_id)

    async def process(self, generation_id: str) -> object:
        """The child, once it has started."""
        preview = self.preview(generation_id)
        while preview.id not in self.runtime.live:
            await trio.lowlevel.checkpoint()
        return self.runtime.live[preview.id]

    async def step(self, kind: Kind, generation_id: str) -> None:
        await getattr(self, f"_{kind}")(generation_id)
        self.check()

    def check(self) -> None:
        active = self.service.previews.all_active
        expected = {one for one in GENERATIONS if self.model.is_active(one)}
        assert {preview.record.generation_id for preview in active.values()} == expected
        ports = [preview.record.port for preview in active.values()]
        assert len(set(ports)) == len(ports)
        for one in expected:
            assert self.preview(one).record.state is self.model.state[one]

    async def _launch(self, generation_id: str) -> None:
        with expected_refusal(self.model.refusal(generation_id)) as goes_on:
            await self.service.previews.launch(LaunchRequest(owner(generation_id), generation_id))
        if goes_on:
            self.model.state[generation_id] = State.STARTING

    async def _steal(self, generation_id: str) -> None:
        with pytest.raises(Forbidden):
            await self.service.previews.launch(LaunchRequest(User("thief", "enterprise"), generation_id))

    async def _ready(self, generation_id: str) -> None:
        if self.model.is_active(generation_id):
            (await self.process(generation_id)).become_ready()  # type: ignore[attr-defined]  # a FakeProcess
            await self.preview(generation_id).settled.wait()
            self.model.state[generation_id] = State.RUNNING

    async def _say(self, generation_id: str) -> None:
        if self.model.is_active(generation_id):
            process = await self.process(generation_id)
            before = self.preview(generation_id).log.last_seq
            await process.writer.send_all(b"a line\n")  # type: ignore[attr-defined]  # a FakeProcess
            with self.preview(generation_id).log.subscribe(after=before) as lines:
                while self.preview(generation_id).log.last_seq <= before:
                    await lines.receive()

    async def _exit(self, generation_id: str) -> None:
        if self.model.is_active(generation_id):
            preview = self.preview(generation_id)
            (await self.process(generation_id)).end(Exit(code=3))  # type: ignore[attr-defined]  # a FakeProcess
            await preview.over.wait()
            self.model.state[generation_id] = State.FAILED
            assert preview.record.exit_code == 3

    async def _stop(self, generation_id: str) -> None:
        with expected_refusal(None if self.model.is_active(generation_id) else NoActivePreview) as goes_on:
            record = await self.service.previews.stop(generation_id)
            assert record.state is State.STOPPED
        if goes_on:
            self.model.state[generation_id] = State.STOPPED

    async def _stop_twice(self, generation_id: str) -> None:
        if self.model.is_active(generation_id):
            answers: list[object] = []

            async def stop() -> None:
                answers.append(await self.service.previews.stop(generation_id))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(stop)
                nursery.start_soon(stop)
            assert answers[0] == answers[1]
            self.model.state[generation_id] = State.STOPPED

    async def _look(self, generation_id: str) -> None:
        state = self.model.state.get(generation_id)
        hidden = state in (None, State.STOPPED)
        with expected_refusal(NoActivePreview if hidden else None):
            assert (await self.service.previews.current(generation_id)).state is state

    async def _extend(self, generation_id: str) -> None:
        refusal: type[PreviewError] | None = None
        if not self.model.is_active(generation_id):
            refusal = NoActivePreview
        elif owner(generation_id).tier == "free":
            refusal = InvalidRequest
        with expected_refusal(refusal):
            await self.service.previews.extend(generation_id, 1)

    async def _restart(self, generation_id: str) -> None:
        was_active = self.model.is_active(generation_id)
        refusal = None if was_active else self.model.refusal(generation_id)
        with expected_refusal(refusal) as goes_on:
            await self.service.previews.restart(owner(generation_id), generation_id)
        if goes_on:
            self.model.state[generation_id] = State.STARTING

    async def _drop_caller(self, generation_id: str) -> None:
        """A stop whose caller goes away at once: it is carried out."""
        if self.model.is_active(generation_id):
            preview = self.preview(generation_id)
            with trio.CancelScope() as scope:
                scope.cancel()
                await self.service.previews.stop(generation_id)
            await preview.over.wait()
            self.model.state[generation_id] = State.STOPPED


@contextmanager
def expected_refusal(kind: type[PreviewError] | None) -> Iterator[bool]:
    if kind is None:
        yield True
    else:
        with pytest.raises(kind):
            yield False


@given(steps=STEPS)
@hypothesis_settings(
    max_examples=1000,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_a_thousand_lives_go_as_the_model_foretells(
    make_settings: Callable[..., Settings], sqlite_template: Path, tmp_path: Path, steps: list[tuple[Kind, str]]
) -> None:
    data_dir = tmp_path / f"round-{next(NUMBER)}"
    data_dir.mkdir()
    shutil.copy(sqlite_template, data_dir / "preview.db")
    settings = make_settings(data_dir=data_dir, liveness_interval_s=3600, usage_interval_s=3600)
    source, runtime = MemorySource(), FakeRuntime()
    for generation_id in GENERATIONS:
        source.add(generation_id, owner=owner(generation_id))
    with trio.fail_after(30):
        async with open_service(settings, generations=source, runtime=runtime) as service:
            world = World(service, runtime)
            for kind, generation_id in steps:
                await world.step(kind, generation_id)
            for user in OWNERS.values():
                records, _ = await service.previews.list_for_user(user.id, limit=200)
                assert sum(record.is_active for record in records) == world.model.held_by(user)
        assert runtime.live == {}
    shutil.rmtree(data_dir)
