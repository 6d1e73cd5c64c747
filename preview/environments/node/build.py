"""Build of one Node environment in a temporary folder that is renamed when finished, and the cache."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import trio

from preview.core.clock import rfc3339, utc_now
from preview.environments.folders.environment import Environment, EnvironmentRequest, How, Report, builder_name
from preview.environments.folders.layout import Layout, measure_and_protect
from preview.environments.folders.locks import open_cage, open_unfinished
from preview.environments.node.bun import installed_bun, place_bun, with_bun
from preview.environments.node.install import Npm, install
from preview.environments.node.locks import place_pins, with_usual_addresses
from preview.environments.node.manifest import NodeManifest
from preview.environments.node.modules import RECORD, modules_variables
from preview.environments.node.prisma import add_adapters, prepare_prisma
from preview.environments.node.reading import InThread, NodeReader
from preview.environments.node.recipe import (
    NodeRecipe,
    NodeToolchain,
    find_node,
    make_node_recipe,
    newer_node,
    npm_environment,
    write_program,
)
from preview.environments.node.registries import check_lock
from preview.environments.sandbox.jail import Cage, Jail
from preview.environments.sandbox.progress import open_progress
from preview.environments.store.eviction import check_names
from preview.environments.store.held import HeldEnvironments
from preview.environments.way_out.allowed import read_allowed
from preview.environments.way_out.leading import named_paths, own_settings, system_settings
from preview.runtime.cgroups import Cgroup
from preview.runtime.sandbox import interpreter_paths
from preview.settings import Settings


@dataclass(frozen=True, slots=True)
class NpmCages:
    """The two jails of a build.

    Attributes:
        fetching: Jail for an npm that cannot start programs. It shows the package cache that all builds share.
        building: Jail for install scripts. Its package cache ends with the build: no other build reads it.
    """

    fetching: Cage
    building: Cage


def make_npm_cages(toolchain: NodeToolchain, folder: Path, jail: Jail, scratch: Path, group: Cgroup | None) -> NpmCages:
    """Return the jails for npm, and create their folders. Call it in a thread.

    Raises:
        OSError: A folder cannot be created.
    """
    # What install scripts write to their home folder are no settings for an npm that fills the cache of all builds.
    code = scratch / "code"
    fetching = _make_cage(toolchain, folder, jail, scratch / "own", jail.npm_cache, group)
    return NpmCages(
        replace(fetching, foreign=False, alone=True),
        _make_cage(toolchain, folder, jail, code, code / "npm", group),
    )


def _make_cage(
    toolchain: NodeToolchain, folder: Path, jail: Jail, scratch: Path, cache: Path, group: Cgroup | None
) -> Cage:
    environment = npm_environment(os.environ)
    cage = Cage(
        jail,
        folder,
        scratch,
        readable=(
            *(*interpreter_paths(toolchain.node, builds=True), *interpreter_paths(toolchain.npm)),
            *(*system_settings(), *named_paths(environment)),
        ),
        writable=(cache,),
        # npm ignores case in these names, so replace the operator's spelling too, not only the lower-case name.
        variables={
            **{name: str(cache) for name in environment if name.lower() == "npm_config_cache"},
            "npm_config_cache": str(cache),
        },
        group=group,
    )
    cage = replace(cage, placed=own_settings(environment, cage.home))
    cage.prepare()
    return cage


_MANAGERS: Final = ("yarn", "pnpm", "bun")


async def build_node_environment(
    recipe: NodeRecipe,
    layout: Layout,
    report: Report,
    *,
    offline: bool,
    reader: NodeReader,
    jail: Jail | None = None,
) -> None:
    """Build the environment; the caller holds its exclusive lock.

    Raises:
        EnvironmentFailed: The environment cannot be built; no files are left.

    Cancellation: npm is killed and no files are left.
    """
    async with open_unfinished(layout, recipe.key) as temporary:
        await trio.to_thread.run_sync(_write_manifest, recipe, temporary)
        failed: tuple[str, ...] = ()
        has_adapters = False
        if not recipe.manifest.is_empty:
            pinned = await _pin(recipe.manifest, temporary, report, reader)
            make = partial(make_npm_cages, recipe.toolchain, temporary)
            async with open_cage(jail, layout, recipe.key, make) as cages:
                failed = await _install(recipe, temporary, report, cages, offline=offline, pinned=pinned)
                # Install scripts may have left links and settings in the folder: no npm with the shared cache sees it.
                cage = None if cages is None else cages.building
                has_adapters = await add_adapters(
                    Npm(recipe.toolchain, temporary, offline, cage, runs_code=False), report
                )
        finish = partial(_finish, recipe, temporary, layout, report, failed, has_adapters=has_adapters)
        await trio.to_thread.run_sync(finish)


async def _install(
    recipe: NodeRecipe, folder: Path, report: Report, cages: NpmCages | None, *, offline: bool, pinned: bool
) -> tuple[str, ...]:
    npm = Npm(recipe.toolchain, folder, offline=offline, runs_code=recipe.runs_code)
    if cages is None:
        return await install(recipe, npm, report, pinned=pinned)
    fetching = replace(npm, cage=cages.fetching, runs_code=False)
    if not recipe.runs_code:
        return await install(recipe, fetching, report, pinned=pinned)
    return await install(recipe, replace(npm, cage=cages.building), report, fetching=fetching, pinned=pinned)


def _write_manifest(recipe: NodeRecipe, temporary: Path) -> None:
    manifest = recipe.manifest
    for folder, package in manifest.packages.items():
        (temporary / folder).mkdir(parents=True, exist_ok=True)
        (temporary / folder / "package.json").write_text(json.dumps(package, indent=1), "utf-8")
    for name, data in manifest.files.items():
        (temporary / name).parent.mkdir(parents=True, exist_ok=True)
        (temporary / name).write_bytes(data)
    if manifest.lock is not None:
        check_lock(manifest.lock)
        (temporary / "package-lock.json").write_bytes(with_usual_addresses(manifest.lock))


async def _pin(manifest: NodeManifest, temporary: Path, report: Report, reader: NodeReader) -> bool:
    """Pin the versions of another package manager's lock file; return whether this worked."""
    lock = manifest.foreign_lock
    if lock is None:
        return False
    pins = await reader.pins(lock)
    if isinstance(pins, str):
        report(
            f"{lock.name} cannot be read ({pins}): versions are chosen from the ranges in package.json",
            logging.WARNING,
        )
        return False
    await trio.to_thread.run_sync(place_pins, pins, manifest.packages, temporary)
    report(f"versions from {lock.name}", logging.INFO)
    return True


