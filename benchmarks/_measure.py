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
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import trio

__all__ = ["RUN_BY", "Figure", "compare", "interleave", "interleave_async", "percentile", "report", "save"]

RUN_BY = "root" if os.geteuid() == 0 else "an ordinary user"
"""The user who runs the benchmark: isolation, and so its price, depends on it."""

_SETTLE_S = 0.1
# Rounds that a percentile needs: fewer, and it is the highest value.
_ROUNDS = {95: 20, 99: 100}


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
    """Print the figures as a table that names the user; ``beside`` is the name of what the ratios are to."""
    print(f"\n{title}, as {RUN_BY}")
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


def save(path: Path | None, tables: Mapping[str, Sequence[Figure]]) -> None:
    """Write the figures of this run as JSON, with what they depend on; ``None`` writes nothing.

    ``scripts/benchmarks_page.py`` writes them into ``docs/benchmarks.md``.
    """
    if path is None:
        return
    program = Path(sys.argv[0])
    run = {
        "benchmark": program.stem,
        "command": [program.name, *sys.argv[1:]],
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {
            "cores": os.cpu_count(),
            "machine": platform.machine(),
            "kernel": platform.release(),
            "python": platform.python_version(),
        },
        "user": RUN_BY,
        "tables": {title: [_saved(figure) for figure in figures] for title, figures in tables.items()},
    }
    path.write_text(json.dumps(run, indent=1))


def _saved(figure: Figure) -> dict[str, object]:
    """The figure with its number of rounds, and each high percentile that so many rounds can tell."""
    count = len(figure.values)
    # JSON has no NaN.
    values = {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in asdict(figure).items()
    }
    high = {f"p{percent}": percentile(figure.values, percent) for percent, least in _ROUNDS.items() if count >= least}
    return {**values, "rounds": count, **high}
