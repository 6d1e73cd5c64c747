"""Mends of the import path: a module that the project has, in a folder that is not on it. Pure."""

from __future__ import annotations

import posixpath
import re
from typing import Final

from packaging.utils import canonicalize_name

from preview.detection import Toolchain
from preview.environments import is_known_module
from preview.supervisor.mending.model import FailedStart, Mend, newest_error

_FRAME: Final = re.compile(r'\s{0,8}File "(?P<path>/[^"]{1,400})", line \d{1,7}')
_MISSING: Final = re.compile(r"ModuleNotFoundError: No module named '(?P<name>[A-Za-z_][\w.]{0,200})'")


def mend_paths(failed: FailedStart) -> Mend | None:
    """Return the uppermost folder from which the missing module can be imported; None if the project lacks it."""
    number = newest_error(failed.lines)
    match = None if number is None else _MISSING.match(failed.lines[number])
    if number is None or match is None or failed.plan.toolchain is not Toolchain.PYTHON:
        return None
    path = match["name"].replace(".", "/")
    first = path.partition("/")[0]
    ends = (f"{path}.py", f"{path}/__init__.py") if "/" in path else (f"{path}.py", f"{path}/")
    folders = {"." if found == "" else found for name in failed.files if (found := _before(name, ends)) is not None}
    if is_known_module(match["name"]):
        # `app/redis.py` in a package is not what `import redis` means.
        folders = {one for one in folders if posixpath.normpath(f"{one}/__init__.py") not in failed.files}
        # Nor is the file itself that asks for it (`clients/redis.py`).
        asks = next((match["path"] for line in failed.lines[number::-1] if (match := _FRAME.match(line))), "")
        if asks.endswith(f"/{path}.py"):
            folders.discard(posixpath.relpath(posixpath.dirname(asks), failed.root))
    folders -= _hiding_packages(failed)
    known = {*failed.plan.python_path, failed.plan.directory}
    folder = min(folders - known, key=lambda one: (one != "." and one.count("/") + 1, one), default=None)
    if folder is None:
        return None
    named = "the project's own folder" if folder == "." else folder
    path_now = tuple(dict.fromkeys((*failed.plan.python_path, folder)))
    return Mend(f"the module {first} is in {named}: adding it to the import path", python_path=path_now)


def _hiding_packages(failed: FailedStart) -> set[str]:
    """Return the folders that have a module with the name of a package that a manifest requires: ``redis.py``."""
    python = (name for name in failed.files if name.endswith(".py"))
    modules = (posixpath.split(name.removesuffix("/__init__.py").removesuffix(".py")) for name in python)
    return {folder or "." for folder, module in modules if canonicalize_name(module) in failed.required}


def _before(name: str, ends: tuple[str, str]) -> str | None:
    """Return the folder above the module in this file's path, without a slash at the end; None if it has none."""
    for end in ends:
        at = f"/{name}".find(f"/{end}")
        if at >= 0 and (end.endswith("/") or f"/{name}"[at + 1 :] == end):
            return f"/{name}"[:at].strip("/")
    return None
