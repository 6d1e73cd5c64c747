"""Analysis of a project's files before the start: plan and imports; once for the same files."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import trio

from preview.core.bounded_dict import BoundedDict
from preview.core.descriptors import raise_want, walk
from preview.detection import Overrides, StartPlan
from preview.environments.manifests.stated import Asked
from preview.environments.store.eviction import is_shareable
from preview.sources.node_files import read_plain
from preview.worker import ProjectReader, Unreadable

_MOST_REMEMBERED = 256
# To read more than that takes as long as to think about it.
_MOST_BYTES = 16 << 20
# What opening one more file costs, in bytes that could have been read meanwhile.
_FILE_BYTES = 1024


@dataclass(frozen=True, slots=True)
class ProjectAnalysis:
    """Analysis of a project's files.

    Attributes:
        plan: How it starts.
        own: Names of its own modules at the top level, which go before packages of the same name.
        imports: What it imports besides; see ``WarmStart.modules``.
        asked: What it requires of Python packages; None for a Node project.
        unreadable: Why that cannot be told.
    """

    plan: StartPlan
    own: frozenset[str]
    imports: tuple[str, ...]
    asked: Asked | None = None
    unreadable: Unreadable | None = None


class AnalysisCache:
    """Has projects read, and remembers the last of them by what their files hold.

    Nothing of a project but these findings is kept, and who has the same files could read the same off them.

    Args:
        reader: Reads them.
    """

    def __init__(self, reader: ProjectReader) -> None:
        self._reader = reader
        self._known: BoundedDict[bytes, ProjectAnalysis] = BoundedDict(_MOST_REMEMBERED)

    async def study(self, project: Path, overrides: Overrides | None, *, is_still: bool = True) -> ProjectAnalysis:
        """Analyse the project's files.

        Args:
            project: Its folder.
            overrides: What a launch request decides.
            is_still: Whether nothing can write there meanwhile. Else nothing is remembered: what somebody's running
                code changes between two looks must not become what is known of somebody else's files.

        Raises:
            TooComplex, AnalysisFailed: They cannot be read.
            PreviewError: As ``detect``.

        Cancellation: what reads them is killed.
        """
        key = await trio.to_thread.run_sync(_digest, project, overrides, abandon_on_cancel=True)
        if key is not None and (known := self._known.use(key)) is not None:
            return known
        found = await self._reader.analyse(project, overrides)
        study = ProjectAnalysis(found.plan, found.own, found.imports, found.asked, found.unreadable)
        # A package that lies in the project is named by where it lies now: that is no other copy's.
        if key is not None and is_still and (found.asked is None or is_shareable(found.asked)):
            self._known[key] = study
        return study


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
