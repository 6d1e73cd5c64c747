"""Files of the installation that previews read: an installation under a strict umask is closed to other users."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from preview.runtime.launchers import LAUNCHERS
from preview.runtime.sandbox import interpreter_paths
from preview.runtime.warm.command import TEMPLATE

# More Pythons than anybody has installed.
_MOST = 1000


def closed_to_previews() -> Path | None:
    """Return a file or folder that previews with users of their own need and cannot read; None if none was found.

    Looks at all files of the launchers, and at a few of each interpreter: a strict umask closes all alike.
    """
    return next((path for path in _needed() if _is_closed(path)), None)


def _needed() -> Iterator[Path]:
    for folder in (LAUNCHERS, TEMPLATE):
        yield folder
        yield from folder.glob("*.*")
    yield from _parts(Path(sys.executable))
    library = Path(os.__file__)
    yield from (library.parent, library, library.parent / "encodings", library.parent / "encodings" / "__init__.py")
    node = shutil.which("node")
    for program in ([Path(node)] if node else []) + _others():
        yield from _parts(program)


def _parts(program: Path) -> Iterable[Path]:
    return (program, *interpreter_paths(program))


def _others() -> list[Path]:
    """Return the Pythons that uv has installed: a project may require one of them."""
    named, data = os.environ.get("UV_PYTHON_INSTALL_DIR"), os.environ.get("XDG_DATA_HOME")
    try:
        pythons = Path(named or Path(data or Path.home() / ".local" / "share") / "uv" / "python")
    except RuntimeError:  # The user has no home folder.
        return []
    return [path for path, _ in zip(pythons.glob("*/bin/python3"), range(_MOST), strict=False)]


def _is_closed(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    wanted = 0o005 if stat.S_ISDIR(mode) or mode & stat.S_IXUSR else 0o004
    return mode & wanted != wanted
