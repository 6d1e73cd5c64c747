"""Paths in stacks: which are the project's own code, and how they are shown."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from preview.logs.failures.model import MAX_NAME, Frame

_FOREIGN = frozenset({"site-packages", "dist-packages", "node_modules", ".pnpm", ".yarn", "__pypackages__"})
_STANDARD = re.compile(r"/(?:lib|lib64)/python\d(?:\.\d{1,2})?/|/python\d{2}\.zip/")
_PACKAGES = ("/site-packages/", "/dist-packages/", "/node_modules/")
_COMPILED = (".py", ".pyx", ".pxd", ".pxi")
# Names of code without a file, such as ``<frozen importlib._bootstrap>``, ``node:internal/…``.
_NO_FILE = ("<", "node:", "internal/", "native", "webpack:", "eval ", "wasm:", "[")


class Own:
    """Decides which paths belong to a project.

    Args:
        folder: The project's folder, as the program sees it; None if unknown: then all that is not known to be foreign
            is own.
    """

    def __init__(self, folder: Path | str | None = None) -> None:
        forms = () if folder is None else dict.fromkeys((str(folder), os.path.realpath(folder)))
        self._roots: Sequence[str] = tuple(f"{form.rstrip('/')}/" for form in forms)

    def frame(self, path: str, line: int, function: str = "", code: str = "") -> Frame:
        """Return the frame, with the path as it is shown."""
        path = path.removeprefix("file://")[: 4 * MAX_NAME]
        shown, is_own = self._look(path)
        return Frame(shown[-MAX_NAME:], line, function[:MAX_NAME], code[:MAX_NAME], is_own)

    def _look(self, path: str) -> tuple[str, bool]:
        if not path or path.startswith(_NO_FILE):
            return path, False
        for root in self._roots:
            if path.startswith(root):
                shown = os.path.normpath(path.removeprefix(root))
                return shown, not shown.startswith("..") and _FOREIGN.isdisjoint(shown.split("/"))
        if not path.startswith("/"):
            # A program that runs in its folder may print paths from there. Compiled packages print paths of their
            # sources, from a folder that is not here: `pandas/_libs/index.pyx`, `lib/sqlalchemy/engine/_cy.py`.
            shown = os.path.normpath(path)
            if "/" in shown and path.endswith(_COMPILED):
                return shown, False
            return shown, not shown.startswith("..") and _FOREIGN.isdisjoint(shown.split("/"))
        is_foreign = bool(self._roots) or not _FOREIGN.isdisjoint(path.split("/")) or _STANDARD.search(path) is not None
        return (_in_package(path) if is_foreign else path), not is_foreign


def _in_package(path: str) -> str:
    """Return a path without the folders in which packages are installed."""
    return path[max((at + len(one) for one in _PACKAGES if (at := path.rfind(one)) >= 0), default=0) :]
