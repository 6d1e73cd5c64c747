"""Measuring two things beside each other on a machine that is not quiet.

The variants run in turn, round after round, so that what slows the machine slows them all; the figure of a variant is
the median of its rounds, and the figure that counts is the ratio to the floor, taken round by round.
"""

from __future__ import annotations

import gc
import json
import math
import os
import platform
import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import trio

__all__ = ["Figure", "compare", "interleave", "interleave_async", "percentile", "report", "save"]

_SETTLE_S = 0.1


@dataclass(frozen=True)
class Figure:
    """One variant's measurements.

    Attributes:
        name: Which variant.
        unit: Of the values, for instance ``lines/s`` or ``ms``.
        median: Over the rounds.
        low: The lower quartile.
        high: The upper quartile.
        ratio: Median over the rounds of this variant's value by the floor's of the same round; 1 for the floor, NaN
            where there is none.
        ratio_low: Lower quartile of that ratio.
        ratio_high: Upper quartile of that ratio.
        values: All rounds, in order.
    """

    name: str
    unit: str
    median: float
    low: float
    high: float
    ratio: float
    ratio_low: float
    ratio_high: float
    values: tuple[float, ...]


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which ``percent`` of the values lie (linear between neighbours)."""
    ordered = sorted(values)
    position = (len(ordered) - 1) * percent / 100
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def interleave(
    variants: Mapping[str, Callable[[], float]], *, rounds: int = 5, warm_up: int = 1
) -> dict[str, list[float]]:
    """Run all variants in turn; the order is turned around every other round.

    Args:
        variants: By name; each call measures once and returns its value.
        rounds: How often each is measured.
        warm_up: Rounds before that do not count.
    """
    values: dict[str, list[float]] = {name: [] for name in variants}
    names = list(variants)
    for number in range(-warm_up, rounds):
        for name in names if number % 2 == 0 else reversed(names):
            gc.collect()
            value = variants[name]()
            if number >= 0:
                values[name].append(value)
    return values


async def interleave_async(
    variants: Sequence[Callable[[], Awaitable[Mapping[str, float]]]], *, rounds: int, warm_up: int = 1
) -> dict[str, list[float]]:
    """As ``interleave``, for variants that are awaited and may measure several things at once, each by its name."""
    values: dict[str, list[float]] = {}
    for number in range(-warm_up, rounds):
        for variant in variants if number % 2 == 0 else reversed(variants):
            gc.collect()
            # What has piled up behind the collection is not the variant's doing.
            await trio.sleep(_SETTLE_S)
            measured = await variant()
            if number >= 0:
                for name, value in measured.items():
                    values.setdefault(name, []).append(value)
    return values


def compare(values: Mapping[str, Sequence[float]], *, floor: str | None, unit: str) -> list[Figure]:
    """Each variant's figure beside the floor's, in the order given; ``None``: there is nothing to compare with."""
    figures = []
    for name, own in values.items():
        others = [math.nan] * len(own) if floor is None else values[floor]
        ratios = [value / other for value, other in zip(own, others, strict=True)]
        figures.append(
            Figure(
                name, unit,
                statistics.median(own), percentile(own, 25), percentile(own, 75),
                statistics.median(ratios), percentile(ratios, 25), percentile(ratios, 75),
                tuple(own),
            )
        )  # fmt: skip
    return figures


def report(title: str, figures: Sequence[Figure], *, note: str = "", beside: str = "floor") -> None:
    """Print the figures as a table; ``beside`` is the name of what the ratios are to."""
    print(f"\n{title}")
    width = max(len(figure.name) for figure in figures)
    for one in figures:
        digits = 0 if one.median >= 100 else 2
        ratio = f"  {one.ratio:.2f} x {beside} ({one.ratio_low:.2f} to {one.ratio_high:.2f})"
        print(
            f"  {one.name:<{width}}  {one.median:>12,.{digits}f} {one.unit}"
            f"  ({one.low:,.{digits}f} to {one.high:,.{digits}f})"
            f"{'' if math.isnan(one.ratio) else ratio}"
        )
    if note:
        print(f"  {note}")


def save(path: Path | None, benchmark: str, tables: Mapping[str, Sequence[Figure]]) -> None:
    """Write the raw values with what is known of the machine as JSON; ``None`` writes nothing."""
    if path is None:
        return
    machine = {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    data = {name: [asdict(figure) for figure in figures] for name, figures in tables.items()}
    path.write_text(json.dumps({"benchmark": benchmark, "machine": machine, "tables": data}, indent=1))
