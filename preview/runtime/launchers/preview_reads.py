"""Notes which variables the project reads and finds without a value; one line names them if it ends before it serves.

The service makes placeholders of that line: it sees a read whatever function of the project's own makes it. A read with
a default (``os.getenv("X", "1")``) is not noted, and neither is one by a package while it is imported.

Runs in the child, on the project's own interpreter: standard library only.
"""

from __future__ import annotations

import atexit
import os
import re
import sys
import types
from collections.abc import Callable
from typing import Any

_MOST = 40
_MOST_FRAMES = 30
_MOST_OTHERS = 1000
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,80}\Z")
_BEGIN = "read without a value: "


class _Reads:
    """The names that were read, in order."""

    def __init__(self, folders: tuple[str, ...]) -> None:
        self.folders = folders
        self.names: dict[str, None] = {}
        self.others: set[str] = set()

    def note(self, name: object) -> None:
        """Note the name if the project's own code reads it."""
        if not isinstance(name, str) or name in self.names or name in self.others or not _NAME.match(name):
            return
        if len(self.names) < _MOST and self._is_own(sys._getframe(2)):  # noqa: SLF001  there is no other way to learn it
            self.names[name] = None
        elif len(self.others) < _MOST_OTHERS:
            self.others.add(name)

    def _is_own(self, frame: types.FrameType | None) -> bool:
        """Return true if the project's code is reached before the import of a package is."""
        for _ in range(_MOST_FRAMES):
            if frame is None or frame.f_globals.get("__name__", "").startswith("importlib."):
                return False
            file = frame.f_code.co_filename
            if file.startswith(self.folders) and "/site-packages/" not in file:
                return True
            frame = frame.f_back
        return False


def watch_reads(folders: tuple[str, ...], say: Callable[[str], None]) -> None:
    """Watch ``os.environ`` until ``stop_watching`` is called, which is once the application serves.

    Args:
        folders: Absolute paths of the project's folders.
        say: Called with one line if the interpreter ends before that, and names were read.
    """
    stop_watching()
    reads = _Reads(tuple(folder.rstrip("/") + "/" for folder in folders))
    environ: Any = os.environ
    usual: Any = type(environ)

    class Watched(usual):  # type: ignore[misc]
        """Environment that notes missing names."""

        def __getitem__(self, name: str) -> str:
            try:
                value: str = usual.__getitem__(self, name)
            except KeyError:
                reads.note(name)
                raise
            return value

        def get(self, name: str, default: Any = None) -> Any:
            try:
                return usual.__getitem__(self, name)
            except KeyError:
                if default is None:
                    reads.note(name)
                return default

    def report() -> None:
        if reads.names:
            say(_BEGIN + ", ".join(reads.names))

    def stop() -> None:
        atexit.unregister(report)
        environ.__class__ = usual

    Watched.__name__ = Watched.__qualname__ = usual.__name__
    Watched.preview_stop = staticmethod(stop)
    environ.__class__ = Watched
    atexit.register(report)


def stop_watching() -> None:
    """Read the environment as usual again. The module may have been loaded anew since ``watch_reads``."""
    stop = getattr(type(os.environ), "preview_stop", None)
    if stop is not None:
        stop()
