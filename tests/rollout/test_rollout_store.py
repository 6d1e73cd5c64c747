"""Flags in the database: two operators at once, unreadable rows, outages, and a second process."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio
from sqlalchemy import Connection, insert, update
from structlog.testing import capture_logs

from preview.errors import ConfigurationError, DatabaseUnavailable, InvalidRequest
from preview.people_errors import ContractNotOffered, FlagChanged, IsolationBelowMinimum, LaunchesStopped
from preview.rollout import Flag, FlagName, Rollout, Subject, changed_words, read_flag
from preview.rollout import rollout as module
from preview.settings import Settings, load_settings
from preview.storage import Database, UserStore, open_database, prepare
from preview.storage.people_tables import rollout_flags

ANN = Subject("ann", "free", "p")


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(f"sqlite:///{tmp_path / 'preview.db'}") as opened:
        await prepare(opened, upgrades=True)
        yield opened


def _settings() -> Settings:
    return load_settings(warm_templates=4)


def _rollout(database: Database) -> Rollout:
    return Rollout(database, _settings(), "sandbox", ["container"])


async def test_of_two_operators_at_once_one_is_refused(database: Database) -> None:
    rollout, refused = _rollout(database), []

    async def change(user_id: str) -> None:
        try:
            await rollout.change(FlagName.WARM, {"value": "cold"}, expected=0, user_id=user_id)
        except FlagChanged as error:
            refused.append((user_id, error.details["version"]))

    async with trio.open_nursery() as nursery:
        for user_id in ("olga", "omar"):
            nursery.start_soon(change, user_id)
    assert len(refused) == 1
    assert refused[0][1] == rollout.flag(FlagName.WARM).version == 1
    # A reset keeps counting: an old version never becomes valid again.
    await rollout.change(FlagName.WARM, {}, expected=1, user_id="olga")
    with pytest.raises(FlagChanged):
        await rollout.change(FlagName.WARM, {"value": "cold"}, expected=1, user_id="omar")
    with pytest.raises(InvalidRequest):
        await rollout.change(FlagName.ISOLATION, {"value": "plain"}, expected=None, user_id="olga")


async def test_an_unreadable_row_leaves_the_last_known_values(database: Database) -> None:
    rollout = _rollout(database)
    await rollout.change(FlagName.LAUNCHES, {"value": "off", "reason": "Disk."}, expected=0, user_id="olga")
    await rollout.change(FlagName.WARM, {"value": "cold"}, expected=0, user_id="olga")
    bad = ["[" * 100_000, "no JSON", "[]", '{"value": "x"}', '{"rules": [{"value": "on", "percent": NaN}]}', ""]
    for version, content in enumerate(bad, 7):

        def spoil(connection: Connection, content: str = content, version: int = version) -> int:
            change = update(rollout_flags).where(rollout_flags.c.name == "launches")
            return connection.execute(change.values(content=content, version=version)).rowcount

        await database.write(spoil)
        await rollout.refresh()
        assert "cannot be read" in rollout.problems[FlagName.LAUNCHES]
        with pytest.raises(LaunchesStopped, match="Disk"):
            rollout.choose(ANN)
    fresh = _rollout(database)
    later = insert(rollout_flags).values(name="later", version=1, updated_at=1, updated_by="", content="{")
    await database.write(lambda connection: connection.execute(later).rowcount)
    await fresh.refresh()
    assert fresh.value(FlagName.WARM, ANN) == "cold"
    # The next change mends it.
    await rollout.change(FlagName.LAUNCHES, {}, expected=None, user_id="olga")
    assert FlagName.LAUNCHES not in rollout.problems
    assert rollout.choose(ANN).as_dict()["warm"] == "cold"


async def test_an_outage_keeps_the_values_and_a_second_process_follows(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REFRESH_S", 0.01)
    here, there = _rollout(database), _rollout(database)
    async with trio.open_nursery() as nursery:
        await nursery.start(there.run)
        await here.change(FlagName.CAPTURE, {"value": "off"}, expected=0, user_id="olga")
        with trio.fail_after(10):
            while there.value(FlagName.CAPTURE, ANN) != "off":
                await trio.lowlevel.checkpoint()
        tries = trio.Event()

        async def away() -> None:
            tries.set()
            raise DatabaseUnavailable("away")

        monkeypatch.setattr(there, "refresh", away)
        await tries.wait()
        assert there.value(FlagName.CAPTURE, ANN) == "off"
        nursery.cancel_scope.cancel()


async def test_choices_reach_and_contract(database: Database) -> None:
    rollout, store = _rollout(database), UserStore(database)
    for number in range(40):
        await store.ensure(f"u{number}", "pro" if number < 10 else None)
    assert rollout.choose(ANN).as_dict() == {}
    rules = [{"value": "container", "tiers": ["pro"]}, {"value": "container", "percent": 25}]
    reach = await rollout.reach(read_flag(FlagName.ISOLATION, {"rules": rules}, rollout.offers[FlagName.ISOLATION]))
    assert reach.users == sum(reach.by_value.values()) == 40
    assert 10 < reach.by_value["container"] < 35
    assert reach.is_whole
    assert rollout.flag(FlagName.ISOLATION).is_default
    before, after = await rollout.change(FlagName.ISOLATION, {"rules": rules}, expected=0, user_id="olga")
    assert changed_words(before, after) == "default to container for 1 tier, container for 25 % of users"
    assert rollout.choose(Subject("u1", "pro")).as_dict() == {
        "isolation": "container", "warm": "warm", "tracing": "project", "capture": "meta",
    }  # fmt: skip
    await rollout.check_contract("u1", None, "p")
    await rollout.change(FlagName.CONTRACT, {"rules": [{"value": "v1", "tiers": ["pro"]}]}, expected=0, user_id="o")
    with pytest.raises(ContractNotOffered):
        await rollout.check_contract("u1", None, "p")
    await rollout.check_contract("u20", None, "p")
    with pytest.raises(InvalidRequest):
        await Rollout(None, _settings(), "plain").refresh()
    assert json.loads(json.dumps(Flag(FlagName.WARM).content())) == {"value": None, "rules": [], "reason": ""}


def _with_minimum(text: str, level: str, further: list[str]) -> Rollout:
    return Rollout(None, load_settings(isolation_minimum=text), level, further)


@pytest.mark.parametrize(
    "text", ["vm", "free", "gold=container", "free=", "=container", "free=vm", "container=free", "free=plain;"]
)
def test_a_minimum_that_is_none_is_one_sentence(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREVIEW_ISOLATION_MINIMUM", text)
    with pytest.raises(ConfigurationError, match="PREVIEW_ISOLATION_MINIMUM"):
        load_settings()


def test_no_flag_and_no_tier_comes_below_the_minimum() -> None:
    free, pro, odd = (Subject("u", tier, "p") for tier in ("free", "pro", "gold"))
    rollout = _with_minimum("free=container", "sandbox", ["container"])
    # Neither the default, nor a rule, nor a tier of an unknown name: that is `free`.
    contents: list[dict[str, Any]] = [{}, {"value": "sandbox"}, {"rules": [{"value": "sandbox", "users": ["u"]}]}]
    for content in contents:
        rollout._take(read_flag(FlagName.ISOLATION, content, rollout.offers[FlagName.ISOLATION]))
        assert rollout.choose(free).values[FlagName.ISOLATION] == "container"
        assert rollout.choose(odd).values[FlagName.ISOLATION] == "container"
        assert rollout.choose(pro).changed(FlagName.ISOLATION) is None
    assert not rollout.choose(free).is_ordinary
    with pytest.raises(IsolationBelowMinimum):
        rollout.check_level(free, "sandbox")
    rollout.check_level(pro, "sandbox")


@pytest.mark.parametrize(("level", "further"), [("plain", ["sandbox"]), ("sandbox", []), ("of a host", [])])
def test_a_service_without_the_level_refuses_with_one_sentence(level: str, further: list[str]) -> None:
    rollout = _with_minimum("container", level, further)
    with pytest.raises(
        IsolationBelowMinimum, match=f"need at least the isolation `container` here.*{level}"
    ) as refused:
        rollout.choose(Subject("u", "enterprise", "p"))
    assert refused.value.details["minimum"] == "container"


def test_each_tier_without_its_level_is_logged() -> None:
    rollout = _with_minimum("free=container,pro=sandbox", "sandbox", [])
    with capture_logs() as logged:
        rollout.tell_refused_tiers()
    assert [(one["event"], one["tier"]) for one in logged] == [("isolation below minimum", "free")]
