"""A few hundred faults against a real service, drawn anew in each run; benchmarks/faults.py injects thousands.

The seed is printed: PREVIEW_TEST_FAULT_SEED=SEED sees the same again.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from fault_campaign import ALL_KINDS, Campaign
from fault_kinds import Kind
from fault_kinds_crowd import crowd
from fault_kinds_postgres import postgres_kinds
from fault_machine import small_disk
from fault_postgres import Postgres
from fault_world import World, open_world

# Some take longer than a test may: benchmarks/faults.py has them.
_LONG = {"database locked for long", "crowd of connections"}


@pytest.fixture
def seed() -> int:
    given = os.environ.get("PREVIEW_TEST_FAULT_SEED")
    chosen = int(given) if given else random.SystemRandom().randrange(10**6)
    print(f"PREVIEW_TEST_FAULT_SEED={chosen}")
    return chosen


def of_module(name: str) -> list[Kind]:
    return [kind for kind in ALL_KINDS if kind.inject.__module__ == name and kind.name not in _LONG]


async def inject(world: World, seed: int, kinds: list[Kind], faults: int) -> Campaign:
    campaign = Campaign(world, seed, kinds, round_size=8)
    await campaign.each_once()
    await campaign.run(faults)
    assert campaign.tally.total >= faults
    return campaign


@pytest.mark.long
async def test_killed_previews_and_vanished_clients_at_once_leave_nothing_and_cost_nobody_a_line(
    tmp_path: Path, cache: Path, seed: int
) -> None:
    async with open_world(tmp_path, cache) as world:
        # One service for all of them: a start costs as much as a round, and they meet each other.
        kinds = of_module("fault_kinds_process") + of_module("fault_kinds_clients")
        await inject(world, seed, kinds, 85)
        await crowd(world, random.Random(seed), 300)
        await world.check()


@pytest.mark.long
async def test_previews_without_a_sandbox_whose_processes_are_killed_or_stopped_leave_nothing(
    tmp_path: Path, cache: Path, seed: int
) -> None:
    async with open_world(tmp_path, cache, ISOLATION="plain") as world:
        await inject(world, seed, of_module("fault_kinds_process"), 20)


@pytest.mark.long
async def test_a_service_that_is_killed_ended_or_stopped_is_back_as_if_nothing_had_been(
    tmp_path: Path, cache: Path, seed: int
) -> None:
    async with open_world(tmp_path, cache) as world:
        # Some of them in each run: every one takes a start or two of the service.
        kinds = random.Random(seed).sample(of_module("fault_kinds_service"), 3)
        campaign = Campaign(world, seed, kinds)
        await campaign.each_once()
        await world.check_all_lines()


@pytest.mark.long
async def test_a_service_short_of_descriptors_disk_or_its_database_says_so_and_goes_on(
    tmp_path: Path, cache: Path, seed: int
) -> None:
    kinds = of_module("fault_kinds_shortage")
    with small_disk(tmp_path / "disk", 64) as disk:
        if disk is None:
            kinds = [kind for kind in kinds if kind.needs != "tmpfs"]
        data = None if disk is None else disk / "data"
        async with open_world(tmp_path / "world", cache, data_folder=data) as world:
            campaign = Campaign(world, seed, kinds)
            await campaign.each_once()
            await world.check_all_lines()


@pytest.mark.long
async def test_postgres_restarted_under_load_costs_no_line(
    tmp_path: Path, cache: Path, seed: int, server: Postgres
) -> None:
    async with open_world(tmp_path, cache, DATABASE_URL=server.url) as world:
        # The pool of connections fills as they are wanted.
        # Two descriptors each.
        world.spare_sockets = 18
        campaign = Campaign(world, seed, postgres_kinds(server))
        await campaign.each_once()
        await world.check_all_lines()


@pytest.mark.long
async def test_a_broker_and_templates_that_are_killed_cost_no_preview(tmp_path: Path, cache: Path, seed: int) -> None:
    has_broker = os.geteuid() != 0
    kinds = [kind for kind in of_module("fault_kinds_helpers") if kind.needs != "broker" or has_broker]
    async with open_world(tmp_path, cache, WARM_TEMPLATES="1") as world:
        campaign = Campaign(world, seed, kinds, round_size=4)
        await campaign.each_once()
        await world.check_all_lines()


def test_each_kind_of_fault_is_described() -> None:
    text = (Path(__file__).parents[2] / "docs" / "reliability.md").read_text()
    assert [kind.name for kind in ALL_KINDS if kind.name not in text] == []


def test_what_is_drawn_follows_from_the_seed() -> None:
    def drawn(seed: int) -> list[str]:
        draw: Callable[[list[Kind], int], list[tuple[Kind, random.Random]]]
        draw = Campaign(None, seed, ALL_KINDS)._draw  # type: ignore[arg-type]  # nothing is injected
        return [f"{kind.name} {rng.random()}" for kind, rng in draw(list(ALL_KINDS), 20)]

    assert drawn(1) == drawn(1) != drawn(2)
