from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from preview.data.client import RunConfined


@dataclass
class Comparison:
    files: tuple[()] = ()
    databases: tuple[()] = ()
    is_cut: bool = False


async def compare(a: Path, b: Path, run: RunConfined) -> Comparison:
    return Comparison()
