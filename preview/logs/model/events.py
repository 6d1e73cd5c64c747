r"""Events of a log: lines, changes of state, gaps, the end.

A line's level and source as one small number, so that the hot path handles bytes instead of objects.

``mark = 4 * source + level``, both as positions in the tables below. A batch keeps one byte per line, and changing the
phase of a whole batch is one ``bytes.translate``.

Which request a line belongs to, as the program's launcher says it.

The launchers of Python projects know which request is being handled when something is printed
(``runtime/launchers/preview_requests.py``), and write its id in front of the line as an operating system command
(ECMA-48 8.3.89) that means nothing to a terminal: ``ESC ] 7473 ; id ESC \``. Here it is taken off again. What a program
forges can only name a request of its own preview's lines wrongly; what is not written exactly so is disarmed like any
other sequence.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum, StrEnum

from preview.core.ids import REQUEST_ID
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
        """Contract's word: ``plan`` says WARN for WARNING."""
        return "WARN" if self is Level.WARNING and contract is Contract.PLAN else self.name


class Source(Enum):
    """Source and phase of a line. The value is stored in the database.

    ``v1`` knows ``subprocess`` and ``system``; ``plan`` knows ``startup`` (before ready), ``request`` (access lines)
    and ``preview`` (the rest).
    """

    SYSTEM_STARTUP = "system.startup"
    SYSTEM = "system.preview"
    STARTUP = "child.startup"
    REQUEST = "child.request"
    PREVIEW = "child.preview"

    def word(self, contract: Contract) -> str:
        """Contract's word for this source."""
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


# Positions in ``marks.LEVELS``.
DEBUG, INFO, WARNING, ERROR = range(4)

WORDS: dict[str, int] = {
    word: level
    for level, words in (
        (DEBUG, "trace debug verbose silly fine"),
        (INFO, "info notice success log http information"),
        (WARNING, "warn warning"),
        (ERROR, "error err critical crit fatal severe alert emerg emergency panic exception"),
    )
    for word in words.split()
}

# pino and bunyan count 10 to 60; Python's levelno is read under its own key.
_PINO = {10: DEBUG, 20: DEBUG, 30: INFO, 40: WARNING, 50: ERROR, 60: ERROR}
_PYTHON = {10: DEBUG, 20: INFO, 30: WARNING, 40: ERROR, 50: ERROR}


def level_of(value: object, *, python: bool = False) -> int | None:
    """Return the level that a word or number means; None if it means none.

    Args:
        value: What stood where a level is expected.
        python: The number is Python's (``levelno``), not pino's.
    """
    if isinstance(value, str):
        return WORDS.get(value.lower())
    if isinstance(value, int) and not isinstance(value, bool):
        return (_PYTHON if python else _PINO).get(value)
    return None


LEVELS = (Level.DEBUG, Level.INFO, Level.WARNING, Level.ERROR)
SOURCES = (Source.PREVIEW, Source.REQUEST, Source.STARTUP, Source.SYSTEM, Source.SYSTEM_STARTUP)
MARKS: tuple[tuple[Level, Source], ...] = tuple((level, source) for source in SOURCES for level in LEVELS)

# Added to a level's position by the recogniser when the line is an access line.
ACCESS = 4 * SOURCES.index(Source.REQUEST)

_TO_STARTUP = 4 * (SOURCES.index(Source.STARTUP) - SOURCES.index(Source.PREVIEW))
# The child's ordinary lines before it is ready; access lines stay what they are.
STARTUP_PHASE: bytes = bytes(
    mark + _TO_STARTUP if mark < ACCESS else mark for mark in range(256 - _TO_STARTUP)
) + bytes(_TO_STARTUP)

_BY_VALUES = {(level.value, source.value): mark for mark, (level, source) in enumerate(MARKS)}


def mark_of(level: int, source: str) -> int:
    """Return the mark of a stored row: ``Level`` and ``Source`` by their values.

    Raises:
        KeyError: No such level or source.
    """
    return _BY_VALUES[level, source]


def system_mark(level: Level, *, ready: bool) -> int:
    """Return the mark of a line of the service."""
    source = Source.SYSTEM if ready else Source.SYSTEM_STARTUP
    return _BY_VALUES[level.value, source.value]


_BEGIN, _END = "\x1b]7473;", "\x1b\\"

REQUEST_MARK = rf"\x1b\]7473;{REQUEST_ID}\x1b\\"
"""The pattern of a mark."""

MARK_BYTES = _BEGIN.encode()
"""How a mark begins."""

Requests = dict[int, str]
"""Position of a line in its batch to the request's id; only those that have one."""


def mark_of_line(line: str) -> str:
    """Return the mark before a line, which a framer has kept; empty without one."""
    return line[: line.index(_END) + len(_END)] if line.startswith(_BEGIN) else ""


def marked(line: str, mark: str) -> str:
    """Return the line after the mark; with its own one, if present."""
    return line if line.startswith(_BEGIN) else mark + line


def take_requests(lines: list[str]) -> Requests | None:
    """Take the marks off the lines, in their places; None where no line has one.

    Args:
        lines: From a framer that keeps marks.
    """
    found: Requests = {}
    for position, line in enumerate(lines):
        if line.startswith(_BEGIN):
            found[position], _, lines[position] = line[len(_BEGIN) :].partition(_END)
    return found or None
