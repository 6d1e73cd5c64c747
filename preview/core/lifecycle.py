"""The states of a preview, and the table of allowed transitions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class State(StrEnum):
    """State of a preview. The values are those of contract ``v1``."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


class Health(StrEnum):
    """Result of the last health check."""

    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


class OnCrash(StrEnum):
    """Reaction to an end, by itself and with an error, of a running preview's process."""

    STAY = "stay"  # the preview fails, and stays so
    RESTART = "restart"  # the process is started again in the same preview


@dataclass(frozen=True, slots=True, eq=False)
class CheckFault:
    """A failed health check of an image. Each process's fault is another one, even with the same reason."""

    reason: str


class StopCause(StrEnum):
    """Reason to stop a preview."""

    USER = "user"
    EXPIRED = "expired"
    INACTIVE = "inactive"
    SHUTDOWN = "shutdown"


class Departure(StrEnum):
    """Reason of a preview's end on this node only: another one goes on with it."""

    MOVED = "moved"  # this node drains
    NODE_LOST = "node_lost"  # this node has lost its lease, or the preview


DEPARTURE_REASONS: Mapping[Departure, str] = MappingProxyType(
    {Departure.MOVED: "moved to another node", Departure.NODE_LOST: "node lost ownership"}
)
"""Reason that readers of the log get."""


def may_go_on(cause: str | None, reason: str | None) -> bool:
    """Return whether a preview that ends on its node may go on: there once its service is back, or elsewhere.

    Args:
        cause: Of the end, a value of ``StopCause`` or ``Departure``. Only this decides.
        reason: Of the end. Nodes of earlier versions moved previews without a cause; a program may choose this text.
    """
    return cause in _GOES_ON or (cause is None and reason in _EARLIER_REASONS)


STOP_REASONS: Mapping[StopCause, str] = MappingProxyType(
    {
        StopCause.USER: "stopped on request",
        StopCause.EXPIRED: "stopped: time limit reached",
        StopCause.INACTIVE: "stopped: no request and no open stream for too long",
        StopCause.SHUTDOWN: "stopped: the service is shutting down",
    }
)
"""Reason stored in the row of a stopped preview."""

_GOES_ON = frozenset({StopCause.SHUTDOWN.value, *(one.value for one in Departure)})
_EARLIER_REASONS = frozenset(DEPARTURE_REASONS.values())


# Rows of older versions have the second reason.
_CAUSES: Mapping[str, StopCause] = MappingProxyType(
    {reason: cause for cause, reason in STOP_REASONS.items()} | {"stopped: its time is over": StopCause.EXPIRED}
)


def cause_of(state: State, reason: str | None) -> StopCause | None:
    """Return the cause of a stop, from the preview's row. None for a failure or a live preview."""
    return _CAUSES.get(reason or "") if state is State.STOPPED else None


TRANSITIONS: Mapping[State, frozenset[State]] = MappingProxyType(
    {
        State.STARTING: frozenset({State.RUNNING, State.STOPPING, State.FAILED}),
        State.RUNNING: frozenset({State.STOPPING, State.FAILED}),
        State.STOPPING: frozenset({State.STOPPED}),
        State.STOPPED: frozenset(),
        State.FAILED: frozenset(),
    }
)

ACTIVE: frozenset[State] = frozenset({State.STARTING, State.RUNNING, State.STOPPING})


class IllegalTransition(RuntimeError):
    """A state change that the table forbids: a bug in the supervisor."""


def advance(current: State, following: State) -> State:
    """Return the new state.

    Raises:
        IllegalTransition: The table forbids the change.
    """
    if following not in TRANSITIONS[current]:
        raise IllegalTransition(f"{current} -> {following}")
    return following


# Reloads whose line numbers are kept; some 8 bytes each in the preview's row.
_KEPT_RELOADS = 500


@dataclass(frozen=True, slots=True)
class Reloads:
    """Takeovers of new processes in one preview, and the log's line numbers at these moments.

    Attributes:
        count: Number of reloads.
        lines: Number of the first line after each reload, of the newest ``_KEPT_RELOADS``.
    """

    count: int = 0
    lines: tuple[int, ...] = ()

    def after(self, first_line: int) -> Reloads:
        """Return the reloads with one more, whose first line is ``first_line``."""
        return Reloads(self.count + 1, (*self.lines, first_line)[-_KEPT_RELOADS:])

    @property
    def first_lines(self) -> Sequence[int | None]:
        """First line of each process, in order: the first process, then each reload; None for lines not kept."""
        forgotten = self.count - len(self.lines)
        # Without the following line the end of a process's lines is unknown too.
        return [*[None] * forgotten, None if forgotten else 1, *self.lines]

    def to_text(self) -> str | None:
        """Return the reloads as JSON for a row; None if there are none."""
        return json.dumps([self.count, *self.lines]) if self.count else None


NO_RELOADS = Reloads()
"""The reloads of a new preview."""


def reloads_of(text: str | None) -> Reloads:
    """Parse the text of ``Reloads.to_text``."""
    count, *lines = json.loads(text) if text else [0]
    return Reloads(count, tuple(lines))
