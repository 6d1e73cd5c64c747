r"""Events of a log: lines, state changes, gaps and the end; marks of level, source and stream; request ids.

A line's level, source and stream are stored as one small number, so that the hot path handles bytes instead of objects:
``mark = 4 * source + level``, both as positions in the tables below, plus ``STDERR`` for a line of standard error. A
batch has one byte per line, and one ``bytes.translate`` changes the phase of a whole batch.

Standard output and error are one pipe, which keeps their order. Launchers write before a line what they know of it
(``runtime/launchers/preview_requests.py``, ``stderr.cjs``): the id of the request that is being handled, and whether
the program writes to standard error. This is an operating system command (ECMA-48 8.3.89) that terminals ignore:
``ESC ] 7473 ; id ESC \``, ``ESC ] 7473 ; id ; 2 ESC \`` or ``ESC ] 7473 ; ; 2 ESC \``. This module removes it. A
forged one can only mislabel lines of the program's own preview. Any other spelling is sanitised like every escape
sequence.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, IntEnum, StrEnum

from preview.core.ids import REQUEST_ID
from preview.core.launch_steps import LaunchStep


class Contract(StrEnum):
    """The two documents that describe the API; names and letter case differ, meaning does not."""

    PLAN = "plan"
    V1 = "v1"


class Level(IntEnum):
    """Severity, ordered, so that filters can select "at least"."""

    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40

    def word(self, contract: Contract) -> str:
        """Return the contract's name of the level: ``plan`` uses WARN for WARNING."""
        return "WARN" if self is Level.WARNING and contract is Contract.PLAN else self.name


class Source(Enum):
    """Source and phase of a line. The value is stored in the database.

    ``v1`` has ``subprocess`` and ``system``. ``plan`` has ``startup`` (before ready), ``request`` (access lines) and
    ``preview`` (all others). Filters also know ``reported``: lines that the program has sent as log records.
    """

    SYSTEM_STARTUP = "system.startup"
    SYSTEM = "system.preview"
    STARTUP = "child.startup"
    REQUEST = "child.request"
    PREVIEW = "child.preview"
    REPORTED = "child.reported"

    def word(self, contract: Contract) -> str:
        """Return the contract's name of this source."""
        owner, _, phase = self.value.partition(".")
        if contract is Contract.PLAN:
            return "preview" if self is Source.REPORTED else phase
        return "system" if owner == "system" else "subprocess"

    @property
    def words(self) -> frozenset[str]:
        """Words that filters know this source by: those of both contracts, and its phase."""
        return frozenset((*map(self.word, Contract), self.value.partition(".")[2]))


@dataclass(frozen=True, slots=True)
class LogLine:
    """One numbered line.

    Attributes:
        seq: 1, 2, 3, … within the preview; each number is used once.
        timestamp_ms: Milliseconds since the epoch, when the service read the line.
        message: Text without its line end; may contain ANSI colour sequences (SGR).
        request_id: Id of the request that was handled when the line was printed; None if unknown.
        is_stderr: The program is known to have written the line to standard error.
    """

    seq: int
    timestamp_ms: int
    level: Level
    source: Source
    message: str
    request_id: str | None = None
    is_stderr: bool = False

    @property
    def mark(self) -> int:
        """Its mark, as in a batch."""
        return mark_of(self.level.value, self.source.value) + (STDERR if self.is_stderr else 0)


@dataclass(frozen=True, slots=True)
class StatusChange:
    """A change of state, health or launch steps; contains the current value of each.

    Attributes:
        preview_id: The preview (a generation may have had an earlier one).
        state: ``supervisor.State`` value.
        health: ``supervisor.Health`` value.
        reason: One sentence, or None.
        timestamp_ms: Milliseconds since the epoch.
        steps: Steps of the launch, in order.
        restarts: Number of times that a new process has taken over since the launch.
        crashes: Number of crashes after which the process was or will be started again.
        crash: How the process ended at the newest of these crashes, such as ``exit code 1``; None without one.
    """

    preview_id: str
    state: str
    health: str
    reason: str | None
    timestamp_ms: int
    steps: tuple[LaunchStep, ...] = ()
    restarts: int = 0
    crashes: int = 0
    crash: str | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """Lines ``first_seq`` to ``last_seq`` (both included) are not available any more.

    Attributes:
        reason: ``retention`` (deleted), or ``lost`` (never stored: the writer was too slow, or the service or the
            database failed).
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
        exit_code: Exit code of the process; None if it never ran or a signal ended it.
        cause: Cause of the stop: a value of ``StopCause``, or of ``Departure`` if another node goes on with the
            preview; None if the preview failed or the cause is unknown.
        steps: Steps of the launch, in order.
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


# Positions in ``LEVELS``.
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

# pino and bunyan number levels 10 to 60; Python's levelno is read under its own key.
_PINO = {10: DEBUG, 20: DEBUG, 30: INFO, 40: WARNING, 50: ERROR, 60: ERROR}
_PYTHON = {10: DEBUG, 20: INFO, 30: WARNING, 40: ERROR, 50: ERROR}


def level_of(value: object, *, python: bool = False) -> int | None:
    """Return the level for a word or number; None if it is not a level.

    Args:
        value: Value found in the place of a level.
        python: True for Python's numbers (``levelno``), False for pino's.
    """
    if isinstance(value, str):
        return WORDS.get(value.lower())
    if isinstance(value, int) and not isinstance(value, bool):
        return (_PYTHON if python else _PINO).get(value)
    return None


LEVELS = (Level.DEBUG, Level.INFO, Level.WARNING, Level.ERROR)
# Files and queues have positions in it: new ones come last.
SOURCES = (
    Source.PREVIEW,
    Source.REQUEST,
    Source.STARTUP,
    Source.SYSTEM,
    Source.SYSTEM_STARTUP,
    Source.REPORTED,
)
SOURCE_WORDS = ("subprocess", "system", "startup", "request", "preview", "reported")
"""Words of sources that filters know."""

OF_PROGRAMS = SOURCES[:3]
"""Sources of what a program prints; only these lines can be of standard error."""

MARKS: tuple[tuple[Level, Source], ...] = tuple(
    (level, source) for source in (*SOURCES, *OF_PROGRAMS) for level in LEVELS
)

STDERR = 4 * len(SOURCES)
"""Added to the mark of a program's line, it gives that of the same line on standard error."""

