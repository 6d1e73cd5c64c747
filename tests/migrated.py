"""The database of a service that a test starts as a process: a copy of a migrated file.

All migrations take a core for a third of a second, Alembic's import included; tests/storage has what they do, and the
services of tests that do not use this (`preview run`, tests/faults) migrate a new file themselves.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from preview.storage import migrate


@cache
def _migrated() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "preview.db")
        migrate.upgrade(f"sqlite:///{file}")
        return file.read_bytes()


def begin_migrated(environment: Mapping[str, str]) -> None:
    """Give a service with these variables its database, unless it has a data folder or another database already."""
    folder = Path(environment["PREVIEW_DATA_DIR"])
    if "PREVIEW_DATABASE_URL" in environment or folder.exists():
        return
    folder.mkdir(mode=0o700, parents=True)
    with open(folder / "preview.db", "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(_migrated())
