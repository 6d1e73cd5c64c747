"""Jails for one build of a Python environment: one without and one with code of packages.

Without code, uv fills the package cache that all builds share. Code of packages gets an empty cache of its own, which
ends with the build: whatever it writes, no other build reads it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from preview.environments.requirements.requirements import RequirementSet
from preview.environments.sandbox.interpreter import PythonInterpreter
from preview.environments.sandbox.jail import Cage, Jail
from preview.environments.sandbox.program import BUILDER, find_uv, program_environment
from preview.environments.sandbox.sweep import outward_links
from preview.environments.way_out.leading import named_paths, own_settings, system_settings
from preview.runtime.cgroups import Cgroup
from preview.runtime.sandbox import interpreter_paths

# uv runs an interpreter at an unknown path to query it, which doubles the time for cached packages. So every jail has
# a link to its environment at this one path.
_SHELF: Final = Path("/preview")
_PLACE: Final = "environment"
_CACHE: Final = "uv"


@dataclass(frozen=True, slots=True)
class UvCages:
    """The jails of a build.

    Attributes:
        unpacking: Jail for a uv that cannot start programs. It shows the cache and the unfinished environments there as
            one mount, which hard links require.
        building: Jail for all that uv does, without that cache. It hides other builds.
        place: Path of the environment in ``unpacking``, the same for all builds.
    """

    unpacking: Cage
    building: Cage
    place: Path = _SHELF / _PLACE

    @property
    def preparing(self) -> Cage:
        """Jail for a uv that creates an empty environment and runs its interpreter."""
        return replace(self.unpacking, alone=False)

    @property
    def trying(self) -> Cage:
        """Jail for code of packages that must not change the environment."""
        return replace(self.building, reads_only=True)

    def with_interpreters(self) -> UvCages:
        """Return the jails with links to interpreters outside of the environment allowed."""
        kept = outward_links(self.building.folder / "bin")
        return replace(self, building=replace(self.building, kept=kept))


def make_uv_cages(
    interpreter: PythonInterpreter,
    required: RequirementSet,
    folder: Path,
    jail: Jail,
    scratch: Path,
    group: Cgroup | None,
) -> UvCages:
    """Return the jails of a build and create their folders. Call it in a thread.

    Raises:
        OSError: A folder cannot be created.
    """
    environment = program_environment(os.environ)
    local = list(_local_paths(required))
    pythons = (*interpreter_paths(Path(interpreter.request), builds=True), jail.pythons)
    # What code of packages writes to its home folder are no settings for a uv that fills the cache of all builds.
    own, scratch = scratch / "own", scratch / "code"
    own_cache = scratch / _CACHE
    # Hard links do not work between the cache and a folder that is mounted separately.
    variables = {"UV_PYTHON_INSTALL_DIR": str(jail.pythons), "UV_LINK_MODE": "copy"}
    building = Cage(
        jail,
        folder,
        scratch,
        readable=(
            *(*pythons, Path(find_uv()), BUILDER, *system_settings(), *named_paths(environment)),
            *(path for path in local if not path.is_dir()),
        ),
        # Build backends of local packages write next to the source.
        writable=(own_cache, *(path for path in local if path.is_dir())),
        variables={**variables, "UV_CACHE_DIR": str(own_cache)},
        group=group,
    )
    building = replace(building, placed=own_settings(environment, building.home))
    building.prepare()
    (own / _PLACE).mkdir(parents=True)
    (own / _PLACE / _PLACE).symlink_to(folder)
    unpacking = replace(
        building,
        scratch=own,
        readable=(*building.readable, *local),
        writable=(jail.uv_cache,),
        placed={**own_settings(environment, own / building.home.name), _SHELF: own / _PLACE},
        variables={**variables, "UV_CACHE_DIR": str(jail.uv_cache)},
        foreign=False,
        alone=True,
    )
    if folder.is_relative_to(jail.uv_cache):
        shared = {name: value for name, value in unpacking.variables.items() if name != "UV_LINK_MODE"}
        unpacking = replace(unpacking, folder=jail.uv_cache, variables=shared)
    unpacking.prepare()
    return UvCages(unpacking, building)


def _local_paths(required: RequirementSet) -> Iterator[Path]:
    """Yield the paths of packages in the project, from lines of ``local_requirement``."""
    for item in (*required.requirements, *required.constraints):
        target = item.text.partition(" @ ")[2] or item.text
        if target.startswith("file:"):
            yield Path(unquote(urlsplit(target).path))
        elif target.startswith("/"):
            path = Path(target)
            # Extras follow the path.
            yield path if path.exists() else Path(target.rpartition("[")[0] or target)
