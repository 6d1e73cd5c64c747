"""What a subscriber can be told: lines, changes of state, gaps, the end."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum, StrEnum

from preview.core.launch_steps import LaunchStep


class Contract(StrEnum):
    """The two documents that describe the API (letter case and words differ, meaning does not)."""

    PLAN = "plan"
    V1 = "v1"


class Level(IntEnum):
    """Severity; ordered, so that filters can say "at least"."""

    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40

    def word(self, contract: Contract) -> str:
        """The contract's word: ``plan`` says WARN for WARNING."""
        return "WARN" if self is Level.WARNING and contract is Contract.PLAN else self.name


class Source(Enum):
    """Who said the line, and in which phase. The value is what the database keeps.

    ``v1`` knows ``subprocess`` and ``system``; ``plan`` knows ``startup`` (before ready), ``request`` (access lines)
    and ``preview`` (the rest).
    """

    SYSTEM_STARTUP = "system.startup"
    SYSTEM = "system.preview"
    STARTUP = "child.startup"
    REQUEST = "child.request"
    PREVIEW = "child.preview"

    def word(self, contract: Contract) -> str:
        """The contract's word for this source."""
        owner, _, phase = self.value.partition(".")
        if contract is Contract.PLAN:
            return phase
        return "system" if owner == "system" else "subprocess"


@dataclass(frozen=True, slots=True)
class LogLine:
    """One numbered line.

    Attributes:
        seq: 1, 2, 3, … within its preview; given once.
        timestamp_ms: Milliseconds since the epoch, when the service read it.
        level: Recognised severity.
        source: Who said it.
        message: The text without its line end; may hold ANSI colour sequences (SGR).
        request_id: Of the request that was handled when it was printed; None where nobody knows.
    """

    seq: int
    timestamp_ms: int
    level: Level
    source: Source
    message: str
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class StatusChange:
    """A change of state, of health or of the launch's steps; says how all of them are.

    Attributes:
        preview_id: Which preview (a generation may have had another one before).
        state: ``supervisor.State`` value.
        health: ``supervisor.Health`` value.
        reason: One sentence, or None.
        timestamp_ms: Milliseconds since the epoch.
        steps: Of the launch, in their order.
        restarts: How often a new process has taken over since the launch, for a restart or a reload.
    """

    preview_id: str
    state: str
    health: str
    reason: str | None
    timestamp_ms: int
    steps: tuple[LaunchStep, ...] = ()
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class Gap:
    """Lines ``first_seq`` to ``last_seq`` (both included) cannot be had any more.

    Attributes:
        reason: ``retention`` (deleted), or ``lost`` (never stored: the writer could not keep up, or a crash or the
            database took them).
    """

    first_seq: int
    last_seq: int
    reason: str


@dataclass(frozen=True, slots=True)
class End:
    """The preview is over; nothing follows.

    Attributes:
        state: ``stopped`` or ``failed``.
        reason: One sentence, or None.
        exit_code: Of the process; None if it never ran or ended by a signal.
        exit_signal: Signal number, or None.
        cause: Why it was stopped, a ``StopCause`` value; None where it failed, or where that is not known any more.
        steps: Of the launch, in their order.
    """

    preview_id: str
    state: str
    reason: str | None
    exit_code: int | None
    exit_signal: int | None
    timestamp_ms: int
    cause: str | None = None
    steps: tuple[LaunchStep, ...] = ()


Event = LogLine | StatusChange | Gap | End
