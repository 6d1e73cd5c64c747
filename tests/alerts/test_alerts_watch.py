"""The watch of one preview with stand-ins: what it charges, what it misses, and rules that were given up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from time import thread_time
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing
from pydantic import TypeAdapter

from preview.alerts import past as past_module
from preview.alerts.alerts import Alerts
from preview.alerts.conditions import Condition
from preview.alerts.engine import AlertEngine
from preview.alerts.evaluation import Evaluation, Fact
from preview.alerts.machine import CoolDown
from preview.alerts.requests import RequestReader
from preview.alerts.rule import Rule, Scope
from preview.alerts.watch import LINES_S, PreviewWatch
from preview.core.clock import now_ms, utc_now
from preview.core.lifecycle import Health, State
from preview.logs import Batch, End, StatusChange
from preview.logs.filter import regex
from preview.traffic import Draft, Origin, RecordedRequest, Who


def condition_of(**fields: object) -> Condition:
    made: Condition = TypeAdapter(Condition).validate_python(fields)
    return made


def rule_of(name: str, **fields: object) -> Rule:
    return Rule(name, "ann", name, condition_of(**fields), Scope(), 1.0, True, None, utc_now(), utc_now())


def request_draft(target: bytes) -> Draft:
    return Draft(
        b"r-1", Origin.BROWSER, Who.OWNER, "GET", target, 500, None, now_ms(), 0.0, 0.001, 0.01, 0.02, 0, 0, 0, 1
    )


def batch_of(*texts: str) -> Batch:
    return Batch("p1", 1, [0] * len(texts), bytes([1]) * len(texts), list(texts))


class World:
    """Preview, owner and budget of a watch."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = rules
        self.said: list[str] = []
        self.fired: list[str] = []
        self.facts: list[Fact] = []
        self.given_up: list[str] = []
        self.charged: list[float] = []
        listeners: set[object] = set()
        broadcast = SimpleNamespace(add=listeners.add, remove=listeners.discard)
        self.preview = SimpleNamespace(
            id="p1",
            record=SimpleNamespace(user_id="ann", generation_id="g1", project_id="", state=State.RUNNING),
            restarts=0,
            crash=None,
            usage=None,
            traffic=SimpleNamespace(listeners=[]),
            log=SimpleNamespace(last_seq=0, broadcast=broadcast, say=lambda text, _: self.said.append(text)),
        )
        made: Any = self
        self.watch = PreviewWatch(made.preview, made, made, memory_limit_bytes=1, usage_interval_s=1)
        self.watch.attach()

    async def rules_for(self, _: str) -> Sequence[Rule]:
        await trio.lowlevel.checkpoint()
        return self.rules

    def cool_down(self, _: Rule, __: str) -> CoolDown:
        return CoolDown(1)

    def fire(self, _: object, rule: Rule, fact: Fact, __: int) -> None:
        assert fact.summary
        self.fired.append(rule.id)
        self.facts.append(fact)

    def give_up(self, rule: Rule, fault: str) -> None:
        assert "took too long" in fault
        self.given_up.append(rule.id)

    def spend(self, _: str, seconds: float, __: float) -> None:
        self.charged.append(seconds)

    async def take(self, *events: object) -> None:
        for event in events:
            if isinstance(event, Draft):
                self.watch.offer_request(1, event)
            else:
                self.watch.offer(event)  # type: ignore[arg-type]
        await trio.testing.wait_all_tasks_blocked()


@pytest.fixture
def clean_patterns() -> Iterator[None]:
    yield
    regex.pattern_of.cache_clear()


