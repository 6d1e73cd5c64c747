"""Jail for installers and for the code of packages that they run: build scripts and install scripts.

Installers run as the service's own user, so that the package caches keep one owner. They see the files that they need
to find packages and the folders that they must write to, but no other file and no process of the service. On a machine
without a sandbox there is no jail: installers run like any other program of the service.
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
from preview.environments.sandbox.sweep import separate, sweep
from preview.environments.way_out.opening import PORT, WayOut, way_out_variables
from preview.errors import EnvironmentFailed
from preview.runtime.cgroups import Cgroup, CgroupTree
from preview.runtime.process.ending import enter
from preview.runtime.sandbox import Sandbox, View, bridge_needs, compile_filter, handout_prefix, sandbox_command

# Size of /tmp, for programs that always write there; others use TMPDIR, a folder on disk.
_TEMP_BYTES: Final = 256 * 1024 * 1024
_MIB: Final = 1024 * 1024
# On a large machine, compilers run one process for each core.
_PROCESSES: Final = 1024
_PROXIES: Final = frozenset({"all_proxy", "http_proxy", "https_proxy", "no_proxy", "noproxy", "proxy"})
_HOME, _TEMP = "home", "tmp"


@dataclass(frozen=True, slots=True)
class Jail:
    """Settings that the jails of all installers share.

    Attributes:
        etc: Folder with the contents of the jail's ``/etc``, written by ``write_etc``.
        pythons: Folder with the Pythons that uv has installed.
        workshop: Folder in ``uv_cache`` for unfinished environments, because hard links to cached packages work only
            within one mount. None if a folder cannot be renamed from there to the environment's path.
        groups: Control groups that limit each build; None if this machine has none.
        memory_mb: Memory limit in MiB for one build with all its processes.
        hosts: Hosts that builds may reach in addition to the indexes (``Settings.build_hosts``).
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
        """Provide the control group for one environment's build; None if there are none.

        Raises:
            LaunchFailed: The kernel refuses to create the group.

        Cancellation: all processes in the group are killed; the wait for their end is bounded.
        """
        if self.groups is None:
            yield None
            return
        async with self.groups.open(
            f"build-{key}",
            memory_bytes=self.memory_mb * _MIB,
            # All cores: a build should finish soon.
            cpu_cores=os.cpu_count() or 1,
            processes=_PROCESSES,
        ) as group:
            yield group

    def workshop_of(self, root: Path) -> Path | None:
        """Return the part of the workshop for one folder of environments; other parts belong to other folders."""
        if self.workshop is None:
            return None
        return self.workshop / hashlib.sha256(os.fsencode(root)).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Cage:
    """The jail of one build.

    Attributes:
        folder: The environment that is being built; writable unless ``reads_only``.
        scratch: Folder for the home and temporary files, removed after the build; writable.
        readable: Further paths that are visible, read-only.
        writable: Further paths that are writable.
        placed: Paths that are visible read-only at another path: path in the jail to real path.
        covered: Folders whose content is hidden.
        variables: Variables that replace the service's.
        kept: Links that may lead out of ``folder``: their path and their target.
        foreign: Whether code of packages may run. If it can write to ``folder``, ``prepare_for_code`` separates the
            folder from the package cache before, and ``sweep`` cleans it afterwards.
        alone: Whether the program can start no other program, so that no code of packages runs.
        reads_only: Whether ``folder`` is read-only.
        group: The build's control group; None if this machine has none.
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
    alone: bool = False
    reads_only: bool = False
    group: Cgroup | None = None

    @property
    def home(self) -> Path:
        """The home folder in the jail."""
        return self.scratch / _HOME

    def prepare(self) -> None:
        """Create the folders that the jail shows. Blocks on the disk.

        Raises:
            OSError: A folder cannot be created.
        """
        for name in (_HOME, _TEMP):
            (self.scratch / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in (*self.writable, *self.covered):
            path.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def enter(
        self, argv: Sequence[str], environment: Mapping[str, str], directory: Path, way_out: WayOut | None = None
    ) -> Iterator[tuple[list[str], tuple[int, ...]]]:
        """Provide the command line that runs a program in this jail, and the descriptors that it must inherit.

        Args:
            argv: Absolute path of the program, and its arguments.
            environment: The program's variables.
            directory: The program's working folder.
            way_out: Access to package indexes; None gives the program no network access.

        Raises:
            LaunchFailed: bubblewrap is missing.
            OSError: No file descriptor is free.
        """
        readable = (*self.readable, *(bridge_needs() if way_out is not None else ()))
        readable += (self.folder,) if self.reads_only else ()
        view = View(
            readable=[path for path in readable if path.exists()],
            writable=(*self.writable, *(() if self.reads_only else (self.folder,)), self.scratch),
            etc=self.jail.etc,
            network=Network.NONE,
            temp_bytes=_TEMP_BYTES,
            placed={where: what for where, what in self.placed.items() if what.exists()},
            covered=self.covered,
        )
        # Drop variables that name folders of the service's user: the jail does not contain these folders.
        variables = {name: value for name, value in environment.items() if not _is_withheld(name)}
        variables |= {"HOME": str(self.home), "TMPDIR": str(self.scratch / _TEMP), **self.variables}
        inherited: tuple[int, ...] = ()
        if way_out is not None:
            inherited = (way_out.handed_out.fileno(),)
            argv = [*handout_prefix(inherited[0], [PORT]), *argv]
            variables |= way_out_variables()
        rules = compile_filter(lasts=True, alone=self.alone)
        sandbox = Sandbox(view, None, directory, variables, rules, own_session=False, writes_proc=False)
        with sandbox_command(sandbox, argv) as (command, descriptors):
            yield [*enter(self.group), *command], (*descriptors, *inherited)

    def check_memory(self) -> None:
        """Check whether a failed program ran out of the build's memory.

        Raises:
            EnvironmentFailed: The kernel killed a process because the memory limit was reached.
        """
        if self.group is not None and self.group.events().killed_for_memory:
            raise EnvironmentFailed(
                f"Building the environment used more than {self.jail.memory_mb} MB of memory and was ended; require "
                "versions that need no compiling, or have the service's PREVIEW_BUILD_MEMORY_MB raised",
                reason="memory",
            )

    def prepare_for_code(self) -> None:
        """Copy files that are hard links to the package cache, if code of packages may write to them. Blocks.

        Raises:
            OSError: The disk reported an error.
        """
        if self.foreign and not self.reads_only:
            separate(self.folder)

    def sweep(self) -> None:
        """Remove special files and outward links, if code of packages may have run. Blocks on the disk."""
        if self.foreign and not self.reads_only:
            sweep(self.folder, self.kept)


def _is_withheld(name: str) -> bool:
    """Return whether a variable is hidden from builds.

    Some variables name folders that the jail lacks. Others name proxies, which the jail cannot reach. A build must not
    see the proxies' passwords.
    """
    return name.startswith("XDG_") or name.lower().removeprefix("npm_config_").replace("-", "_") in _PROXIES
