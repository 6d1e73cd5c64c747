"""How much of a project is read before reading on would take too long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# About 0.3 s of reading: far more than the largest project known has, and an end to loops that call each other.
_MAX_STEPS: Final = 250_000


class OutOfBudget(Exception):
    """So much was read that reading on would take too long."""


@dataclass(slots=True)
class Budget:
    """What is left to read, over all interpreters of one project."""

    steps: int = _MAX_STEPS

    def step(self) -> None:
        """Count one more thing that was read.

        Raises:
            OutOfBudget: It was one too many.
        """
        self.steps -= 1
        if self.steps < 0:
            raise OutOfBudget