STORED_SOURCES: tuple[str, ...] = (
    *(source.value for source in SOURCES),
    *(source.value.replace("child", "stderr") for source in OF_PROGRAMS),
)
"""What the database has as the source of a line, by its mark divided by 4."""

# The recogniser adds this to the level's position for an access line.
ACCESS = 4 * SOURCES.index(Source.REQUEST)

_TO_STARTUP = 4 * (SOURCES.index(Source.STARTUP) - SOURCES.index(Source.PREVIEW))
# Translation table for the process's lines before it is ready; access lines keep their marks.
STARTUP_PHASE: bytes = bytes(
    mark + _TO_STARTUP if mark < ACCESS else mark for mark in range(256 - _TO_STARTUP)
) + bytes(_TO_STARTUP)

_BY_VALUES = {(level.value, STORED_SOURCES[mark // 4]): mark for mark, (level, _) in enumerate(MARKS)}


def mark_of(level: int, source: str) -> int:
    """Return the mark of a stored row, from the values of its ``Level`` and its source in ``STORED_SOURCES``.

    A source that only a later version knows counts as ``Source.PREVIEW``.

    Raises:
        KeyError: There is no such level.
    """
    found = _BY_VALUES.get((level, source))
    return _BY_VALUES[level, Source.PREVIEW.value] if found is None else found


def reported_mark(level: Level) -> int:
    """Return the mark of a line that the program has sent as a log record."""
    return _BY_VALUES[level.value, Source.REPORTED.value]


def stored_sources(sources: Iterable[Source]) -> list[str]:
    """Return the values of ``STORED_SOURCES`` that stand for these sources."""
    chosen = frozenset(sources)
    return sorted({STORED_SOURCES[mark // 4] for mark, (_, source) in enumerate(MARKS) if source in chosen})


def system_mark(level: Level, *, ready: bool) -> int:
    """Return the mark of a line that the service itself logs."""
    source = Source.SYSTEM if ready else Source.SYSTEM_STARTUP
    return _BY_VALUES[level.value, source.value]


_BEGIN, _END = "\x1b]7473;", "\x1b\\"
_TO_STDERR = ";2"

REQUEST_MARK = rf"\x1b\]7473;(?:{REQUEST_ID}(?:{_TO_STDERR})?|{_TO_STDERR})\x1b\\"
"""Pattern of a mark before a line."""

MARK_BYTES = _BEGIN.encode()
"""First bytes of a mark before a line."""

Requests = dict[int, str]
"""Maps positions in a batch to request ids; only lines with a request have an entry."""


def mark_of_line(line: str) -> str:
    """Return the mark at the start of a framed line; empty without one."""
    return line[: line.index(_END) + len(_END)] if line.startswith(_BEGIN) else ""


def marked(line: str, mark: str) -> str:
    """Prefix the line with the mark, unless it has its own."""
    return line if line.startswith(_BEGIN) else mark + line


def take_marks(lines: list[str]) -> tuple[Requests | None, list[int]]:
    """Remove the marks from the lines, in place; return their request ids, and which are of standard error.

    Args:
        lines: Lines from a framer that keeps marks.
    """
    found: Requests = {}
    errors: list[int] = []
    for position, line in enumerate(lines):
        if line.startswith(_PLAIN_STDERR):
            errors.append(position)
            lines[position] = line[len(_PLAIN_STDERR) :]
        elif line.startswith(_BEGIN):
            mark, _, lines[position] = line[len(_BEGIN) :].partition(_END)
            found[position], _, stream = mark.partition(";")
            if stream:
                errors.append(position)
    return found or None, errors


_PLAIN_STDERR = f"{_BEGIN}{_TO_STDERR}{_END}"


def to_stderr(marks: bytes, positions: Iterable[int]) -> bytes:
    """Return the marks, with the lines at these positions on standard error.

    Args:
        marks: Marks of a program's lines.
        positions: From ``take_marks``.
    """
    changed = bytearray(marks)
    for position in positions:
        changed[position] += STDERR
    return bytes(changed)
