"""The words and numbers with which programs say how serious a line is."""

from __future__ import annotations

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
    """The level that a word or number means; None if it means none.

    Args:
        value: What stood where a level is expected.
        python: The number is Python's (``levelno``), not pino's.
    """
    if isinstance(value, str):
        return WORDS.get(value.lower())
    if isinstance(value, int) and not isinstance(value, bool):
        return (_PYTHON if python else _PINO).get(value)
    return None
