"""Rules of flags: hostile ones are refused; a decision is stable, and a larger share only adds subjects."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from preview.cli.canary import next_step, read_steps, why_not
from preview.cli.exits import UsageMistake
from preview.core.isolation import Isolation
from preview.errors import InvalidRequest
from preview.rollout import Choices, Flag, FlagName, Rule, Subject, read_flag, stored_arms
from preview.rollout.decision import BUCKETS, bucket, decide
from preview.rollout.flags import ALL_VALUES, MOST_NAMES, MOST_REASON, MOST_RULES, By, clean_reason
from preview.rollout.offers import offers
from preview.settings import load_settings

_SUBJECTS = st.builds(
    Subject, st.text(max_size=20), st.sampled_from(["free", "pro", "enterprise"]), st.text(max_size=20)
)
_SHARE: dict[str, Any] = {"value": "cold", "percent": 5}


def _rules(*rules: object) -> dict[str, Any]:
    return {"rules": list(rules)}


@pytest.mark.parametrize(
    "content",
    [
        {"value": "off", "colour": "red"},
        {"value": 1},
        {"value": "warmest"},
        {"value": "warm", "reason": ["x"]},
        {"rules": "cold"},
        _rules("cold"),
        _rules({}),
        _rules({"value": "cold", "sql": "DROP TABLE users"}),
        _rules(*[_SHARE] * (MOST_RULES + 1)),
        _rules({"value": "cold", "users": []}),
        _rules({"value": "cold", "users": "ann"}),
        _rules({"value": "cold", "users": [1]}),
        _rules({"value": "cold", "users": ["ann\x00"]}),
        _rules({"value": "cold", "users": ["\x1b[31mann"]}),
        _rules({"value": "cold", "users": ["ann\ud800"]}),
        _rules({"value": "cold", "users": ["a" * 129]}),
        _rules({"value": "cold", "users": [f"u{number}" for number in range(MOST_NAMES + 1)]}),
        _rules({"value": "cold", "projects": ["../etc"]}),
        _rules({"value": "cold", "tiers": ["emperor"]}),
        _rules({"value": "cold", "percent": 5, "by": "moon"}),
        *(_rules(_SHARE | {"percent": wrong}) for wrong in (math.nan, math.inf, -1, -0.01, 100.01, 1e300, "5", True)),
    ],
)
def test_a_hostile_flag_is_refused(content: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        read_flag(FlagName.WARM, content)


def test_no_rule_lowers_the_isolation_below_what_the_settings_demand() -> None:
    for isolation in (Isolation.AUTO, Isolation.REQUIRE):
        offer = offers(load_settings(isolation=isolation), "sandbox", ["plain", "container"])[FlagName.ISOLATION]
        assert offer.values == ("sandbox", "container")
        for content in ({"value": "plain"}, _rules({"value": "plain", "users": ["ann"]})):
            with pytest.raises(InvalidRequest, match="demands at least sandbox"):
                read_flag(FlagName.ISOLATION, content, offer)
        # A row of the database with such a rule counts for nothing.
        stored = read_flag(FlagName.ISOLATION, {"value": "plain", "rules": [{"value": "plain"}]})
        assert decide(stored, Subject("ann", "free"), offer.default, offer.values) == "sandbox"
    trusting = offers(load_settings(isolation="trusted"), "sandbox", ["plain"])[FlagName.ISOLATION]
    assert trusting.values == ("plain", "sandbox")
    assert "doctor" in trusting.why_not["container"]
    assert offers(load_settings(), "the host's", ["plain"])[FlagName.ISOLATION].values == ("the host's",)


@given(_SUBJECTS, st.sampled_from(list(By)), st.lists(st.integers(0, BUCKETS), min_size=2, max_size=5))
def test_a_larger_share_only_adds_subjects_and_a_decision_is_stable(
    subject: Subject, by: By, shares: list[int]
) -> None:
    got = [
        decide(Flag(FlagName.WARM, rules=(Rule("cold", hundredths=share, by=by),)), subject, "warm", ("warm", "cold"))
        for share in sorted(shares)
    ]
    assert got == sorted(got, reverse=True)
    assert 0 <= bucket(FlagName.WARM, subject, by) == bucket(FlagName.WARM, subject, by) < BUCKETS
    nobody, all_ = (Flag(FlagName.WARM, rules=(Rule("cold", hundredths=share, by=by),)) for share in (0, BUCKETS))
    assert decide(nobody, subject, "warm", ("warm", "cold")) == "warm"
    assert decide(all_, subject, "warm", ("warm", "cold")) == "cold"


def test_shares_are_about_right_and_flags_are_independent() -> None:
    people = [Subject(f"user{number}", "free") for number in range(4000)]
    first = {one.user_id for one in people if bucket(FlagName.WARM, one, By.USER) < BUCKETS // 4}
    second = {one.user_id for one in people if bucket(FlagName.CAPTURE, one, By.USER) < BUCKETS // 4}
    assert 900 < len(first) < 1100
    assert 180 < len(first & second) < 320
    # Where a name ends does not matter for the hash.
    moved = (Subject("ab", "free", "c"), Subject("a", "free", "bc"))
    assert len({bucket(FlagName.WARM, one, By.PROJECT) for one in moved}) == 2


@given(_SUBJECTS)
def test_the_first_rule_that_applies_decides(subject: Subject) -> None:
    rules = (
        Rule("cold", users=frozenset({subject.user_id}), tiers=frozenset({"no such"})),
        Rule("cold", projects=frozenset({f"{subject.project_id}x"})),
        Rule("warm", users=frozenset({subject.user_id}), tiers=frozenset({subject.tier})),
        Rule("cold"),
    )
    assert decide(Flag(FlagName.WARM, "cold", rules), subject, "cold", ("warm", "cold")) == "warm"
    assert decide(Flag(FlagName.WARM, "cold", rules[:2]), subject, "warm", ("warm", "cold")) == "cold"
    assert decide(Flag(FlagName.WARM, None, rules[:2]), subject, "warm", ("warm", "cold")) == "warm"


@given(st.sampled_from(list(FlagName)), st.data())
def test_a_flag_survives_its_json(name: FlagName, data: st.DataObject) -> None:
    names = st.frozensets(st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True), max_size=3)
    rule = st.builds(
        Rule, st.sampled_from(ALL_VALUES[name]), names, st.frozensets(st.sampled_from(["free", "pro"])), names,
        st.integers(0, BUCKETS), st.sampled_from(list(By)),
    )  # fmt: skip
    value = st.none() | st.sampled_from(ALL_VALUES[name])
    flag = Flag(name, data.draw(value), tuple(data.draw(st.lists(rule, max_size=4))), "Back at noon.")
    assert read_flag(name, flag.content()) == flag


@given(st.text(max_size=2000))
@example("0\r\x1b\r0")
def test_a_reason_is_one_bounded_printable_line(text: str) -> None:
    cleaned = clean_reason(text)
    assert cleaned.isprintable()
    assert len(cleaned) <= MOST_REASON
    assert clean_reason(cleaned) == cleaned


def test_choices_become_settings_of_one_launch() -> None:
    settings = load_settings(warm_templates=4, capture="meta")
    defaults = {
        FlagName.ISOLATION: "sandbox",
        FlagName.WARM: "warm",
        FlagName.TRACING: "project",
        FlagName.CAPTURE: "meta",
    }
    same = Choices(defaults, defaults)
    assert same.is_ordinary
    assert same.applied(settings) is settings
    assert same.trace is None
    other = Choices(defaults | {FlagName.WARM: "cold", FlagName.TRACING: "off", FlagName.CAPTURE: "full"}, defaults)
    applied = other.applied(settings)
    assert (applied.warm_templates, applied.warm_snapshots, applied.capture) == (0, False, "full")
    assert not other.is_ordinary
    assert other.trace is False
    for text in (
        None, "{}", '{"flags"', '{"flags": 1}', '["flags"]', '{"flags": ' + "[" * 5000,
        '{"flags": {"warm": 1, "x": "y"}}',
        '{"start": {"command": "{\\"flags\\": {\\"warm\\": \\"cold\\"}}"}}',
    ):  # fmt: skip
        assert stored_arms(text) == {}
    assert stored_arms('{"flags": {"warm": "cold"}}') == {"warm": "cold"}


@pytest.mark.parametrize("text", ["", "5,5", "50,25", "0,5", "101", "nan", "5,inf", "x", ",".join(["1"] * 99)])
def test_wrong_steps_are_refused(text: str) -> None:
    with pytest.raises(UsageMistake):
        read_steps(text)


def test_a_canary_moves_one_step_and_only_without_more_failures() -> None:
    steps = read_steps("5,25,50,100")
    other = {"value": "sandbox", "users": ["ann"], "percent": 50, "by": "user"}
    rules: list[dict[str, Any]] = [other]
    for before, after in ((0, 5), (5, 25), (25, 50), (50, 100)):
        step = next_step(rules, "container", steps)
        assert step is not None
        assert (step.before, step.after) == (before, after)
        assert step.rules[0] == other
        rules = step.rules
    assert next_step(rules, "container", steps) is None
    arms = [
        {"value": "sandbox", "launches": 100, "failed": 3},
        {"value": "container", "launches": 20, "failed": 1},
    ]
    assert why_not("container", 0, []) is None
    assert "no launch" in (why_not("container", 5, arms[:1]) or "")
    assert "1 of 20" in (why_not("container", 5, arms) or "")
    assert why_not("container", 5, [arms[0], arms[1] | {"failed": 0}]) is None


def test_a_value_that_is_offered_has_no_reason_against_it() -> None:
    for settings in (load_settings(), load_settings(warm_templates=0)):
        for name, offer in offers(settings, "sandbox", ["plain"]).items():
            assert not set(offer.values) & set(offer.why_not), name
