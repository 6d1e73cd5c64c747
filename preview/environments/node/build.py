"""Building one Node environment: into a folder beside its place, renamed when it is finished."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Final

import trio

from preview.core.clock import rfc3339, utc_now
from preview.environments.folders.environment import Report
from preview.environments.folders.layout import Layout, measure_and_protect, remove_tree
from preview.environments.folders.unfinished import open_scratch, open_unfinished
from preview.environments.node.cages import make_npm_cage
from preview.environments.node.install import Npm, install
from preview.environments.node.locks import place_pins
from preview.environments.node.manifest import NodeManifest
from preview.environments.node.modules import NO_ENGINE, RECORD
from preview.environments.node.reading import NodeReader
from preview.environments.node.recipe import NodeRecipe
from preview.environments.sandbox.jail import Cage, Jail

_MANAGERS: Final = ("yarn", "pnpm", "bun")
_ENGINES: Final = ("PRISMA_QUERY_ENGINE_LIBRARY", "PRISMA_QUERY_ENGINE_BINARY", "PRISMA_SCHEMA_ENGINE_BINARY")
_OLD_ENGINES: Final = (
    "PRISMA_MIGRATION_ENGINE_BINARY",
    "PRISMA_INTROSPECTION_ENGINE_BINARY",
    "PRISMA_FMT_BINARY",
)
# Since this version there is one engine for all but queries, and the old names are warned of.
_SCHEMA_ENGINE_SINCE: Final = 5


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

    Args:
        recipe: What to build.
        layout: Where.
        report: Is told npm's output line by line.
        offline: Use nothing but npm's cache.
        reader: Reads the lock files of other package managers.
        jail: What npm and the code of packages are isolated by, where this machine has it.

    Raises:
        EnvironmentFailed: It cannot be built; nothing is left of it.

    Cancellation: npm is killed and nothing is left.
    """
    async with open_unfinished(layout, recipe.key) as temporary:
        await trio.to_thread.run_sync(_write_manifest, recipe, temporary)
        failed: tuple[str, ...] = ()
        if not recipe.manifest.is_empty:
            pinned = await _pin(recipe.manifest, temporary, report, reader)
            async with _open_cage(jail, recipe, layout, temporary) as cage:
                npm = Npm(recipe.toolchain, temporary, offline=offline, cage=cage, runs_code=recipe.runs_code)
                failed = await install(recipe, npm, report, pinned=pinned)
        await trio.to_thread.run_sync(partial(_finish, recipe, temporary, layout, report, failed))


@asynccontextmanager
async def _open_cage(
    jail: Jail | None, recipe: NodeRecipe, layout: Layout, temporary: Path
) -> AsyncIterator[Cage | None]:
    if jail is None:
        yield None
        return
    async with open_scratch(layout, recipe.key) as scratch, jail.open_group(recipe.key) as group:
        yield await trio.to_thread.run_sync(make_npm_cage, jail, recipe.toolchain, temporary, scratch, group)


def _write_manifest(recipe: NodeRecipe, temporary: Path) -> None:
    manifest = recipe.manifest
    for folder, package in manifest.packages.items():
        (temporary / folder).mkdir(parents=True, exist_ok=True)
        (temporary / folder / "package.json").write_text(json.dumps(package, indent=1), "utf-8")
    for name, data in manifest.files.items():
        (temporary / name).parent.mkdir(parents=True, exist_ok=True)
        (temporary / name).write_bytes(data)
    if manifest.lock is not None:
        (temporary / "package-lock.json").write_bytes(manifest.lock)


async def _pin(manifest: NodeManifest, temporary: Path, report: Report, reader: NodeReader) -> bool:
    """Follow the lock file of another package manager, told; whether there is one that can be followed."""
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


def _finish(recipe: NodeRecipe, temporary: Path, layout: Layout, report: Report, failed: tuple[str, ...]) -> None:
    """Put the finished folder in its place; a broken one there goes first."""
    binaries = temporary / "node_modules" / ".bin"
    binaries.mkdir(parents=True, exist_ok=True)
    for name in _MANAGERS:
        # Scripts call each other by the manager that the project is used with.
        if not (binaries / name).exists():
            _write_program(binaries, name, "preview-manager.cjs")
    folders = [".", *(name for name in recipe.manifest.members if (temporary / name / "node_modules").is_dir())]
    has_prisma = (temporary / "node_modules" / "@prisma").is_dir()
    engines = _prepare_prisma(temporary, binaries, report, runs_code=recipe.runs_code) if has_prisma else ()
    (temporary / RECORD).write_text(json.dumps({"folders": folders, "no_engine": engines}), "utf-8")
    facts = {
        "requirements": recipe.manifest.packages["."],
        "node": recipe.toolchain.identity,
        "not_built": failed,
        "built_at": rfc3339(utc_now()),
    }
    measure_and_protect(temporary, facts)
    place = layout.directory(recipe.key)
    if place.exists():
        broken = layout.temporary(recipe.key, "removing")
        place.rename(broken)
        remove_tree(broken)
    temporary.rename(place)


def _write_program(binaries: Path, name: str, script: str) -> None:
    text = (resources.files("preview.environments.node") / "scripts" / script).read_text("utf-8")
    (binaries / name).write_text(text, "utf-8")
    (binaries / name).chmod(0o755)


def _prepare_prisma(temporary: Path, binaries: Path, report: Report, *, runs_code: bool) -> Sequence[str]:
    """Give it the program that makes a project's client, and a stand-in for an engine that could not be downloaded.

    Returns:
        The variables that point Prisma to the stand-in.
    """
    _write_program(binaries, "preview-prisma", "preview-prisma.cjs")
    engines = temporary / "node_modules" / "@prisma" / "engines"
    if any(engines.glob("*query?engine*")) or any(engines.glob("schema-engine*")):
        return ()
    if (binaries / "prisma").exists():
        (binaries / "prisma").unlink()
        _write_program(binaries, "prisma", "preview-no-engine.cjs")
    (temporary / NO_ENGINE).write_text(
        '#!/bin/sh\necho "Prisma\'s engine could not be downloaded (binaries.prisma.sh)" >&2\nexit 1\n', "utf-8"
    )
    (temporary / NO_ENGINE).chmod(0o755)
    why = "could not be downloaded"
    advice = "let the service's machine reach binaries.prisma.sh (or set PRISMA_ENGINES_MIRROR) and clear the cache"
    if not runs_code:
        why = "comes by an install script, which PREVIEW_BUILD_CODE=deny leaves out"
        advice = "the service would have to be set to PREVIEW_BUILD_CODE=allow"
    report(
        f"Prisma's engine {why}: the application starts, but what asks its database fails; {advice}", logging.WARNING
    )
    return _ENGINES if _major(engines) >= _SCHEMA_ENGINE_SINCE else (*_ENGINES, *_OLD_ENGINES)


def _major(package: Path) -> int:
    try:
        version = str(json.loads((package / "package.json").read_text("utf-8"))["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return _SCHEMA_ENGINE_SINCE
    first = version.partition(".")[0]
    return int(first) if first.isdecimal() else _SCHEMA_ENGINE_SINCE
