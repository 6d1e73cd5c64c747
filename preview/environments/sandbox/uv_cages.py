"""The jails of one Python environment's build: what uv sees before, while and after the code of packages runs."""

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

# Uv asks an interpreter about itself, by starting it, where it has not yet seen one at that path: half of the time that
# it takes for what is in its cache. So each jail has a link at the same path, which leads to the environment.
_SHELF: Final = Path("/preview")
_PLACE: Final = "environment"


@dataclass(frozen=True, slots=True)
class UvCages:
    """Two of them.

    Attributes:
        unpacking: For uv without builds, which runs no code of packages: it sees its cache and the environments that
            are being built there as one mount, as hard links want it. None where there is no such place.
        building: For uv with all it does. Of other builds nothing is shown.
        place: The environment as ``unpacking`` sees it: the same path each time.
    """

    unpacking: Cage | None
    building: Cage
    place: Path = _SHELF / _PLACE

    def with_interpreters(self) -> UvCages:
        """Return the cages with the environment's interpreters, which are outside of it."""
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
    """Return the jails of a build; makes their folders, so call it in a thread.

    Raises:
        OSError: The folders cannot be made.
    """
    environment = program_environment(os.environ)
    local = list(_local_paths(required))
    pythons = (*interpreter_paths(Path(interpreter.request)), jail.pythons)
    building = Cage(
        jail,
        folder,
        scratch,
        readable=(
            *(*pythons, Path(find_uv()), BUILDER, *system_settings(), *named_paths(environment)),
            *(path for path in local if not path.is_dir()),
        ),
        # Backends of local packages write beside the source.
        writable=(jail.uv_cache, *(path for path in local if path.is_dir())),
        covered=() if jail.workshop is None else (jail.workshop,),
        variables={"UV_CACHE_DIR": str(jail.uv_cache), "UV_PYTHON_INSTALL_DIR": str(jail.pythons)},
        group=group,
    )
    building = replace(building, placed=own_settings(environment, building.home))
    building.prepare()
    shared = folder.is_relative_to(jail.uv_cache)
    unpacking = None
    if shared:
        (scratch / _PLACE).mkdir()
        (scratch / _PLACE / _PLACE).symlink_to(folder)
        placed = {**building.placed, _SHELF: scratch / _PLACE}
        unpacking = replace(building, folder=jail.uv_cache, covered=(), foreign=False, placed=placed)
    # Hard links do not go from the cache to a folder that is shown on its own.
    building = replace(building, variables={**building.variables, "UV_LINK_MODE": "copy"})
    return UvCages(unpacking, building)


def _local_paths(required: RequirementSet) -> Iterator[Path]:
    """Yield packages in the project, as ``local_requirement`` writes them."""
    for item in (*required.requirements, *required.constraints):
        target = item.text.partition(" @ ")[2] or item.text
        if target.startswith("file:"):
            yield Path(unquote(urlsplit(target).path))
        elif target.startswith("/"):
            path = Path(target)
            # Extras stand behind the path.
            yield path if path.exists() else Path(target.rpartition("[")[0] or target)