async def test_reading_a_request_is_charged_to_the_rules(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = RequestReader.read

    def slow(self: RequestReader, number: int, draft: Draft, last_line: int) -> RecordedRequest:
        ends_at = thread_time() + 0.01
        while thread_time() < ends_at:
            pass
        return real(self, number, draft, last_line)

    monkeypatch.setattr(RequestReader, "read", slow)
    world = World([rule_of(name, kind="matches", on="requests", filter="status:500") for name in ("a", "b")])
    nursery.start_soon(world.watch.run)
    await world.take(request_draft(b"/"))
    world.preview.log.last_seq = 2
    await trio.sleep(LINES_S)
    await trio.testing.wait_all_tasks_blocked()
    assert world.fired == ["a", "b"]
    assert sum(world.charged) >= 0.01
    assert min(world.charged) >= 0.005


async def test_the_lines_of_a_request_are_those_that_come_soon_after_its_response(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    world = World([rule_of("a", kind="matches", on="requests", filter="status:500")])
    nursery.start_soon(world.watch.run)
    await world.take(request_draft(b"/"))
    assert world.facts == []
    world.preview.log.last_seq = 3
    await trio.sleep(LINES_S + 0.01)
    assert [(one.first_line, one.last_line) for one in world.facts] == [(1, 3)]


async def test_the_end_of_a_preview_waits_for_no_lines(nursery: trio.Nursery) -> None:
    world = World([rule_of("a", kind="matches", on="requests", filter="status:500")])
    nursery.start_soon(world.watch.run)
    await world.take(request_draft(b"/"), ended_by(0, None))
    assert [(one.request, one.first_line) for one in world.facts] == [(1, None)]
    assert world.watch.done.is_set()


def test_rules_see_a_part_of_a_long_target() -> None:
    read = RequestReader("p1").read(1, request_draft(b"/?" + b"a=%20&" * 2600), 1)
    assert read.target.startswith("/?a=")
    assert len(read.target) <= 4096


async def test_a_rule_sees_the_first_restart_after_it_was_made(nursery: trio.Nursery) -> None:
    world = World([rule_of("a", kind="event", event="restarted")])
    world.preview.restarts = 2
    nursery.start_soon(world.watch.run)
    # The rules are read.
    await world.take()
    await world.take(StatusChange("p1", State.RUNNING, Health.UNKNOWN, None, now_ms(), (), 3))
    assert world.fired == ["a"]
    # A change that is older than the rule's start counts for nothing.
    older = rule_of("b", kind="event", event="restarted")
    world.rules = [older]
    world.preview.restarts = 4
    world.watch.rules_changed()
    await world.take(*(StatusChange("p1", State.RUNNING, Health.UNKNOWN, None, now_ms(), (), one) for one in (3, 4)))
    assert world.fired == ["a"]


async def test_a_rule_sees_each_crash_also_the_one_that_ends_the_preview(nursery: trio.Nursery) -> None:
    world = World([rule_of("a", kind="event", event="crashed")])
    nursery.start_soon(world.watch.run)
    await world.take()
    crashed = StatusChange("p1", State.RUNNING, Health.UNHEALTHY, None, now_ms(), (), 0, 1, "exit code 1")
    again = StatusChange("p1", State.RUNNING, Health.HEALTHY, None, now_ms(), (), 1, 1, "exit code 1")
    await world.take(crashed, again)
    assert world.fired == ["a"]

    rule = Evaluation(rule_of("b", kind="event", event="crashed"), CoolDown(1), 1)
    first, none, last = rule.status(crashed, 1.0), rule.status(again, 2.0), rule.end(ended_by(1, None), 3.0)
    assert first is not None
    assert first.summary.endswith(": exit code 1; it is started again")
    assert none is None
    assert last is not None
    assert last.summary.endswith(": it ended")
    for stopped in (ended_by(15, "user"), ended_by(0, None)):
        assert Evaluation(rule.rule, CoolDown(1), 1).end(stopped, 1.0) is None


def ended_by(code: int, cause: str | None) -> End:
    return End("p1", State.STOPPED if cause else State.FAILED, "it ended", code, None, now_ms(), cause)


def spend_all(pattern: str) -> None:
    for _ in range(4):
        regex.pattern_of(pattern, ignores_case=False).charge(1.0, 1, 1)


@pytest.mark.usefixtures("clean_patterns")
async def test_a_rule_that_is_given_up_says_so_once_and_the_others_go_on(nursery: trio.Nursery) -> None:
    world = World([rule_of("a", kind="matches", filter="/x+/"), rule_of("b", kind="matches", filter="y")])
    nursery.start_soon(world.watch.run)
    await world.take(batch_of("xx"))
    assert world.fired == ["a"]
    spend_all("x+")
    await world.take(batch_of("xx"), batch_of("xx"))
    assert world.given_up == ["a"]
    assert [one for one in world.said if "does not match any more" in one and "took too long" in one]
    # The next reading of the rules must not fail.
    world.watch.rules_changed()
    await world.take(batch_of("y"))
    assert world.fired == ["a", "b"]


@pytest.mark.usefixtures("clean_patterns")
async def test_the_fault_of_a_rule_stays_until_its_condition_changes(nursery: trio.Nursery) -> None:
    unused: Any = SimpleNamespace()
    engine = AlertEngine(nursery, unused, unused, unused, unused)
    alerts, rule = Alerts(unused, engine, unused, unused), rule_of("a", kind="matches", filter="/x+/")
    assert alerts.fault(rule) is None
    spend_all("x+")
    assert "too long" in (alerts.fault(rule) or "")
    engine.give_up(rule, "it took too long")
    # The expression is not in use any more.
    regex.pattern_of.cache_clear()
    assert "too long" in (alerts.fault(rule) or "")
    assert alerts.fault(rule_of("a", kind="matches", filter="x")) is None


class Lines:
    """A store with one page of lines."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.readers = self.most_readers = 0

    async def bounds(self, _: str) -> tuple[int, int]:
        await trio.lowlevel.checkpoint()
        return 1, self.count

    async def read_page(self, _: str, *, after: int, limit: int) -> object:
        assert (after, limit) == (0, 1000)
        self.readers += 1
        self.most_readers = max(self.most_readers, self.readers)
        await trio.testing.wait_all_tasks_blocked()
        self.readers -= 1
        return SimpleNamespace(batches=[batch_of(*["x"] * self.count)])


async def test_a_users_trials_wait_in_turn_and_those_of_others_do_not() -> None:
    lines: Any = Lines(3)
    unused: Any = SimpleNamespace()
    alerts, condition = Alerts(unused, unused, lines, unused), condition_of(kind="matches", filter="x")

    async def try_out(user_id: str) -> None:
        assert (await alerts.try_out(condition, 1, "p1", user_id=user_id)).matched == 3

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(try_out, "ann")
    assert lines.most_readers == 1
    async with trio.open_nursery() as nursery:
        nursery.start_soon(try_out, "ann")
        nursery.start_soon(try_out, "bob")
    assert lines.most_readers == 2
    assert not alerts._trying


async def test_a_trial_gives_others_their_turns_by_the_time_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    at = 0.0

    def thread_time_of_slow_lines() -> float:
        nonlocal at
        at += 0.001
        return at

    monkeypatch.setattr(past_module, "thread_time", thread_time_of_slow_lines)
    lines: Any = Lines(60)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += lines.readers == 0 and at > 0.002

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        lines.read_page = read_at_once(lines)
        await past_module.try_on_lines(lines, "p1", condition_of(kind="matches", filter="x"), 1)
        nursery.cancel_scope.cancel()
    assert turns >= 10


def read_at_once(lines: Lines) -> Any:
    async def read_page(_: str, *, after: int, limit: int) -> object:
        assert after < limit
        await trio.lowlevel.checkpoint()
        return SimpleNamespace(batches=[batch_of(*["x"] * lines.count)])

    return read_page


async def test_a_rule_without_a_name_is_called_by_its_condition(nursery: trio.Nursery) -> None:
    world = World([replace(rule_of("a", kind="matches", on="requests", filter="status:500"), name="")])
    nursery.start_soon(world.watch.run)
    await world.take(request_draft(b"/"), ended_by(0, None))
    assert world.said == ["alert \"a request matches 'status:500' (GET / 500)\" fired"]
