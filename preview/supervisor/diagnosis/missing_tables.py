"""Explain a request that fails because the database lacks a table: once per preview, with the command that makes it.

The lines of errors are read as they are published, so that a preview that prints no errors costs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import trio

from preview.detection import INIT, MAKE_MIGRATIONS, StartPlan
from preview.logs import Level
from preview.logs.model.batch import Batch
from preview.logs.model.encode import Received
from preview.logs.model.events import MARKS
from preview.supervisor.preview.live_preview import LivePreview

# SQLite; PostgreSQL; MySQL; Prisma (P2021)
_MISSING = re.compile(
    r"no such table: (?P<sqlite>[\w.]{1,100})"
    r'|relation "(?P<postgresql>[\w.]{1,100})" does not exist'
    r"|Table '(?P<mysql>[\w.]{1,100})' doesn't exist"
    r"|The table `(?P<prisma>[\w.]{1,100})` does not exist in the current database"
)
_MAX_CHARACTERS = 1000
_NOT_ERRORS = bytes(mark for mark, (level, _) in enumerate(MARKS) if level < Level.ERROR)
_MAKES_TABLES = (INIT, "tables", "migrations", MAKE_MIGRATIONS)


def find_missing_table(lines: Sequence[str]) -> str | None:
    """Return the name of the table that one of these lines names as missing, or None."""
    for line in lines:
        if match := _MISSING.search(line[:_MAX_CHARACTERS]):
            return next(name for name in match.groups() if name)
    return None


def explain_missing_table(name: str, plan: StartPlan) -> str:
    """Return the sentence for the log."""
    steps = [step for step in plan.steps if step.name in _MAKES_TABLES]
    if steps:
        commands = " and ".join(f"`{' '.join(step.argv)}`" for step in steps[:2])
        return f"The database has no table {name!r}. {commands} makes the tables: its output above says what it did."
    if plan.framework == "django":
        command = "python manage.py migrate"
        return f'The database has no table {name!r}. Name the step in preview.toml: [start] steps = ["{command}"].'
    return (
        f"The database has no table {name!r}, and no command that makes the tables was found. Name it in preview.toml: "
        '[start] steps = ["python init_db.py"].'
    )


class _Reader:
    """Listener that keeps the first missing table that an error names."""

    watchers = 0

    def __init__(self) -> None:
        self.found = trio.Event()
        self.table = ""

    def offer(self, event: Received) -> None:
        """Look at the lines if one of them is an error."""
        if self.table or not isinstance(event, Batch) or not event.marks.translate(None, _NOT_ERRORS):
            return
        name = find_missing_table(event.messages)
        if name is not None:
            self.table = name
            # The listener must not publish a line itself.
            self.found.set()


async def watch_missing_tables(preview: LivePreview, plan: StartPlan) -> None:
    """Log the explanation of the first missing table, then return. Cancellation: nothing changes."""
    reader = _Reader()
    preview.log.broadcast.add(reader)
    try:
        await reader.found.wait()
    finally:
        preview.log.broadcast.remove(reader)
    preview.log.say(explain_missing_table(reader.table, plan), Level.WARNING)
