"""The state machines of alerts, against plain models that look at the whole past."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from preview.alerts.budget import SHARE, Budget
from preview.alerts.machine import CoolDown, Edge, Rate, Silence, Threshold

# Whole numbers, so that the models need no tolerance.
STEPS = st.lists(st.integers(0, 20), max_size=60)


def times_of(steps: list[int]) -> list[int]:
    at, found = 0, []
    for step in steps:
        at += step
        found.append(at)
    return found


@given(STEPS, st.integers(1, 5), st.integers(1, 40), st.integers(1, 60))
def test_a_threshold_fires_when_the_window_has_enough_events(
    steps: list[int], count: int, within_s: int, cooldown_s: int
) -> None:
    machine = Threshold(count, within_s, CoolDown(cooldown_s))
    since_firing: list[int] = []
    fired_at = -math.inf
    for at in times_of(steps):
        since_firing.append(at)
        enough = sum(one >= at - within_s for one in since_firing) >= count
        expected = enough and at >= fired_at + cooldown_s
        assert machine.see(at) is expected
        if expected:
            since_firing, fired_at = [], at


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=60), st.integers(1, 40), st.integers(1, 60))
def test_a_silence_fires_once_when_nothing_came(steps: list[tuple[int, bool]], for_s: int, cooldown_s: int) -> None:
    machine = Silence(for_s, CoolDown(cooldown_s))
    machine.start(0)
    at, last, fired_at, has_fired = 0, 0, -math.inf, False
    for step, is_event in steps:
        at += step
        if is_event:
            machine.see(at)
            last, has_fired = at, False
            continue
        expected = not has_fired and at >= last + for_s and at >= fired_at + cooldown_s
        assert (machine.due_at <= at) is expected
        assert machine.check(at) is expected
        if expected:
            has_fired, fired_at = True, at


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=60), st.integers(1, 60))
def test_an_edge_fires_once_for_each_time_it_is_true(steps: list[tuple[int, bool]], cooldown_s: int) -> None:
    machine = Edge(CoolDown(cooldown_s))
    at, fired_at, is_armed = 0, -math.inf, True
    for step, is_true in steps:
        at += step
        is_armed = is_armed or not is_true
        expected = is_true and is_armed and at >= fired_at + cooldown_s
        assert machine.see(at, is_true=is_true) is expected
        if expected:
            fired_at, is_armed = at, False


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=60), st.integers(1, 10), st.integers(1, 8))
def test_a_rate_fires_when_the_share_of_errors_becomes_high(
    steps: list[tuple[int, bool]], tenths: int, at_least: int
) -> None:
    # A window of 30 s has buckets of 1 s, so whole times are exact.
    machine, share = Rate(tenths / 10, 30, at_least, CoolDown(1)), tenths / 10
    seen: list[tuple[int, bool]] = []
    at, was_high, fired_at = 0, False, -math.inf
    for step, is_error in steps:
        at += step
        seen.append((at, is_error))
        window = [error for when, error in seen if when > at - 30]
        is_high = len(window) >= at_least and sum(window) >= share * len(window)
        if not is_high:
            was_high = False
        expected = is_high and not was_high and at >= fired_at + 1
        assert machine.see(at, is_error=is_error) is expected
        if expected:
            was_high, fired_at = True, at


def test_a_clock_that_is_set_back_changes_nothing() -> None:
    machine = Threshold(2, 10, CoolDown(1))
    assert not machine.see(1000)
    assert machine.see(5)
    silence = Silence(10, CoolDown(1))
    silence.start(1000)
    silence.see(5)
    assert silence.due_at == 1010


def test_a_silence_that_is_stopped_is_never_due() -> None:
    machine = Silence(10, CoolDown(1))
    machine.see(5)
    assert machine.due_at == math.inf
    machine.start(7)
    machine.start(9)
    assert machine.due_at == 17
    machine.stop()
    assert not machine.check(1000)


def test_a_cool_down_counts_what_it_prevents() -> None:
    cool_down = CoolDown(60)
    machine = Threshold(1, 1, cool_down)
    assert [machine.see(at) for at in (0, 10, 20, 59, 60)] == [True, False, False, False, True]
    assert cool_down.suppressed == 3


@given(st.lists(st.tuples(st.integers(1, 2), st.floats(0, 1), st.sampled_from("abc")), max_size=60))
def test_rules_within_their_share_are_never_paused(steps: list[tuple[int, float, str]]) -> None:
    budget, at = Budget(0), 0
    for step, part, rule in steps:
        at += step
        assert budget.spend(rule, 0.99 * part * SHARE * step, at) is None


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=40), st.sampled_from("abc"))
def test_of_rules_that_take_too_much_the_costliest_is_paused(order: list[str], costly: str) -> None:
    budget = Budget(0)
    for number, rule in enumerate(order):
        stopped = budget.spend(rule, 0.1 if rule == costly else 0.001, number / 1000)
        if stopped is not None:
            assert stopped == costly
            assert order[: number + 1].count(costly) >= 3
            return
    assert order.count(costly) <= 3
