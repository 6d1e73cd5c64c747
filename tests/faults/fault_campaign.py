"""A run of many faults against one service: drawn by a seed, in rounds, each followed by a look at everything."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import fault_kinds_clients
import fault_kinds_crowd
import fault_kinds_helpers
import fault_kinds_process
import fault_kinds_service
import fault_kinds_shortage
import trio
from fault_client import Unanswered
from fault_kinds import Kind, registered
from fault_world import World

__all__ = ["ALL_KINDS", "Campaign", "Tally"]

_MODULES = (
    fault_kinds_clients,
    fault_kinds_crowd,
    fault_kinds_helpers,
    fault_kinds_process,
    fault_kinds_service,
    fault_kinds_shortage,
)
assert all(_MODULES), "they register"

ALL_KINDS = tuple(registered())

# Of those that concern one preview, so many run at once, and so many in a round of a long run.
_AT_ONCE = 8
_ROUND = 60


@dataclass
class Tally:
    """What was injected.

    Attributes:
        faults: By kind.
        scenarios: By kind: each holds one fault or several.
        refused: Scenarios that did not come to their fault, because the service had nothing to give.
        seconds: By kind, summed over scenarios that ran side by side.
        checks: How often everything was looked at.
    """

    faults: dict[str, int] = field(default_factory=dict)
    scenarios: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    refused: int = 0
    checks: int = 0

    @property
    def total(self) -> int:
        return sum(self.faults.values())

    def add(self, kind: Kind, faults: int, seconds: float) -> None:
        self.faults[kind.name] = self.faults.get(kind.name, 0) + faults
        self.scenarios[kind.name] = self.scenarios.get(kind.name, 0) + 1
        self.seconds[kind.name] = self.seconds.get(kind.name, 0) + seconds


class Campaign:
    """Rounds of faults.

    Args:
        world: Under fire.
        seed: Everything that is drawn follows from it.
        kinds: To be drawn from.
        round_size: Scenarios that concern one preview, from one look at everything to the next.
    """

    def __init__(self, world: World, seed: int, kinds: Sequence[Kind], *, round_size: int = _ROUND) -> None:
        self.world = world
        self._round_size = round_size
        self.tally = Tally()
        self._seed = seed
        self._rng = random.Random(seed)
        self._together = [kind for kind in kinds if not kind.alone]
        self._alone = [kind for kind in kinds if kind.alone]
        self._drawn = 0

    async def run(self, faults: int, *, until: float = float("inf")) -> None:
        """Inject at least so many faults, or until ``time.monotonic()`` says ``until``. Cancellation: a round is cut.

        Raises:
            Broken: An invariant does not hold.
        """
        while self.tally.total < faults and time.monotonic() < until:
            if self._together:
                await self._round(self._draw(self._together, self._round_size))
            if self._alone:
                for kind, rng in self._draw(self._alone, 1):
                    await self._inject(kind, rng)
                await self._check()
        await self.world.check_all_lines()

    async def each_once(self) -> None:
        """Every kind once. Cancellation: as ``run``."""
        await self._round([(kind, self._next_rng()) for kind in self._together])
        for kind in self._alone:
            await self._inject(kind, self._next_rng())
            await self._check()

    def _draw(self, kinds: Sequence[Kind], count: int) -> list[tuple[Kind, random.Random]]:
        drawn = self._rng.choices(kinds, [kind.weight for kind in kinds], k=count)
        return [(kind, self._next_rng()) for kind in drawn]

    def _next_rng(self) -> random.Random:
        """One for each scenario: what one draws does not depend on how fast another is."""
        self._drawn += 1
        return random.Random(f"{self._seed}/{self._drawn}")

    async def _round(self, drawn: list[tuple[Kind, random.Random]]) -> None:
        limit = trio.CapacityLimiter(_AT_ONCE)

        async def one(kind: Kind, rng: random.Random) -> None:
            async with limit:
                await self._inject(kind, rng)

        async with trio.open_nursery() as nursery:
            for kind, rng in drawn:
                nursery.start_soon(one, kind, rng)
        await self._check()

    async def _inject(self, kind: Kind, rng: random.Random) -> None:
        begun = time.monotonic()
        try:
            faults = await kind.inject(self.world, rng)
        except* Unanswered as group:
            # Only what the service itself is short of is a reason not to get so far.
            self.world.service.check_alive()
            self.tally.refused += 1
            self.world.notes.append(f"{kind.name}: {group.exceptions[0]!r}"[:300])
        else:
            self.tally.add(kind, faults, time.monotonic() - begun)

    async def _check(self) -> None:
        await self.world.check()
        self.tally.checks += 1
