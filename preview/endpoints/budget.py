"""A limit on the work of reading one project."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# About 0.3 s of reading: far more than the largest known project needs. Also ends loops of mutual calls.
_MAX_STEPS: Final = 250_000


class OutOfBudget(Exception):
    """The budget for reading a project is used up."""


@dataclass(slots=True)
class Budget:
    """Remaining steps of reading, shared by all evaluators of one project."""

    steps: int = _MAX_STEPS

    def step(self) -> None:
        """Count one more step of reading.

        Raises:
            OutOfBudget: No step is left.
        """
        self.steps -= 1
        if self.steps < 0:
            raise OutOfBudget
