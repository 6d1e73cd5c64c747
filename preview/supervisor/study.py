"""What is read off a project's files before it starts: how it starts and what it imports; once for the same files."""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock

from preview.descriptors import raise_want, walk
from preview.detection import Overrides, StartPlan, detect
from preview.sources import Sources
from preview.supervisor.plain_files import read_plain
from preview.supervisor.project_imports import find_imports

__all__ = ["Studies", "Study"]

_MOST_REMEMBERED = 256
# To read more than that takes as long as to think about it.
_MOST_BYTES = 16 << 20
# What opening one more file costs, in bytes that could have been read meanwhile.
_FILE_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Study:
    """What a project's files say.

    Attributes:
        plan: How it starts.
        own: Names of its own modules at the top level, which go before packages of the same name.
        imports: What it imports besides; see ``WarmStart.modules``.
        sources: The files that this was read from, just now; None where it was known. Forgotten once there is an
            environment.
    """

    plan: StartPlan
    own: frozenset[str]
    imports: tuple[str, ...]
    sources: Sources | None = field(default=None, compare=False, repr=False)


class Studies:
    """Reads projects, and remembers the last of them by what their files hold. To be used from threads.

    Nothing of a project but these findings is kept, and who has the same files could read the same off them.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        # The least recently used first.
        self._known: OrderedDict[bytes, Study] = OrderedDict()

    def study(self, project: Path, overrides: Overrides | None, *, is_still: bool = True) -> Study:
        """What the project's files say. Blocks; call it in a thread.

        Args:
            project: Its folder.
            overrides: What a launch request decides.
            is_still: Whether nothing can write there meanwhile. Else nothing is remembered: what somebody's running
                code changes between two looks must not become what is known of somebody else's files.

        Raises:
            PreviewError: As ``detect``.
        """
        key = _digest(project, overrides)
        with self._lock:
            known = self._known.get(key) if key is not None else None
            if known is not None and key is not None:
                self._known.move_to_end(key)
                return known
        sources = Sources(project)
        plan = detect(project, overrides, sources)
        found = Study(plan, *find_imports(plan, project))
        if key is not None and is_still:
            with self._lock:
                self._known[key] = found
                while len(self._known) > _MOST_REMEMBERED:
                    self._known.popitem(last=False)
        return replace(found, sources=sources)


def _digest(project: Path, overrides: Overrides | None) -> bytes | None:
    """Names, kinds and contents of all files; None for a project that is too large for it."""
    said = hashlib.sha256(repr(overrides).encode())
    left = _MOST_BYTES
    for folder, names, files in walk(project):
        names.sort()
        said.update(f"\0{os.path.relpath(folder, project)}\0{names}\0".encode("utf-8", "surrogateescape"))
        # Links to folders are among the folders, and are not gone into.
        for name in sorted((*files, *(one for one in names if os.path.islink(os.path.join(folder, one))))):  # noqa: PTH114, PTH118
            path = os.path.join(folder, name)  # noqa: PTH118  hundreds of files
            if os.path.islink(path):  # noqa: PTH114
                content = os.fsencode(os.readlink(path))  # noqa: PTH115
            else:
                try:
                    content = read_plain(path, left + 1)
                except OSError as error:
                    raise_want(error)
                    return None
            left -= len(content) + _FILE_BYTES
            if left < 0:
                return None
            said.update(f"\0{name}\0{len(content)}\0".encode("utf-8", "surrogateescape"))
            said.update(content)
    return said.digest()
