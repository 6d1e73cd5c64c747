"""A line's level and source as one small number, so that the hot path handles bytes instead of objects.

``mark = 4 * source + level``, both as positions in the tables below. A batch keeps one byte per line, and changing the
phase of a whole batch is one ``bytes.translate``.
"""

from __future__ import annotations

from preview.logs.model.events import Level, Source

LEVELS: tuple[Level, ...] = (Level.DEBUG, Level.INFO, Level.WARNING, Level.ERROR)
SOURCES: tuple[Source, ...] = (
    Source.PREVIEW,
    Source.REQUEST,
    Source.STARTUP,
    Source.SYSTEM,
    Source.SYSTEM_STARTUP,
)
MARKS: tuple[tuple[Level, Source], ...] = tuple((level, source) for source in SOURCES for level in LEVELS)

# Added to a level's position by the recogniser when the line is an access line.
ACCESS = 4 * SOURCES.index(Source.REQUEST)

_TO_STARTUP = 4 * (SOURCES.index(Source.STARTUP) - SOURCES.index(Source.PREVIEW))
# The child's ordinary lines before it is ready; access lines stay what they are.
STARTUP_PHASE: bytes = bytes(
    mark + _TO_STARTUP if mark < ACCESS else mark for mark in range(256 - _TO_STARTUP)
) + bytes(_TO_STARTUP)

_BY_VALUES: dict[tuple[int, str], int] = {
    (level.value, source.value): mark for mark, (level, source) in enumerate(MARKS)
}


def mark_of(level: int, source: str) -> int:
    """The mark of a stored row: ``Level`` and ``Source`` by their values.

    Raises:
        KeyError: No such level or source.
    """
    return _BY_VALUES[level, source]


def system_mark(level: Level, *, ready: bool) -> int:
    """The mark of a line that the service itself says."""
    source = Source.SYSTEM if ready else Source.SYSTEM_STARTUP
    return _BY_VALUES[level.value, source.value]
