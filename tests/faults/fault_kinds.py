"""What a kind of fault is, and the list of all of them."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fault_world import World

__all__ = ["Kind", "kind", "registered"]

Inject = Callable[[World, random.Random], Awaitable[int]]


@dataclass(frozen=True)
class Kind:
    """One kind of fault.

    Attributes:
        name: As the table shows it.
        what: One sentence: what is done.
        inject: Does it, checks what only this kind can check, and says how many faults it were.
        weight: How often it is drawn, beside the others.
        alone: Acts on the whole service: nothing else is injected meanwhile.
        needs: ``sqlite``, ``tmpfs``, ``broker`` (an ordinary user's service), ``templates`` or nothing.
    """

    name: str
    what: str
    inject: Inject
    weight: float = 1.0
    alone: bool = False
    needs: str = ""


_ALL: list[Kind] = []


def kind(
    name: str, what: str, *, weight: float = 1.0, alone: bool = False, needs: str = ""
) -> Callable[[Inject], Inject]:
    """Register a function as a kind of fault."""

    def register(inject: Inject) -> Inject:
        _ALL.append(Kind(name, what, inject, weight, alone, needs))
        return inject

    return register


def registered() -> list[Kind]:
    """All kinds, once their modules are imported."""
    return list(_ALL)
