"""Find a database file that comes with a project: commands that fill a new database are not run on it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from preview.core.descriptors import raise_want, walk
from preview.detection import INIT, SEED, ServiceKind, StartPlan

FOR_NEW_DATABASE = frozenset({INIT, SEED})
"""Names of steps that fill a new database: they run once in its life."""

_SERVERS = frozenset({ServiceKind.POSTGRESQL, ServiceKind.MYSQL})
_SUFFIXES = (".db", ".db3", ".sqlite", ".sqlite3")
_SKIPPED = frozenset({"node_modules", "venv", "env", "tests", "test"})
_MAX_FILES = 20_000


def has_commands_for_new_database(plan: StartPlan) -> bool:
    """Return True if the plan has steps for a new database, and the database may be a file of the project."""
    return may_be_a_file(plan) and any(step.name in FOR_NEW_DATABASE for step in plan.steps)


def may_be_a_file(plan: StartPlan) -> bool:
    """Return True if the database may be a file that comes with the project: nothing else is supplied."""
    is_supplied = any("{database_" in variable.value for variable in plan.variables.values())
    return not is_supplied and not any(need.supplied and need.kind in _SERVERS for need in plan.services)


def find_shipped_database(project: Path) -> str | None:
    """Return the path of a database file with content, relative to the project; None if there is none.

    Blocks: call this in a thread, before any of the project's code runs.

    Raises:
        OSError: No descriptor is available.
    """
    count = 0
    for folder, folders, files in walk(project):
        folders[:] = [name for name in folders if name not in _SKIPPED and not name.startswith(".")]
        for name in files:
            count += 1
            if count > _MAX_FILES:
                return None
            if name.endswith(_SUFFIXES) and _has_content(os.path.join(folder, name)):  # noqa: PTH118  hundreds of files
                return str(Path(folder, name).relative_to(project))
    return None


def _has_content(path: str) -> bool:
    try:
        found = os.lstat(path)
    except OSError as error:  # for instance a path that is too long
        raise_want(error)
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size > 0
