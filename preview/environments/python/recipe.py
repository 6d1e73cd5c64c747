"""Recipes: the facts that determine an environment, and the key derived from them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Final

from preview.environments.folders.environment import builder_name
from preview.environments.folders.layout import Layout
from preview.environments.imports.scan import Wanted
from preview.environments.manifests.stated import Asked
from preview.environments.python.drift import NewestPin, told_day
from preview.environments.requirements.requirements import RequirementSet
from preview.environments.sandbox.interpreter import PythonInterpreter

# Increase this when the content of an environment's folder changes, or the choice of packages for the same lines:
# eviction then removes the older environments.
_LAYOUT_VERSION = 8
# Their last releases for Python 3.7.
_SERVERS_3_7: Final = {"uvicorn>=0.30": "uvicorn>=0.20,<0.23", "waitress>=3": "waitress>=2,<3"}


@dataclass(frozen=True, slots=True)
class Recipe:
    """Facts that determine an environment.

    Attributes:
        key: The environment's name: a hash of all other facts.
        server: Requirement line of the added server; None if the project has its own.
        wanted: Packages that the files import but no manifest names; those still missing are added at the end.
        runs_code: Whether code of packages may run during the build.
        ahead_of: Version of the Python that is used if this one fails (see ``trial``); None if this is no trial.
        trial_builds: A trial may build packages that have no wheel.
        has_older: An older Python is used if a package cannot be built for this one.
        builder: See ``builder_name``.
        imports: Modules and names that the files import from packages. Not part of the key: they decide nothing in an
            environment whose packages go together.
        told: The day that the project's files tell. Part of the key: it may decide which versions are installed.
        is_dated: See ``EnvironmentRequest``. Part of the key.
    """

    key: str
    required: RequirementSet
    interpreter: PythonInterpreter
    server: str | None
    wanted: tuple[Wanted, ...] = ()
    runs_code: bool = True
    ahead_of: str | None = None
    trial_builds: bool = False
    has_older: bool = False
    builder: str = ""
    imports: tuple[tuple[str, str], ...] = ()
    told: NewestPin | None = None
    is_dated: bool = False


def built_anew(recipe: Recipe, layout: Layout, *, is_held: bool) -> Recipe:
    """Return the recipe with its builder, and with another key if another builder could not build a package."""
    builder = builder_name(is_held=is_held)
    return replace(recipe, key=layout.key_for(recipe.key, builder), builder=builder)


def make_recipe(
    asked: Asked,
    interpreter: PythonInterpreter,
    *,
    runs_code: bool = True,
    ahead_of: PythonInterpreter | None = None,
    trial_builds: bool = False,
) -> Recipe:
    """Return the recipe for one Python, with its key."""
    own = None if ahead_of is None else ahead_of.version
    trial = None if own is None else f"before {'.'.join(own.split('.')[:2])}{' built' if trial_builds else ''}"
    # Without imports to try, or if packages may run no code, no day decides anything.
    decides = asked.is_dated or (runs_code and bool(asked.imports))
    told = told_day(asked.worked_on, asked.stated, is_recent=asked.is_dated) if decides else None
    key = _key(asked, interpreter, runs_code=runs_code, trial=trial, told=told)
    server = asked.server
    if server is not None and interpreter.version.startswith("3.7."):
        server = _SERVERS_3_7.get(server, server)
    return Recipe(
        key,
        asked.required,
        interpreter,
        server,
        asked.wanted,
        runs_code,
        own,
        trial_builds=trial_builds,
        imports=asked.imports,
        told=told,
        is_dated=asked.is_dated,
    )


def _key(
    asked: Asked, interpreter: PythonInterpreter, *, runs_code: bool, trial: str | None, told: NewestPin | None
) -> str:
    # Sorted: the order of lines does not change what is installed. Comments and spacing are removed before.
    required = asked.required
    facts = [
        _LAYOUT_VERSION,
        sorted(item.identity for item in required.requirements),
        sorted(item.identity for item in required.constraints),
        required.options,
        required.prerelease,
        interpreter.identity,
        asked.server,
        sorted((one.module, one.distribution) for one in asked.wanted),
        *(() if runs_code else ("no code",)),
        *(() if trial is None else (trial,)),
        *(() if told is None else (f"told {told.day}",)),
        *(("dated",) if asked.is_dated else ()),
        # A folder's build may read what its hash leaves out (`build`, `.git`), and a running program may change it
        # between the hash and the build: another user's build is not believed.
        *(() if required.is_from_index else (f"of {asked.owner}",)),
    ]
    # 128 bits of the hash: the name appears in every traceback.
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]
