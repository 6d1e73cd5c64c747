"""Attempts of one launch: each failed one is mended once, a few times at most."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import trio
from packaging.utils import canonicalize_name

from preview.core.descriptors import walk
from preview.detection import OLDER_PYTHON, OWN_BUILD, OWN_START, Overrides, Toolchain, merge
from preview.environments import RequirementSet
from preview.environments.python.drift import told_day
from preview.errors import PreviewError
from preview.logs import Level
from preview.supervisor.launch.project_analysis import AnalysisCache, ProjectAnalysis
from preview.supervisor.mending.container_folder import find_container_folder
from preview.supervisor.mending.container_values import (
    find_container_values,
    find_example_values,
    find_keys,
    find_mentioned,
    find_read_together,
)
from preview.supervisor.mending.find import find_mend
from preview.supervisor.mending.model import FailedStart, Mend, shortened
from preview.supervisor.mending.refusals import mend_all_dispensable
from preview.supervisor.mending.starts import (
    error_of,
    has_failed_to_load,
    is_other_start,
    is_without_entry,
    may_be_newer_python,
    may_work_when_built,
)
from preview.supervisor.preview.live_preview import LivePreview

_MOST: Final = 5
_MOST_FILES: Final = 5_000
_MOST_ENTRIES: Final = 50_000
_SKIPPED: Final = frozenset({"node_modules", "venv", "env", "site-packages", "__pycache__"})
_ENDS: Final = (".py", ".js", ".ts", ".mjs", ".cjs", ".mts", ".cts", ".jsx", ".tsx")


class Mender:
    """Finds a mend for the attempt that runs, and then ends the attempt.

    Args:
        preview: The preview.
        scope: Cancelled to end the attempt.
        analysis: The attempt's analysis.
        analyses: Analyses the project with other overrides.
        shown: Folders of the service in which a sandbox shows some at their own paths.
        is_offline: Installers use only what they have.
    """

    def __init__(
        self,
        preview: LivePreview,
        scope: trio.CancelScope,
        analysis: ProjectAnalysis,
        analyses: AnalysisCache,
        *,
        shown: tuple[Path, ...] = (),
        is_offline: bool = False,
    ) -> None:
        self._preview = preview
        self._scope = scope
        self._analysis = analysis
        self._analyses = analyses
        self._shown = shown
        self._is_offline = is_offline
        self.found: Mend | None = None

    async def offer(self, lines: Sequence[str], *, is_step: bool = False, is_optional: bool = False) -> bool:
        """Return True if the attempt's failure can be mended; the attempt is being ended then.

        Args:
            lines: The last lines of the program that failed.
            is_step: It is a step before the start, so that the application has not been loaded.
            is_optional: The application may start without the step, so nothing is changed on suspicion.

        Cancellation: nothing changes.
        """
        preview, mends = self._preview, self._preview.mends
        if preview.outcome is not None or preview.directory is None:
            return False
        if trio.current_time() >= min(mends.until, preview.deadlines.expires_at):
            return False
        last = shortened(lines)
        if len(mends.tried) >= _MOST:
            return not is_optional and self._return_to_sources(last, is_step=is_step)
        if self._analysis.plan.toolchain is Toolchain.IMAGE:
            return False
        find = partial(self._find, str(preview.directory), last, mends.tried)
        mend, last_resort = await trio.to_thread.run_sync(find, abandon_on_cancel=True)
        if is_optional and mend is not None and (mend.is_dated or mend.withdrawn):
            mend = None
        if mend is None and may_be_newer_python(last):
            mend = await self._find_older_python(preview.directory)
        if mend is None and not is_step and has_failed_to_load(last, self._analysis.plan, str(preview.directory)):
            mend = await self._find_own_start(preview.directory)
        if mend is None and not is_step and may_work_when_built(last, self._analysis.plan):
            mend = await self._find_own_build(preview.directory)
        if mend is None and not is_step and not mends.overrides.is_built:
            mend = last_resort
        if preview.outcome is not None:
            return False
        if mend is None:
            return not is_optional and self._return_to_sources(last, is_step=is_step)
        if mend.is_built:
            mends.failure_of_sources = error_of(last)
        self.found = mend
        preview.log.say(f"{mend.why}; starting again", Level.WARNING)
        path = tuple(one for one in mend.python_path or () if one not in self._analysis.plan.python_path)
        added = Overrides(
            variables=mend.variables,
            withdrawn=mend.withdrawn,
            extra_requirements=mend.requirements,
            added_path=path,
            is_dated=mend.is_dated,
            is_own_start=mend.is_own_start,
            is_built=mend.is_built,
            linked_at=mend.linked_at,
            linked_folder=mend.linked_folder,
            for_older_python=mend.for_older_python,
            administers=mend.administers,
        )
        mends.add(
            mend.changes, merge(mends.overrides, added), mend.folders, mend.why, mend.links, left_out=mend.left_out
        )
        self._scope.cancel()
        return True

    def _return_to_sources(self, lines: Sequence[str], *, is_step: bool) -> bool:
        """Start the sources again if their build has made nothing, or fails as they do: then theirs is to be reported.

        Another failure of the output is the project's own, and is reported.
        """
        mends = self._preview.mends
        error = error_of(lines)
        is_the_same = error is None or error == mends.failure_of_sources
        if not (is_step or is_the_same or is_without_entry(error, self._analysis.plan)) or not mends.leave_build():
            return False
        self.found = Mend("")
        self._preview.log.say("its own build fails, too; starting the sources again", Level.WARNING)
        self._scope.cancel()
        return True

    async def _find_own_build(self, project: Path) -> Mend | None:
        """Return the start from the output of the project's own build; once for each launch.

        A worker reads the files, as before the first attempt. Cancellation: nothing changes.
        """
        mends = self._preview.mends
        if mends.overrides.is_built or Mend("", is_built=True).changes in mends.tried:
            return None
        wanted = merge(mends.under(self._preview.overrides) or Overrides(), Overrides(is_built=True))
        try:
            # Processes of the failed attempt may still write in the folder.
            found = await self._analyses.analyse(project, wanted, is_still=False)
        except PreviewError:
            return None
        why = next((one for one in found.plan.decisions if one.startswith(OWN_BUILD)), None)
        return None if why is None else Mend(f"the sources could not be loaded: it is {why}", is_built=True)

    async def _find_older_python(self, project: Path) -> Mend | None:
        """Return the edits of source that is written for Python 3.14, if there are any; once for each launch.

        A worker reads the files, as before the first attempt. Cancellation: nothing changes.
        """
        given = self._preview.mends.under(self._preview.overrides) or Overrides()
        if given.for_older_python:
            return None
        try:
            wanted = merge(given, Overrides(for_older_python=True))
            found = await self._analyses.analyse(project, wanted, is_still=False)
        except PreviewError:
            return None
        step = next((one for one in found.plan.steps if one.name == OLDER_PYTHON), None)
        return None if step is None else Mend(step.why, for_older_python=True)

    async def _find_own_start(self, project: Path) -> Mend | None:
        """Return the start by the project's own command, if that starts another entry; once for each launch.

        A worker reads the files, as before the first attempt. Cancellation: nothing changes.
        """
        given = self._preview.overrides or Overrides()
        # One whose packages cannot be installed was taken back.
        if given.is_own_start or Mend("", is_own_start=True).changes in self._preview.mends.tried:
            return None
        wanted = merge(given, Overrides(is_own_start=True))
        try:
            # Processes of the failed attempt may still write in the folder.
            found = await self._analyses.analyse(project, wanted, is_still=False)
        except PreviewError:
            return None
        why = next((one for one in found.plan.decisions if one.startswith(OWN_START)), None)
        if why is None or not is_other_start(self._analysis.plan, found.plan):
            return None
        return Mend(f"the application could not be loaded: it is {why}", is_own_start=True)

    def _has_day(self) -> bool:
        """Return whether the project's files tell a day, or name versions that have one."""
        asked = self._analysis.asked
        if asked is None or self._is_offline:
            return False
        # A lock names all packages; a limit of one (`bcrypt<4.1`) leaves the others open.
        if asked.required.all_pinned and any(one.pinned for one in asked.required.constraints):
            return False
        told = told_day(asked.worked_on, asked.stated, is_recent=True)
        return told is not None or any(one.pinned for one in asked.required.requirements)

    def _is_sandboxed(self) -> bool:
        """Return whether the preview's file system is its own, and the machine's otherwise."""
        confinement = self._preview.confinement
        return confinement is not None and confinement.runtime == "sandbox"

    def _find(self, project: str, lines: Sequence[str], tried: frozenset[object]) -> tuple[Mend | None, Mend | None]:
        """Return a mend, and one of last resort; None if there is none, or no folder can be read. For a thread."""
        try:
            files, names, folders = _modules(project)
            is_sandboxed = self._is_sandboxed()
            container_folder = find_container_folder(Path(project), files, self._shown) if is_sandboxed else None
        except OSError:
            return None, None
        own = frozenset(name.partition("/")[0].partition(".")[0] for name in files)
        asked = self._analysis.asked
        required = RequirementSet() if asked is None else asked.required
        failed = FailedStart(
            lines,
            self._analysis.plan,
            self._analysis.own | own,
            project,
            {canonicalize_name(one.name): _plain(one.text) for one in required.spare if one.name},
            files,
            required.withheld,
            {one.name: one.pinned for one in (*required.requirements, *required.constraints) if one.name},
            {one.name for one in required.requirements if one.name and one.applies},
            folders,
            self._has_day(),
            names,
            container_folder,
            find_container_values(Path(project)),
            find_example_values(Path(project), names),
            is_sandboxed,
            self._preview.servers.can_be_administered,
            self._shown,
            partial(find_read_together, Path(project), files),
            partial(find_keys, Path(project), files),
            partial(find_mentioned, Path(project), files),
        )
        last_resort = mend_all_dispensable(failed)
        is_new = last_resort is not None and last_resort.changes not in tried
        return find_mend(failed, tried), last_resort if is_new else None


def _plain(line: str) -> str:
    """Return a requirement without hashes, for any Python: the program has asked for the package."""
    return re.split(r";| --", line, maxsplit=1)[0].strip()


def _modules(project: str) -> tuple[list[str], frozenset[str], frozenset[str]]:
    """Return the paths of the project's modules, those of upper folders first, its files, and its folders.

    Links to folders are left out.
    """
    found: list[str] = []
    all_files: set[str] = set()
    folders: set[str] = set()
    seen = 0
    for folder, names, files in walk(Path(project)):
        names[:] = sorted(name for name in names if name not in _SKIPPED and not name.startswith("."))
        inner = os.path.relpath(folder, project)
        prefix = "" if inner == "." else f"{inner}/"
        found += [f"{prefix}{name}" for name in sorted(files) if name.endswith(_ENDS)]
        all_files.update(f"{prefix}{name}" for name in files)
        folders.update(f"{prefix}{name}" for name in names)
        seen += len(names) + len(files)
        if len(found) >= _MOST_FILES or seen >= _MOST_ENTRIES:
            break
    return sorted(found[:_MOST_FILES], key=lambda name: name.count("/")), frozenset(all_files), frozenset(folders)
