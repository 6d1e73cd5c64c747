"""The cache of Node environments, beside the Python ones: one bound on age and size holds for all."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import trio

from preview.environments.folders.environment import Environment, EnvironmentRequest, Report
from preview.environments.folders.layout import Layout
from preview.environments.node.build import build_node_environment
from preview.environments.node.manifest import NodeManifest
from preview.environments.node.modules import RECORD, modules_variables
from preview.environments.node.reading import InThread, NodeReader
from preview.environments.node.recipe import NodeRecipe, make_node_recipe
from preview.environments.node.toolchain import NodeToolchain, find_node, npm_environment
from preview.environments.sandbox.jail import Jail
from preview.environments.store.held import HeldEnvironments
from preview.environments.store.naming import check_names
from preview.environments.way_out import read_allowed
from preview.settings import Settings


class NodeEnvironmentCache:
    """Environments by what is required, the Node and the platform.

    Args:
        settings: ``cache_dir`` and the ``environment_*`` bounds.
        jail: What npm and the code of packages are isolated by; None runs them as any program of the service.
        reader: Reads manifests and lock files; None reads them in threads.
    """

    def __init__(self, settings: Settings, jail: Jail | None = None, reader: NodeReader | None = None) -> None:
        self._reader = reader or InThread()
        self._settings = settings
        self._jail = jail
        self._layout = Layout(settings.cache_dir.absolute() / "environments")
        self._toolchain: NodeToolchain | None = None
        # Hashing and removing are disk work: two at a time keep a slow disk from taking all threads.
        self._threads = trio.CapacityLimiter(2)
        self._held = HeldEnvironments(
            self._layout,
            timeout_s=settings.environment_build_timeout_s,
            is_usable=self._is_usable,
            threads=self._threads,
        )

    @asynccontextmanager
    async def open_environment(self, request: EnvironmentRequest, report: Report) -> AsyncIterator[Environment]:
        """The environment for a package, built if there is none; held until the context is left.

        ``place_modules`` then gives the package its ``node_modules``.

        Args:
            request: ``folder`` has the ``package.json``; ``server`` and ``entry`` have no meaning here.
            report: Is told each line of a build's output and each thing worth knowing, with its severity.

        Raises:
            EnvironmentFailed: It cannot be had; says which package and why.
            ConfigurationError: There is no Node or npm.

        Cancellation: a build under way is killed and leaves nothing, unless others wait for it: then one of them
        begins again.
        """
        started = trio.current_time()
        recipe = await self._recipe(request)
        for note in recipe.manifest.notes:
            report(note, logging.WARNING)
        build = partial(
            build_node_environment,
            recipe,
            self._layout,
            report,
            offline=self._settings.uv_offline,
            jail=self._jail,
            reader=self._reader,
        )
        async with self._held.hold(recipe.key, build, report) as how:
            directory = self._layout.directory(recipe.key)
            yield Environment(
                directory=directory,
                program=recipe.toolchain.node,
                binaries=directory / "node_modules" / ".bin",
                variables=modules_variables(directory),
                elapsed_s=trio.current_time() - started,
                how=how,
                language=f"Node {recipe.toolchain.version}" if recipe.toolchain.version else "Node",
            )

    async def _recipe(self, request: EnvironmentRequest) -> NodeRecipe:
        if self._toolchain is None:
            self._toolchain = await find_node()
        manifest = await self._reader.node_manifest(request.project / request.folder, request.extra)
        return await trio.to_thread.run_sync(self._make_recipe, manifest, self._toolchain, limiter=self._threads)

    def _make_recipe(self, manifest: NodeManifest, toolchain: NodeToolchain) -> NodeRecipe:
        if manifest.registries.named:
            hosts = () if self._jail is None else self._jail.hosts
            check_names(manifest.registries.named, (), read_allowed(npm_environment(os.environ), hosts))
        return make_node_recipe(manifest, toolchain, runs_code=self._settings.build_code == "allow")

    def _is_usable(self, key: str) -> bool:
        directory = self._layout.directory(key)
        return (directory / "preview.json").is_file() and (directory / RECORD).is_file()
