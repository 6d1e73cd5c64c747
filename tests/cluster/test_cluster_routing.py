"""The cache of owners: how stale it may be, and what drops an answer."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import trio
import trio.testing

from preview.cluster.routing import FRESH_S, Owner, Router, Subject
from preview.errors import DatabaseUnavailable

HERE, THERE = Owner("a", "10.0.0.1:1", 1), Owner("b", "10.0.0.2:1", 1)
PREVIEW, GENERATION = Subject("preview_x", is_generation=False), Subject("gen_x", is_generation=True)


@dataclass
class Directory:
    owner: Owner | None = THERE
    preview: str | None = "preview_x"
    asked: int = 0
    at_once: int = 0
    most_at_once: int = 0
    is_down: bool = False
    previews_asked: int = 0
    pause: list[trio.Event] = field(default_factory=list)

    async def owner_of(self, preview_id: str) -> Owner | None:
        assert preview_id.startswith("preview_")
        self.asked += 1
        owner = self.owner
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        for event in self.pause:
            await event.wait()
        await trio.lowlevel.checkpoint()
        self.at_once -= 1
        if self.is_down:
            raise DatabaseUnavailable("down")
        return owner

    async def preview_of(self, generation_id: str) -> str | None:
        self.previews_asked += 1
        for event in self.pause:
            await event.wait()
        return self.preview


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


async def test_an_owner_is_asked_for_once_while_the_answer_is_fresh() -> None:
    directory, clock = Directory(), Clock()
    router = Router("a", directory, now=clock)
    assert router.known(GENERATION) is None
    for _ in range(3):
        assert await router.find(GENERATION) == THERE
    found = router.known(GENERATION)
    assert (directory.asked, found) == (1, THERE)
    clock.now = FRESH_S
    assert router.known(GENERATION) is None
    # The same object: requests that were admitted stay admitted.
    directory.owner = Owner(*THERE)
    assert await router.find(GENERATION) is found


@pytest.mark.parametrize("owner", [HERE, None])
async def test_this_node_and_nobody_are_not_passed_on_to(owner: Owner | None) -> None:
    directory, clock = Directory(owner), Clock()
    router = Router("a", directory, now=clock)
    assert await router.find(PREVIEW) is None
    # A launch elsewhere is found sooner than a change of the owner.
    directory.owner = THERE
    assert await router.find(PREVIEW) is None
    clock.now = FRESH_S / 2
    assert await router.find(PREVIEW) == THERE


@pytest.mark.parametrize("subject", [PREVIEW, GENERATION])
async def test_a_notice_drops_the_answers_about_its_preview(subject: Subject) -> None:
    directory = Directory()
    router = Router("a", directory, now=Clock())
    await router.find(subject)
    router.forget_preview("preview_y")
    assert router.known(subject) == THERE
    router.forget_preview("preview_x")
    assert router.known(subject) is None


async def test_a_notice_overtakes_a_lookup() -> None:
    """The lookup's answer may be from before the change: it is not kept."""
    go_on = trio.Event()
    directory = Directory(pause=[go_on])
    router = Router("a", directory, now=Clock())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(router.find, PREVIEW)
        await trio.testing.wait_all_tasks_blocked()
        router.forget_preview("preview_x")
        go_on.set()
    assert router.known(PREVIEW) is None


@pytest.mark.parametrize(
    ("subject", "preview", "is_kept"),
    [(PREVIEW, "preview_x", True), (GENERATION, "preview_x", True), (GENERATION, None, False)],
)
async def test_a_notice_about_another_preview_overtakes_only_answers_that_it_may_change(
    subject: Subject, preview: str | None, is_kept: bool
) -> None:
    go_on = trio.Event()
    directory = Directory(pause=[go_on], preview=preview)
    router = Router("a", directory, now=Clock())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(router.find, subject)
        await trio.testing.wait_all_tasks_blocked()
        router.forget_preview("preview_y")
        go_on.set()
    before = directory.asked + directory.previews_asked
    await router.find(subject)
    assert (directory.asked + directory.previews_asked == before) is is_kept


async def test_without_the_database_the_last_answer_stands() -> None:
    directory, clock = Directory(), Clock()
    router = Router("a", directory, now=clock)
    await router.find(PREVIEW)
    clock.now, directory.is_down = 1000.0, True
    assert await router.find(PREVIEW) == THERE
    with pytest.raises(DatabaseUnavailable):
        await router.find(Subject("preview_z", is_generation=False))


async def test_strangers_names_take_few_connections_of_the_database() -> None:
    directory = Directory()
    router = Router("a", directory, now=Clock())
    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(router.find, Subject(f"preview_{number}", is_generation=False))
    assert directory.most_at_once == 2


async def test_a_node_without_a_lease_waits_for_no_database() -> None:
    directory, clock, leases = Directory(), Clock(), [True]
    router = Router("a", directory, now=clock, holds=lambda: leases[0])
    assert await router.find(PREVIEW) == THERE
    leases[0], clock.now = False, FRESH_S
    # The last answer stands; without one there is none.
    assert await router.find(PREVIEW) == THERE
    with pytest.raises(DatabaseUnavailable):
        await router.find(GENERATION)
    assert directory.asked == 1
    # That nobody had it is no answer.
    leases[0], directory.owner = True, None
    assert await router.find(PREVIEW) is None
    leases[0], clock.now = False, 2 * FRESH_S
    with pytest.raises(DatabaseUnavailable):
        await router.find(PREVIEW)
