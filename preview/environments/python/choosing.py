"""Choice of the Python for a project's environment: the first of these that is available.

1. The configured Python. 2. A Python that the project requires, if the service's own does not fit. 3. An older Python
that a file names, if the unchanged project can be installed there and not on the service's own. 4. The nearest one from
3.12 on, if the unchanged project can be installed there (``trial``): previews then share the memory of the packages
that their template has imported. 5. The service's own Python. 6. The newest older one on which every pin is known to
work, if no file names one and a package cannot be built for the service's own.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

import trio

from preview.environments.folders.environment import Report
from preview.environments.folders.layout import Layout
from preview.environments.manifests.stated import Asked, StatedPython
from preview.environments.python.recipe import Recipe, built_anew, make_recipe
from preview.environments.python.refusals import Refusals
from preview.environments.python.trial import objection
from preview.environments.requirements.arguments import as_for
from preview.environments.requirements.floors import with_floors
from preview.environments.sandbox.installed import Installed, find_installed
from preview.environments.sandbox.interpreter import OWN, PythonInterpreter, allows, find_interpreter, find_other
from preview.errors import ConfigurationError, EnvironmentFailed
from preview.settings import Settings

# From 3.12 on objects can be immortal (PEP 683): their counters do not change, so a template's pages stay shared.
_SHARES: Final = (3, 12)
# Nearest first: the fewer versions are between them, the more packages have wheels for both.
_NEWER: Final = range(12, 15)
# The launchers need this minor version: Python 3.6 has no ``from __future__ import annotations``.
_OLDEST: Final = 7
_MOST_NEAR: Final = 2
_ANY: Final = sorted(range(_OLDEST, 20), key=lambda minor: abs(minor - sys.version_info.minor))
_MICROS: Final = 40
_MINOR: Final = re.compile(r"3\.(?P<minor>\d{1,2})")
_OWN_MODULES: Final = frozenset(sys.stdlib_module_names)


async def find_newer() -> Installed | None:
    """Return the nearest installed Python from 3.12 on; None if the service runs on 3.12 or newer, or none exists.

    Cancellation: the interpreter that is being queried is killed.
    """
    return None if sys.version_info >= _SHARES else await find_installed(_NEWER, whole=True)


class Choice:
    """Chooses Pythons, and remembers installed Pythons and failed trials.

    Args:
        settings: The settings ``environment_python``, ``uv_offline`` and ``build_code``.
        layout: The folder of all environments.
        is_held: Whether installers and previews run in a sandbox; without one, previews share no memory.
    """

    def __init__(self, settings: Settings, layout: Layout, *, is_held: bool) -> None:
        self._settings = settings
        self._layout = layout
        self._is_held = is_held
        self._usual: PythonInterpreter | None = None
        self._newer: Installed | None = None
        self._is_newer_known = False
        # Concurrent launches search once.
        self._looking = trio.Lock()
        # Further Pythons, by the version range that a project requires.
        self._others: dict[str, PythonInterpreter | None] = {}
        self._refusals = Refusals(layout)

    async def usual(self) -> list[PythonInterpreter]:
        """Return the Pythons for projects without a required version, the likeliest first.

        Raises:
            ConfigurationError: The configured Python does not exist.

        Cancellation: nothing changes.
        """
        newer, usual = await self._find_newer(), await self._find_usual()
        return [usual] if newer is None else [newer.interpreter, usual]

    async def recipe(self, asked: Asked, report: Report) -> Recipe:
        """Return the recipe for the Python that suits the project best.

        Raises:
            ConfigurationError: The configured Python does not exist.

        Cancellation: nothing changes.
        """
        usual, newer = await self._find_usual(), await self._find_newer()
        requires = asked.required.requires_python
        if (older := await self._older(asked, usual, report)) is not None:
            return self._recipe_for(asked, older)
        named = await self._named(asked, usual)
        # What a tool is set to says nothing against newer Pythons.
        may_be_newer = named is None or (asked.stated is not None and asked.stated.is_hint)
        if asked.is_dated:
            # Old packages have no wheels for newer Pythons, and nothing is tried with two of them.
            may_be_newer = False
            if named is not None and asked.stated is not None and not asked.stated.is_hint:
                report(f"Using Python {named.version} ({asked.stated.file})", logging.INFO)
                return self._recipe_for(asked, named)
            named = None
        if may_be_newer and newer is not None and allows(requires, usual) and allows(requires, newer.interpreter):
            tried = self._trial(asked, usual, newer, report)
            if tried is not None:
                return tried
        if named is not None and (tried := self._as_written(asked, usual, named, report)) is not None:
            return tried
        interpreter = await self._wanted(asked, usual, report)
        if requires is not None and not allows(requires, interpreter):
            asked = replace(asked, required=as_for(asked.required, requires))
        return await self._or_older(asked, self._recipe_for(asked, interpreter), report)

    async def _or_older(self, asked: Asked, recipe: Recipe, report: Report) -> Recipe:
        """Return the recipe, or that for an older Python if a package could not be built for this one.

        Only for pins that are known not to work on this Python, with the newest one on which all are known to work.
        """
        older = await self._newest_for_all(asked, recipe.interpreter)
        if older is None:
            return recipe
        second = self._recipe_for(asked, older)
        why = self._refusals.why(recipe.key)
        if self._layout.is_usable(recipe.key) or (why is None and not self._layout.is_usable(second.key)):
            return replace(recipe, has_older=True)
        reason = f": with {recipe.interpreter.version} {why}" if why is not None else ", as before"
        report(f"Using Python {older.version}{reason}", logging.INFO)
        return second

    async def _newest_for_all(self, asked: Asked, usual: PythonInterpreter) -> PythonInterpreter | None:
        """Return the newest older Python on which every pin works; None without one, or if they do on the usual one."""
        is_named = asked.stated is not None and not asked.stated.is_hint
        if is_named or not self._is_held or self._settings.environment_python not in {None, OWN}:
            return None
        if not with_floors(asked.required, usual.version)[1]:
            return None
        for minor in range(int(usual.version.split(".")[1]) - 1, _OLDEST - 1, -1):
            if with_floors(asked.required, f"3.{minor}")[1]:
                continue
            found = await self._other(f"==3.{minor}.*")
            if found is not None and allows(asked.required.requires_python, found):
                return found
        return None

    def _recipe_for(self, asked: Asked, interpreter: PythonInterpreter) -> Recipe:
        recipe = make_recipe(asked, interpreter, runs_code=self._runs_code)
        return built_anew(recipe, self._layout, is_held=self._is_held)

    def _trial(self, asked: Asked, usual: PythonInterpreter, newer: Installed, report: Report) -> Recipe | None:
        """Return the recipe for the newer Python; None if something rules it out."""
        if asked.standard is None:
            # The project's own command starts it, so its imports are unknown.
            return None
        tried = make_recipe(asked, newer.interpreter, runs_code=self._runs_code, ahead_of=usual)
        version = newer.interpreter.version
        gone = _OWN_MODULES - newer.modules
        why = _said_against(asked, newer) or objection(asked.required, asked.standard, gone, version, usual.version)
        if why is None and self._layout.is_usable(tried.key):
            return tried
        why = why or self._refusals.why(tried.key)
        if why is not None:
            report(f"Using Python {usual.version} instead of {version}: {why}", logging.INFO)
            return None
        # An existing environment is ready at once and needs no network.
        is_there = self._layout.is_usable(make_recipe(asked, usual, runs_code=self._runs_code).key)
        return None if is_there else tried

    async def _named(self, asked: Asked, usual: PythonInterpreter) -> PythonInterpreter | None:
        """Return the installed Python, older than the usual one, that a file names; None if there is none."""
        stated, requires = asked.stated, asked.required.requires_python
        if stated is None or asked.standard is None or not self._is_held or not asked.required.requirements:
            return None
        if self._settings.environment_python not in {None, OWN} or not allows(requires, usual):
            return None
        if not _OLDEST <= stated.minor < int(usual.version.split(".")[1]):
            return None
        found = await self._other(f"==3.{stated.minor}.*")
        return found if found is not None and allows(requires, found) else None

    def _as_written(
        self, asked: Asked, usual: PythonInterpreter, named: PythonInterpreter, report: Report
    ) -> Recipe | None:
        """Return the recipe that installs the project as it is written; None if neither Python can.

        1. The usual Python, with wheels only. 2. The Python that a file names, which may build packages.
        """
        _, sentences = with_floors(asked.required, usual.version)
        first = make_recipe(asked, usual, runs_code=self._runs_code, ahead_of=named)
        why = sentences[0].rpartition(": ")[0] if sentences else self._refusals.why(first.key)
        if why is None:
            # An environment that is there is ready at once and needs no network.
            plain = make_recipe(asked, usual, runs_code=self._runs_code)
            is_there = self._layout.is_usable(plain.key) and not self._layout.is_usable(first.key)
            return None if is_there else first
        second = make_recipe(asked, named, runs_code=self._runs_code, ahead_of=usual, trial_builds=True)
        file = asked.stated.file if asked.stated is not None else "a file"
        if (why_not := self._refusals.why(second.key)) is not None:
            report(f"Using Python {usual.version} instead of {named.version} ({file}): {why_not}", logging.INFO)
            return None
        report(f"Using Python {named.version} ({file}): with {usual.version} {why}", logging.INFO)
        return second

    def is_refused(self, recipe: Recipe, error: EnvironmentFailed) -> bool:
        """Remember that the recipe failed; True if ``recipe`` now chooses another Python."""
        if recipe.has_older and error.details.get("reason") == "build":
            return self._refusals.note(recipe.key, error)
        return recipe.ahead_of is not None and self._refusals.note(recipe.key, error)

    @property
    def _runs_code(self) -> bool:
        return self._settings.build_code == "allow"

    async def _wanted(self, asked: Asked, usual: PythonInterpreter, report: Report) -> PythonInterpreter:
        """Return the usual Python, or another one on this machine if the project requires it."""
        requires = asked.required.requires_python
        if requires is None or allows(requires, usual):
            return usual
        found = await self._other(requires) if self._settings.environment_python in {None, OWN} else None
        source = asked.required.source
        if found is not None:
            report(f"Using Python {found.version}: the project requires {requires} ({source})", logging.INFO)
            return found
        near = await self._near(requires, usual) if self._settings.environment_python in {None, OWN} else None
        taken = usual if near is None else near
        why = f"previews run on 3.{_OLDEST} or newer" if _is_too_old(requires) else "which is not installed here"
        report(
            f"The project requires Python {requires} ({source}), {why}: trying with {taken.version}", logging.WARNING
        )
        return taken

    async def _near(self, requires: str, usual: PythonInterpreter) -> PythonInterpreter | None:
        """Return an installed Python near the range.

        1. A minor version that the range allows in another release: 3.13.0 for 3.13.6.
        2. The newest one between the usual one and the range: 3.13 for 3.14.
        """
        allowed = [minor for minor in _ANY if _allows_one_of(requires, (minor,))]
        between = range(min(allowed, default=0) - 1, int(usual.version.split(".")[1]), -1)
        for minor in (*allowed[:_MOST_NEAR], *between[:_MOST_NEAR]):
            if (found := await self._other(f"==3.{minor}.*")) is not None:
                return found
        return None

    async def _older(self, asked: Asked, usual: PythonInterpreter, report: Report) -> PythonInterpreter | None:
        """Return the older Python that a file names, if a pin is known to fail on the usual one; None otherwise.

        If that Python is not there, the next newer one on which all pins work is taken: 3.7 for 3.6.
        """
        stated, requires = asked.stated, asked.required.requires_python
        if requires is not None and _is_too_old(requires):
            # No Python here satisfies the manifest; the nearest one has priority over other files.
            stated, requires = StatedPython(_OLDEST - 1, asked.required.source or "its manifest"), None
        if stated is None or self._settings.environment_python not in {None, OWN}:
            return None
        _, sentences = with_floors(asked.required, usual.version)
        if not sentences:
            return None
        for minor in range(max(stated.minor, _OLDEST), int(usual.version.split(".")[1])):
            if with_floors(asked.required, f"3.{minor}")[1]:
                break
            found = await self._other(f"==3.{minor}.*")
            if found is not None and allows(requires, found):
                why = sentences[0].rpartition(": ")[0]
                named = f"3.{stated.minor}" if stated.minor >= _OLDEST else "an older one than previews run on"
                report(f"Using Python {found.version}: {stated.file} names {named}, and {why}", logging.INFO)
                return found
        return None

    async def _other(self, requires: str) -> PythonInterpreter | None:
        """Return an installed Python in this range, remembered."""
        if requires not in self._others:
            self._others[requires] = await _find_any(requires)
        return self._others[requires]

    async def _find_usual(self) -> PythonInterpreter:
        if self._usual is None:
            self._usual = await _find_configured(self._settings)
        return self._usual

    async def _find_newer(self) -> Installed | None:
        if self._settings.environment_python is not None or not self._is_held:
            return None
        async with self._looking:
            if not self._is_newer_known:
                self._newer, self._is_newer_known = await find_newer(), True
        return self._newer


def _is_too_old(requires: str) -> bool:
    """Return whether the range allows only releases before those that previews run on."""
    return _allows_one_of(requires, range(_OLDEST)) and not _allows_one_of(requires, _ANY)


def _allows_one_of(requires: str, minors: Iterable[int]) -> bool:
    releases = (PythonInterpreter("", f"3.{minor}.{micro}", "") for minor in minors for micro in range(_MICROS))
    return any(allows(requires, one) for one in releases)


def _said_against(asked: Asked, newer: Installed) -> str | None:
    """Return a reason in the project's files against the newer Python; None if there is none."""
    minor = int(newer.interpreter.version.split(".")[1])
    if asked.stated is not None and not asked.stated.is_hint and asked.stated.minor < minor:
        return f"{asked.stated.file} names 3.{asked.stated.minor}"
    use = next((use for use in asked.old_uses if (3, minor) >= use.since), None)
    return None if use is None else f"{use.file} uses {use.uses}, which newer ones do not have"


async def _find_configured(settings: Settings) -> PythonInterpreter:
    wanted = settings.environment_python
    try:
        return await find_interpreter(wanted, offline=settings.uv_offline)
    except ConfigurationError as error:
        not_found = error
    match = _MINOR.fullmatch(wanted or "")
    found = None if match is None else await find_installed([int(match["minor"])])
    if found is None:
        raise not_found
    return found.interpreter


async def _find_any(requires: str) -> PythonInterpreter | None:
    other = await find_other(requires)
    if other is None or int(other.version.split(".")[1]) < _OLDEST:
        found = await find_installed(_ANY, requires)
        other = None if found is None else found.interpreter
    return other
