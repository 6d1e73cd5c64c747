"""A profile of a process: which of the project's functions the time goes to. Nothing in it is verified.

The service asks ``profile N SECONDS``. The process answers later with a line ``profile N [PARENT, NAME, PLACE, OWN_US,
CALLS]`` for each node of the tree, and ends with ``profiles N [ELAPSED_US, SAMPLES, LEFT_OUT, COUNTS]``. PARENT is the
index of an earlier node, or -1, so no answer can be anything else than a tree.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple

import trio

from preview.core.clock import now_ms
from preview.tracing.span import clean_line

LONGEST_S: Final = 60
"""Limit of the measured time in seconds."""
MOST_NODES: Final = 500
"""Limit of a tree's nodes."""
MOST_DEPTH: Final = 40
"""Limit of a tree's depth."""
MOST_PROFILE_BYTES: Final = 256 * 1024
"""Limit of an answer in bytes, with the words around it: 500 lines of half a kibibyte."""
PROFILE: Final = b"profile"
"""Beginning of each line of a profile."""
MOST_PROFILES: Final = 1000
"""Limit of profiles of one process."""

# For the answer, after the measured time.
_GRACE_S = 10.0
_MOST_NAME, _MOST_PLACE = 120, 200
_MOST_LINE = 2048
# 60 seconds of a thousand threads.
_MOST_US = LONGEST_S * 1000 * 1_000_000
_MOST_CALLS = 10**9
_MOST_COUNT = 10**9
_LINE = re.compile(rb"profile ([0-9]{1,9}) (?=\[)")
_END = re.compile(rb"profiles ([0-9]{1,9}) (?=\[)")


class ProfileState(StrEnum):
    """State of a profile."""

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"


class ProfileNode(NamedTuple):
    """A function, called from the function of its parent.

    Attributes:
        parent: Index of its parent; -1 for none.
        depth: Number of its ancestors.
        name: Module and function.
        place: File and line within the project; empty for a function of a library.
        own_us: Microseconds in the function itself.
        total_us: Microseconds in it and in what it has called.
        calls: Calls of the function from all places; None if they were not counted.
    """

    parent: int
    depth: int
    name: str
    place: str
    own_us: int
    total_us: int
    calls: int | None


class Profile:
    """One requested profile.

    Args:
        number: Number of the request; lines with another number are not part of it.
        seconds: Time to measure.

    Attributes:
        started_ms: Wall clock time of the request, in milliseconds since 1970.
        nodes: The tree, once it is complete: parents before their children, the costliest first.
        elapsed_us: Time that was measured.
        samples: Number of looks at the process.
        left_out: Nodes that did not fit in; their time is their parents'.
    """

    def __init__(self, number: int, seconds: int) -> None:
        self.number = number
        self.seconds = seconds
        self.started_ms = now_ms()
        self.nodes: Sequence[ProfileNode] = ()
        self.elapsed_us = self.samples = self.left_out = 0
        self._deadline = trio.current_time() + seconds + _GRACE_S
        self._given: list[tuple[int, int, str, str, int, int | None]] = []
        self._bytes = 0
        self._state = ProfileState.RUNNING

    @property
    def state(self) -> ProfileState:
        """Its state; an answer that has not come in time has failed."""
        if self._state is ProfileState.RUNNING and trio.current_time() > self._deadline:
            self.fail()
        return self._state

    def take(self, line: bytes) -> None:
        """Take a line of the process; ignore it if it is not part of this profile, fail if it is malformed.

        Args:
            line: The line, without its end. Untrusted.
        """
        found = _LINE.match(line) or _END.match(line)
        if self.state is not ProfileState.RUNNING or found is None or int(found[1]) != self.number:
            return
        self._bytes += len(line)
        if len(line) > _MOST_LINE or self._bytes > MOST_PROFILE_BYTES:
            self.fail()
            return
        try:
            given: Any = json.loads(line[found.end() :])
        except (ValueError, RecursionError):
            self.fail()
            return
        if not (self._end(given) if line.startswith(PROFILE + b"s") else self._add(given)):
            self.fail()

    def fail(self) -> None:
        """End it without a result, unless it has one."""
        if self._state is ProfileState.RUNNING:
            self._state = ProfileState.FAILED
            self._given.clear()

    def _add(self, given: Any) -> bool:
        """Add a node; return False if it is none."""
        if not isinstance(given, list) or len(given) != 5 or len(self._given) >= MOST_NODES:
            return False
        parent, name, place, own_us, calls = given
        # ``True`` is an int in Python.
        if any(type(one) is not int for one in (parent, own_us, calls)):
            return False
        if not (isinstance(name, str) and isinstance(place, str) and -1 <= parent < len(self._given)):
            return False
        depth = 0 if parent < 0 else self._given[parent][1] + 1
        if depth >= MOST_DEPTH or not (0 <= own_us <= _MOST_US and -1 <= calls <= _MOST_CALLS):
            return False
        shown = clean_line(name, _MOST_NAME) or "?"
        self._given.append((parent, depth, shown, clean_line(place, _MOST_PLACE), own_us, None if calls < 0 else calls))
        return True

    def _end(self, given: Any) -> bool:
        """Complete the tree; return False if the line is not an end."""
        if not isinstance(given, list) or len(given) != 3 or any(type(one) is not int for one in given):
            return False
        if not all(0 <= one <= _MOST_US for one in given):
            return False
        self.elapsed_us, self.samples, self.left_out = given[0], min(given[1], _MOST_COUNT), min(given[2], _MOST_COUNT)
        self.nodes = _ordered(self._given)
        self._given.clear()
        self._state = ProfileState.FINISHED
        return True