def _finish(
    recipe: NodeRecipe,
    temporary: Path,
    layout: Layout,
    report: Report,
    failed: tuple[str, ...],
    *,
    has_adapters: bool,
) -> None:
    """Write the programs and the marker, and move the finished folder to the environment's path."""
    binaries = temporary / "node_modules" / ".bin"
    binaries.mkdir(parents=True, exist_ok=True)
    place_bun(recipe.manifest, binaries)
    for name in _MANAGERS:
        # Scripts call each other with the project's package manager.
        if not (binaries / name).exists():
            write_program(binaries, name, "preview-manager.cjs")
    folders = [".", *(name for name in recipe.manifest.members if (temporary / name / "node_modules").is_dir())]
    has_prisma = (temporary / "node_modules" / "@prisma").is_dir()
    engines: dict[str, str] = {}
    if has_prisma:
        engines = prepare_prisma(temporary, binaries, report, runs_code=recipe.runs_code, has_adapters=has_adapters)
    (temporary / RECORD).write_text(json.dumps({"folders": folders, "no_engine": engines}), "utf-8")
    facts = {
        "requirements": recipe.manifest.packages["."],
        "node": recipe.toolchain.identity,
        "not_built": failed,
        **({"unbuilt_by": recipe.builder} if failed else {}),
        "built_at": rfc3339(utc_now()),
    }
    measure_and_protect(temporary, facts)
    layout.put(recipe.key, temporary)


