"""Comparison of a flag's values by the launches that had them: failures and launch times, in numbers and a sentence."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import trio
from sqlalchemy import Connection, func, select

from preview.core.clock import now_ms
from preview.core.lifecycle import State
from preview.rollout.choices import BEGINNING, BEGINNING_CHARACTERS, stored_arms
from preview.rollout.flags import FlagName
from preview.storage import Database
from preview.storage.previews import NOBODY
from preview.storage.tables import preview_instances

MOST_LAUNCHES: Final = 10_000
"""The newest launches that are compared."""
LEAST_LAUNCHES: Final = 20
"""Launches of each value below which nothing is claimed."""
UNLIKELY: Final = 0.05
"""A difference is claimed if chance alone would give one as large in fewer cases than this."""
_C = preview_instances.c
_HOUR_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class Arm:
    """Launches with one value of a flag.

    Attributes:
        value: The value.
        failed: Launches that never served, but for those that were stopped before.
        times_ms: Times from the launch to the first response of the others, sorted.
    """

    value: str
    failed: int
    times_ms: Sequence[int]

    @property
    def launches(self) -> int:
        """Launches with a result."""
        return self.failed + len(self.times_ms)

    @property
    def failure_rate(self) -> float | None:
        """Share that failed; None without launches."""
        return self.failed / self.launches if self.launches else None

    def percentile_ms(self, percent: int) -> int | None:
        """Return the time that so many percent of the launches did not exceed (nearest rank); None without times."""
        if not self.times_ms:
            return None
        return self.times_ms[max(0, math.ceil(len(self.times_ms) * percent / 100) - 1)]


async def read_arms(database: Database, name: FlagName, hours: float) -> list[Arm]:
    """Return the values that launches of the last hours had, the most frequent first.

    Cancellation: nothing changes.
    """
    rows = await database.read(partial(_launches, now_ms() - int(hours * _HOUR_MS)))
    return await trio.to_thread.run_sync(_grouped, rows, name)


def _grouped(rows: Sequence[Any], name: FlagName) -> list[Arm]:
    failed: dict[str, int] = {}
    times: dict[str, list[int]] = {}
    for row in rows:
        value = stored_arms(row.settings).get(name.value)
        if value is None:
            continue
        if row.started_at is not None:
            times.setdefault(value, []).append(max(0, row.started_at - row.created_at))
        elif row.status == State.FAILED.value:
            failed[value] = failed.get(value, 0) + 1
    arms = [Arm(value, failed.get(value, 0), sorted(times.get(value, []))) for value in {*failed, *times}]
    return sorted(arms, key=lambda arm: (-arm.launches, arm.value))


def _launches(since_ms: int, connection: Connection) -> Sequence[Any]:
    settings = func.substr(_C.launch_settings, 1, BEGINNING_CHARACTERS)
    query = (
        select(_C.status, _C.created_at, _C.started_at, settings.label("settings"))
        .where(_C.created_at >= since_ms, _C.user_id != NOBODY, settings.startswith(BEGINNING))
        .order_by(_C.created_at.desc())
        .limit(MOST_LAUNCHES)
    )
    return connection.execute(query).all()


def compare(one: Arm, other: Arm) -> str:
    """Say in one sentence or two whether failures and times of two values differ; with few launches, nothing."""
    sizes = f"{_launches_of(one)}, {_launches_of(other)}"
    if min(one.launches, other.launches) < LEAST_LAUNCHES:
        return f"Too few launches to compare: {sizes}; at least {LEAST_LAUNCHES} of each are needed."
    return f"{_compare_failures(one, other)} {_compare_times(one, other)}"


def _launches_of(arm: Arm) -> str:
    return f"{arm.launches} with {arm.value}"


def _compare_failures(one: Arm, other: Arm) -> str:
    chance = fisher(one.failed, one.launches, other.failed, other.launches)
    counts = " against ".join(
        f"{arm.failed} of {arm.launches} ({100 * (arm.failure_rate or 0):.1f} %) with {arm.value}"
        for arm in (one, other)
    )
    if chance >= UNLIKELY:
        return f"Failures do not differ visibly: {counts} (p = {chance:.2f})."
    more = one if (one.failure_rate or 0) > (other.failure_rate or 0) else other
    return f"Launches with {more.value} fail more often: {counts} ({_small(chance)})."


def _compare_times(one: Arm, other: Arm) -> str:
    if min(len(one.times_ms), len(other.times_ms)) < LEAST_LAUNCHES:
        return "Too few of them served to compare launch times."
    chance = rank_sum(one.times_ms, other.times_ms)
    medians = " against ".join(f"{arm.percentile_ms(50)} ms with {arm.value}" for arm in (one, other))
    if chance >= UNLIKELY:
        return f"Launch times do not differ visibly: median {medians} (p = {chance:.2f})."
    slower = one if (one.percentile_ms(50) or 0) > (other.percentile_ms(50) or 0) else other
    return f"Launches with {slower.value} are slower: median {medians} ({_small(chance)})."


def _small(chance: float) -> str:
    return f"p = {chance:.3f}" if chance >= 0.001 else "p < 0.001"


def fisher(failed: int, number: int, other_failed: int, other_number: int) -> float:
    """Return the two-sided p-value of Fisher's exact test for two shares, 0 to 1.

    It adds the probabilities of all tables with the same sums that are at most as likely as the observed one.
    """
    total, sick = number + other_number, failed + other_failed
    low, high = max(0, sick - other_number), min(number, sick)

    def log_probability(count: int) -> float:
        return _log_choose(number, count) + _log_choose(other_number, sick - count) - _log_choose(total, sick)

    observed = log_probability(failed)
    # The tolerance counts tables that are equally likely but for rounding.
    likely = (one for one in map(log_probability, range(low, high + 1)) if one <= observed + 1e-7)
    return min(1.0, math.fsum(math.exp(one) for one in likely))


def _log_choose(number: int, count: int) -> float:
    return math.lgamma(number + 1) - math.lgamma(count + 1) - math.lgamma(number - count + 1)


def rank_sum(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the two-sided p-value of the Mann-Whitney test, by its normal approximation with ties, 0 to 1.

    Args:
        one: Sorted values; 20 or more, as the approximation needs.
        other: The same.
    """
    both = sorted([*one, *other])
    total = len(both)
    ranks = 0.0
    for value in one:
        # The middle of the ranks of all equal values.
        ranks += (bisect_left(both, value) + bisect_right(both, value) + 1) / 2
    ties = math.fsum(count**3 - count for count in _counts(both))
    spread = len(one) * len(other) / 12 * (total + 1 - ties / (total * (total - 1)))
    if spread <= 0:
        return 1.0
    excess = ranks - len(one) * (total + 1) / 2
    return math.erfc(abs(excess) / math.sqrt(2 * spread))


def _counts(ordered: Sequence[float]) -> list[int]:
    counts: dict[float, int] = {}
    for value in ordered:
        counts[value] = counts.get(value, 0) + 1
    return list(counts.values())
