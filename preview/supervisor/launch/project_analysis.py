"""Analysis of a project's files before the start: plan and imports, cached by the files' content."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import trio

from preview.core.bounded_dict import BoundedDict
from preview.core.descriptors import raise_want, walk
from preview.detection import Overrides, ServiceKind, StartPlan
from preview.environments.manifests.stated import Asked
from preview.environments.store.eviction import is_shareable
from preview.sources.node_files import read_plain
from preview.worker import ProjectReader, Unreadable

_MOST_REMEMBERED = 256
# Larger projects are not cached: reading them for the key takes as long as the analysis.
_MOST_BYTES = 16 << 20
# Cost of opening one more file, in bytes that could be read in the same time.
_FILE_BYTES = 1024


@dataclass(frozen=True, slots=True)
class ProjectAnalysis:
    """Analysis of a project's files.

    Attributes:
        plan: The start plan.
        own: Names of the project's top-level modules, which take precedence over packages of the same name.
        imports: Other modules that it imports; see ``WarmStart.modules``.
        asked: Its Python requirements; None for a Node project.
        unreadable: Reason why the requirements cannot be read.
    """

    plan: StartPlan
    own: frozenset[str]
    imports: tuple[str, ...]
    asked: Asked | None = None
    unreadable: Unreadable | None = None


class AnalysisCache:
    """Analyses projects, and caches the newest results by the content of their files.

    The cache keeps nothing of a project but these results, which anyone with the same files could compute.

    Args:
        reader: Analyses the files.
        supplied: Kinds of servers that previews get.
    """

    def __init__(self, reader: ProjectReader, supplied: frozenset[ServiceKind] = frozenset()) -> None:
        self._reader = reader
        self._supplied = supplied
        self._known: BoundedDict[bytes, ProjectAnalysis] = BoundedDict(_MOST_REMEMBERED)

    async def analyse(self, project: Path, overrides: Overrides | None, *, is_still: bool = True) -> ProjectAnalysis:
        """Analyse the project's files.

        Args:
            project: The project's folder.
            overrides: Start options of a launch request.
            is_still: True if no process can write in the folder meanwhile. Otherwise nothing is cached: running code
                could change files between hashing and analysis, and so give another user's files a wrong result.

        Raises:
            TooComplex, AnalysisFailed: The files cannot be read.
            PreviewError: See ``detect``.

        Cancellation: the process that reads the files is killed.
        """
        key = await trio.to_thread.run_sync(_digest, project, overrides, self._supplied, abandon_on_cancel=True)
        if key is not None and (known := self._known.use(key)) is not None:
            return known
        found = await self._reader.analyse(project, overrides, self._supplied)
        analysis = ProjectAnalysis(found.plan, found.own, found.imports, found.asked, found.unreadable)
        # A package inside the project is recorded by its path, which is wrong for other copies of the project.
        if key is not None and is_still and (found.asked is None or is_shareable(found.asked)):
            self._known[key] = analysis
        return analysis


def _digest(project: Path, overrides: Overrides | None, supplied: frozenset[ServiceKind]) -> bytes | None:
    """Hash names, kinds and contents of all files; None if the project is too large."""
    said = hashlib.sha256(repr((overrides, sorted(supplied))).encode())
    left = _MOST_BYTES
    for folder, names, files in walk(project):
        names.sort()
        said.update(f"\0{os.path.relpath(folder, project)}\0{names}\0".encode("utf-8", "surrogateescape"))
        # ``walk`` lists links to folders among the folders, and does not follow them.
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