class NodeEnvironmentCache:
    """Node environments by requirements, Node version and platform.

    Args:
        settings: The settings ``cache_dir`` and ``environment_*``.
        jail: Jail for npm and the code of packages; None runs them like any other program of the service.
        reader: Reader of manifests and lock files; None reads them in threads.

    Attributes:
        taken: Numbers of requests by how the environment was obtained.
    """

    def __init__(self, settings: Settings, jail: Jail | None = None, reader: NodeReader | None = None) -> None:
        self._reader = reader or InThread()
        self._settings = settings
        self._jail = jail
        self._layout = Layout(settings.cache_dir.absolute() / "environments")
        self._toolchain: NodeToolchain | None = None
        # Hashing and removing use the disk: a limit of two keeps threads free on a slow disk.
        self._threads = trio.CapacityLimiter(2)
        self._held = HeldEnvironments(
            self._layout, self._is_usable, self._threads, timeout_s=settings.environment_build_timeout_s
        )
        self.taken = self._held.taken

    @asynccontextmanager
    async def open_environment(self, request: EnvironmentRequest, report: Report) -> AsyncIterator[Environment]:
        """Provide the environment for a package; build it if necessary. It stays until the context ends.

        ``place_modules`` then links its packages into the package's ``node_modules``.

        Args:
            request: ``folder`` contains the ``package.json``; ``server`` and ``entry`` are ignored.
            report: Called with each line of a build's output and each decision, with its severity.

        Raises:
            EnvironmentFailed: The build failed; the message names the package and the reason.
            ConfigurationError: Node or npm is missing.

        Cancellation: a running build is killed and removed; if other requests wait for it, one of them builds again.
        """
        started = trio.current_time()
        recipe = await self._recipe(request)
        for note in recipe.manifest.notes:
            report(note, logging.WARNING)
        if (wanted := newer_node(recipe.manifest, recipe.toolchain.version)) is not None:
            here = f"this machine has {recipe.toolchain.version}"
            report(f"package.json asks for Node {wanted}, and {here}: what needs the newer one fails", logging.WARNING)
        async with AsyncExitStack() as stack:
            async with open_progress(report) as progress:
                how = await stack.enter_async_context(self._hold(recipe, progress))
            directory = self._layout.directory(recipe.key)
            bun = await trio.to_thread.run_sync(installed_bun, recipe.manifest, directory)
            node = f"Node {recipe.toolchain.version}" if recipe.toolchain.version else "Node"
            yield Environment(
                directory=directory,
                program=recipe.toolchain.node,
                binaries=directory / "node_modules" / ".bin",
                variables=modules_variables(directory),
                elapsed_s=trio.current_time() - started,
                how=how,
                language=f"Bun {bun}".strip() if bun is not None else node,
            )

    def _hold(self, recipe: NodeRecipe, report: Report) -> AbstractAsyncContextManager[How]:
        build = partial(
            build_node_environment,
            recipe,
            self._layout,
            report,
            offline=self._settings.uv_offline,
            jail=self._jail,
            reader=self._reader,
        )
        return self._held.hold(recipe.key, build, report)

    async def _recipe(self, request: EnvironmentRequest) -> NodeRecipe:
        if self._toolchain is None:
            self._toolchain = await find_node()
        extra = await trio.to_thread.run_sync(with_bun, request.extra, self._toolchain.identity)
        manifest = await self._reader.node_manifest(request.project / request.folder, extra)
        return await trio.to_thread.run_sync(self._make_recipe, manifest, self._toolchain, limiter=self._threads)

    def _make_recipe(self, manifest: NodeManifest, toolchain: NodeToolchain) -> NodeRecipe:
        if manifest.registries.named:
            hosts = () if self._jail is None else self._jail.hosts
            check_names(manifest.registries.named, (), read_allowed(npm_environment(os.environ), hosts))
        recipe = make_node_recipe(manifest, toolchain, runs_code=self._settings.build_code == "allow")
        builder = builder_name(is_held=self._jail is not None)
        return replace(recipe, key=self._layout.key_for(recipe.key, builder), builder=builder)

    def _is_usable(self, key: str) -> bool:
        directory = self._layout.directory(key)
        return (directory / "preview.json").is_file() and (directory / RECORD).is_file()