def _ordered(given: Sequence[tuple[int, int, str, str, int, int | None]]) -> list[ProfileNode]:
    """Return the nodes with their totals, depth first, the costliest first."""
    totals = [one[4] for one in given]
    below: list[list[int]] = [[] for _ in given]
    tops: list[int] = []
    # Parents come before their children.
    for at in range(len(given) - 1, -1, -1):
        parent = given[at][0]
        if parent >= 0:
            totals[parent] += totals[at]
        (tops if parent < 0 else below[parent]).append(at)
    ordered: list[ProfileNode] = []
    places: dict[int, int] = {-1: -1}
    waiting = sorted(tops, key=lambda at: totals[at])
    while waiting:
        at = waiting.pop()
        parent, depth, name, place, own_us, calls = given[at]
        places[at] = len(ordered)
        ordered.append(ProfileNode(places[parent], depth, name, place, own_us, totals[at], calls))
        waiting += sorted(below[at], key=lambda one: totals[one])
    return ordered


class FunctionTime(NamedTuple):
    """The time of one function, in all places of the tree.

    Attributes:
        name, place, calls: As in ``ProfileNode``.
        own_us: Microseconds in the function itself.
        total_us: Microseconds in it and in what it has called; a call within itself counts once.
    """

    name: str
    place: str
    own_us: int
    total_us: int
    calls: int | None


def functions_of(nodes: Sequence[ProfileNode]) -> list[FunctionTime]:
    """Return the functions of a tree, those with the most time of their own first."""
    own: dict[tuple[str, str], int] = {}
    total: dict[tuple[str, str], int] = {}
    calls: dict[tuple[str, str], int | None] = {}
    path: list[tuple[str, str]] = []
    for node in nodes:
        del path[node.depth :]
        key = (node.name, node.place)
        own[key] = own.get(key, 0) + node.own_us
        total[key] = total.get(key, 0) + (0 if key in path else node.total_us)
        calls.setdefault(key, node.calls)
        path.append(key)
    found = [FunctionTime(*key, own[key], total[key], calls[key]) for key in own]
    return sorted(found, key=lambda one: (-one.own_us, -one.total_us))


class Profiles:
    """The profiles of one process, one at a time.

    Attributes:
        last: The newest one; None if there was none.
    """

    def __init__(self) -> None:
        self.last: Profile | None = None
        self._count = 0

    @property
    def is_running(self) -> bool:
        """True while a profile runs."""
        return self.last is not None and self.last.state is ProfileState.RUNNING

    def begin(self, seconds: int) -> tuple[Profile, bytes] | None:
        """Return a new profile and the order for the process; None if it had too many.

        Args:
            seconds: Time to measure, at most ``LONGEST_S``.
        """
        if self._count >= MOST_PROFILES:
            return None
        self._count += 1
        self.last = Profile(self._count, seconds)
        return self.last, b"profile %d %d\n" % (self._count, seconds)

    def take(self, line: bytes) -> bool:
        """Take a line; return whether it is one of a profile."""
        if not line.startswith(PROFILE):
            return False
        if self.last is not None:
            self.last.take(line)
        return True

    def end(self) -> None:
        """End the running profile: the process has ended."""
        if self.last is not None:
            self.last.fail()
