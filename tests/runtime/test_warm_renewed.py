"""Templates that an operator drops or has made again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio
import trio.testing

from preview.runtime.warm.origin import TemplateOrigin
from preview.runtime.warm.packets import open_pair
from preview.runtime.warm.pool import Bounds, TemplatePool
from preview.runtime.warm.template_process import NoTemplate, Template, Told, UnsafeModule
from preview.runtime.warm.wanted import RememberedTemplates, Wanted

settled = trio.testing.wait_all_tasks_blocked


@dataclass
class Maker:
    """Makes templates without a process."""

    failures: list[Exception] = field(default_factory=list)
    slow: trio.Event | None = None
    at_end: list[Exception] = field(default_factory=list)
    made: list[Wanted] = field(default_factory=list)
    open: int = 0
    ended: int = 0

    @asynccontextmanager
    async def __call__(self, wanted: Wanted) -> AsyncIterator[Template]:
        self.made.append(wanted)
        if self.failures:
            raise self.failures.pop(0)
        if self.slow is not None:
            try:
                await self.slow.wait()
            except trio.Cancelled:
                if self.at_end:
                    raise self.at_end.pop(0) from None
                raise
        with ExitStack() as stack:
            ours, _theirs = stack.enter_context(open_pair())
            self.open += 1
            try:
                yield Template(ours, Told(1, frozenset(), {}, 1), TemplateOrigin(None, 0, frozenset()))
            finally:
                self.open -= 1
                self.ended += 1


@pytest.fixture
def maker() -> Maker:
    return Maker()


@pytest.fixture
def wanted(tmp_path: Path) -> Wanted:
    return Wanted("key", tmp_path / "python", tmp_path, (), frozenset({"one"}), ())


@pytest.fixture
async def pool(tmp_path: Path, maker: Maker) -> AsyncIterator[TemplatePool]:
    async with trio.open_nursery() as nursery:
        bounds = Bounds(templates=1, memory_bytes=1, max_age_s=60)
        yield TemplatePool(nursery, maker, bounds, RememberedTemplates(tmp_path))
        nursery.cancel_scope.cancel()
    assert maker.open == 0


@contextmanager
def refused(why: str) -> Iterator[None]:
    with pytest.raises(NoTemplate, match=why):
        yield


async def test_an_unknown_key_changes_nothing(pool: TemplatePool, maker: Maker) -> None:
    assert not pool.drop("../key")
    assert not pool.rebuild("")
    await settled()
    assert (maker.made, pool.facts()) == ([], [])


async def test_a_dropped_template_ends_once_unused_and_is_made_again_when_wanted(
    pool: TemplatePool, maker: Maker, wanted: Wanted
) -> None:
    pool.want(wanted)
    await settled()
    with pool.use(wanted) as template:
        retired = pool.retired(template)
        assert pool.drop("key")
        assert pool.drop("key"), "twice is as once"
        await settled()
        assert (pool.ready, retired.is_set(), maker.open) == ([], True, 1)
    await settled()
    assert maker.open == 0
    (facts,) = pool.facts()
    assert facts.why_not == "an operator dropped its template"
    with refused("an operator dropped its template"):
        pool.current(wanted)
    await settled()
    assert pool.ready == ["key"]


async def test_a_template_that_is_being_made_is_dropped_too(pool: TemplatePool, maker: Maker, wanted: Wanted) -> None:
    maker.slow = trio.Event()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def wait() -> None:
            assert not await pool.wait_current(wanted)

        await settled()
        assert pool.drop("key")
    maker.slow = None
    await settled()
    assert pool.ready == []
    assert await pool.wait_current(wanted)
    assert len(maker.made) == 2


async def test_a_failure_while_a_template_is_dropped_puts_nothing_off(
    pool: TemplatePool, maker: Maker, wanted: Wanted
) -> None:
    maker.at_end = [NoTemplate("no memory"), UnsafeModule("one", "it starts a thread")]
    for count in (1, 2):
        maker.slow = trio.Event()
        pool.want(wanted)
        await settled()
        assert pool.drop("key")
        await settled()
        assert (len(maker.made), len(maker.at_end)) == (count, 2 - count)
    maker.slow = None
    assert await pool.wait_current(wanted)
    assert maker.made[-1].modules == {"one"}


async def test_a_rebuilt_template_serves_until_the_new_one_is_ready(
    pool: TemplatePool, maker: Maker, wanted: Wanted
) -> None:
    pool.want(wanted)
    await settled()
    first = pool.current(wanted)
    maker.slow = trio.Event()
    assert pool.rebuild("key")
    assert pool.rebuild("key"), "twice is as once"
    await settled()
    assert pool.current(wanted) is first
    maker.slow.set()
    await settled()
    assert pool.current(wanted) is not first
    assert (len(maker.made), maker.open) == (2, 1)


async def test_a_rebuild_forgets_earlier_failures_and_left_out_modules(
    pool: TemplatePool, maker: Maker, wanted: Wanted
) -> None:
    maker.failures = [UnsafeModule("one", "it starts a thread"), NoTemplate("no memory")]
    assert not await pool.wait_current(wanted)
    with refused("no memory"):
        pool.current(wanted)
    await settled()
    assert [one.modules for one in maker.made] == [{"one"}, frozenset()]
    assert pool.rebuild("key")
    await settled()
    assert maker.made[-1].modules == {"one"}
    assert pool.ready == ["key"]
