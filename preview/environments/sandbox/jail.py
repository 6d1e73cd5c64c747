"""The jail that installers run in, and with them the code of packages: build scripts, install scripts.

They run as the service's own user, so that the caches of packages stay as they are; of its files they see what leads
to packages and what they have to write, and of its processes none. Where this machine has no sandbox there is no jail,
and installers run as any program of the service.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from preview.core.isolation import Network
from preview.environments.sandbox.sweep import sweep
from preview.environments.way_out import PORT, WayOut, way_out_variables
from preview.errors import EnvironmentFailed
from preview.runtime.cgroups import Cgroup, CgroupTree
from preview.runtime.process.ending import enter
from preview.runtime.sandbox import Sandbox, View, bridge_needs, compile_filter, handout_prefix, sandbox_command

# For programs that write to /tmp in any case; the others find a folder on disk in TMPDIR.
_TEMP_BYTES: Final = 256 * 1024 * 1024
_MIB: Final = 1024 * 1024
# Compilers on a large machine run one for each core.
_PROCESSES: Final = 1024
_PROXIES: Final = frozenset({"all_proxy", "http_proxy", "https_proxy", "no_proxy", "noproxy", "proxy"})
_HOME, _TEMP = "home", "tmp"


@dataclass(frozen=True, slots=True)
class Jail:
    """Parts that all installers' jails share.

    Attributes:
        etc: The folder that ``write_etc`` has filled.
        pythons: Where uv keeps the Pythons that it has installed.
        workshop: A folder in ``uv_cache`` where environments are made of cached packages by hard links, which do not
            go from one mount to another; None where they cannot be renamed from there to their place.
        groups: Limit each build, where this machine has control groups.
        memory_mb: MiB that one build may use, with all that it starts.
        hosts: Hosts that builds may reach besides the indexes (``Settings.build_hosts``).
    """

    etc: Path
    uv_cache: Path
    npm_cache: Path
    pythons: Path
    workshop: Path | None
    groups: CgroupTree | None = None
    memory_mb: int = 4096
    hosts: tuple[str, ...] = ()

    @asynccontextmanager
    async def open_group(self, key: str) -> AsyncIterator[Cgroup | None]:
        """Provide the control group of one environment's build; None if there are none.

        Raises:
            LaunchFailed: The kernel refuses it.

        Cancellation: all that runs in it is dead (bounded).
        """
        if self.groups is None:
            yield None
            return
        async with self.groups.open(
            f"build-{key}",
            memory_bytes=self.memory_mb * _MIB,
            # All that there are: a build is not to be slow, it is to end.
            cpu_cores=os.cpu_count() or 1,
            processes=_PROCESSES,
        ) as group:
            yield group

    def workshop_of(self, root: Path) -> Path | None:
        """Return the workshop's part for one folder of environments; the rest belongs to others."""
        if self.workshop is None:
            return None
        return self.workshop / hashlib.sha256(os.fsencode(root)).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Cage:
    """The jail of one build.

    Attributes:
        folder: The environment that is being built.
        scratch: A folder that is gone after the build, with the home and the temporary files.
        readable: What else is shown.
        writable: What else can be written.
        placed: Shown read-only at another path: where, and what.
        covered: Folders of which nothing is shown.
        variables: Set in place of the service's.
        kept: Links that lead out of ``folder`` and may: their path and where they lead.
        foreign: Whether code of packages may run: then what it leaves in ``folder`` is looked through.
        group: The build's control group, where this machine has them.
    """

    jail: Jail
    folder: Path
    scratch: Path
    readable: Sequence[Path] = ()
    writable: Sequence[Path] = ()
    placed: Mapping[Path, Path] = field(default_factory=dict)
    covered: Sequence[Path] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    kept: frozenset[tuple[str, str]] = frozenset()
    foreign: bool = True
    group: Cgroup | None = None

    @property
    def home(self) -> Path:
        """The home folder inside."""
        return self.scratch / _HOME

    def prepare(self) -> None:
        """Make the folders that it shows; blocks on the disk.

        Raises:
            OSError: They cannot be made.
        """
        for name in (_HOME, _TEMP):
            (self.scratch / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in (*self.writable, *self.covered):
            path.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def enter(
        self, argv: Sequence[str], environment: Mapping[str, str], directory: Path, way_out: WayOut | None = None
    ) -> Iterator[tuple[list[str], tuple[int, ...]]]:
        """Provide the command line that runs a program in here, and the descriptors to inherit.

        Args:
            argv: Absolute path and arguments.
            environment: Variables.
            directory: Working folder.
            way_out: Leads to package indexes; None: the program has a network without any way out.

        Raises:
            LaunchFailed: bubblewrap is missing.
            OSError: No descriptor is left.
        """
        readable = (*self.readable, *(bridge_needs() if way_out is not None else ()))
        view = View(
            readable=[path for path in readable if path.exists()],
            writable=(*self.writable, self.folder, self.scratch),
            etc=self.jail.etc,
            network=Network.NONE,
            temp_bytes=_TEMP_BYTES,
            placed={where: what for where, what in self.placed.items() if what.exists()},
            covered=self.covered,
        )
        # Folders of the service's user that are named by variables are not here.
        variables = {name: value for name, value in environment.items() if not _is_withheld(name)}
        variables |= {"HOME": str(self.home), "TMPDIR": str(self.scratch / _TEMP), **self.variables}
        inherited: tuple[int, ...] = ()
        if way_out is not None:
            inherited = (way_out.handed_out.fileno(),)
            argv = [*handout_prefix(inherited[0], [PORT]), *argv]
            variables |= way_out_variables()
        sandbox = Sandbox(
            view, None, directory, variables, compile_filter(lasts=True), own_session=False, writes_proc=False
        )
        with sandbox_command(sandbox, argv) as (command, descriptors):
            yield [*enter(self.group), *command], (*descriptors, *inherited)

    def check_memory(self) -> None:
        """For a program that failed: whether it was because the build's memory is used up.

        Raises:
            EnvironmentFailed: It was.
        """
        if self.group is not None and self.group.events().killed_for_memory:
            raise EnvironmentFailed(
                f"Building the environment used more than {self.jail.memory_mb} MB of memory and was ended; require "
                "versions that need no compiling, or have the service's PREVIEW_BUILD_MEMORY_MB raised",
                reason="memory",
            )

    def sweep(self) -> None:
        """Make the environment's folder safe to work on from outside; blocks on the disk."""
        if self.foreign:
            sweep(self.folder, self.kept)


def _is_withheld(name: str) -> bool:
    """Return whether builds must not get this variable.

    It names a folder that the jail does not have, or a proxy that the jail cannot reach and whose password it must not
    see.
    """
    return name.startswith("XDG_") or name.lower().removeprefix("npm_config_").replace("-", "_") in _PROXIES
