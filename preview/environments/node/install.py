"""Installation with npm, and fallbacks for failures."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, NoReturn

import trio

from preview.environments.folders.environment import Report
from preview.environments.node.explain import absent_package, explain_npm, failed_package
from preview.environments.node.locks import remove_pins
from preview.environments.node.manifest import BUILT_IN, NodeManifest
from preview.environments.node.recipe import (
    FLAGS,
    NO_CODE,
    NodeRecipe,
    NodeToolchain,
    compiler_environment,
    nodedir_environment,
    npm_environment,
)
from preview.environments.node.registries import is_large_lock
from preview.environments.python.explain import with_refused
from preview.environments.sandbox.jail import Cage
from preview.environments.sandbox.program import ProgramResult, run_program
from preview.environments.sandbox.progress import current_progress
from preview.environments.sandbox.sweep import read_left
from preview.errors import EnvironmentFailed

_UNSYNCED: Final = re.compile(
    r"code EUSAGE|in sync|Missing: .{1,500} from lock file|Invalid: lock file|ELOCKVERIFY|EJSONPARSE|lockfileVersion"
)
_STALE_LOCK: Final = re.compile(r"code (?:E404|ETARGET|EINTEGRITY|E401|E403|ENOTFOUND|EOVERRIDE)\b")
_CONFLICT: Final = re.compile(r"code ERESOLVE")
_NOT_HAD: Final = re.compile(r"No matching version found for ([a-z_]+)@")
_UNAVAILABLE: Final = re.compile(r"No matching version found for ((?:@[\w.-]{1,214}/)?[\w.-]{1,214})@\d")
# Of these, a lock file is still worth following without them.
_MOST_UNPINNED: Final = 3
_ANY_PACKAGE: Final = "npm:inherits@^2.0.4"
_PLATFORM: Final = re.compile(r"code EBADPLATFORM")
# npm would run a program: git, or a shell that starts npm.
_NEEDS_PROGRAMS: Final = re.compile(r"code EALLOWGIT|syscall spawn|spawn \S{1,200} EPERM|[Cc]annot fork|fork: ")
# npm's messages about itself and its plans, and lines that it repeats for each failure.
_NOISE: Final = re.compile(
    r"^npm warn (?:install-scripts|allow-scripts|Unknown |using --force)|^npm (?:notice|info|http)"
    r"|A complete log of this|^npm (?:warn|error)\s*$"
)
# Each fallback is used once at most, so this limit only stops an endless loop after a programming error.
_MAX_ATTEMPTS: Final = 6
# The cause comes first; a compiler's output after it may be very long.
_TOLD_LINES: Final = 40
_TOLD_NAMES: Final = 20
_ONE_BY_ONE: Final = "building package by package"
# For a file that install scripts may have changed.
_MOST_BYTES: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Way:
    """Options of one npm call."""

    lock: bool
    exact: bool
    legacy_peers: bool = False
    scripts: bool = True
    force: bool = False
    from_git: bool = False

    @property
    def arguments(self) -> list[str]:
        # A lock file may name the registry of its author. npm would also take the registry for the host of a Git
        # repository, so a lock file with one keeps its hosts, except npm's own.
        found = ["ci" if self.exact else "install", f"--replace-registry-host={'npmjs' if self.from_git else 'always'}"]
        found += ["--legacy-peer-deps"] if self.legacy_peers else []
        found += [] if self.scripts else ["--ignore-scripts"]
        found += ["--force"] if self.force else []
        return found


@dataclass(frozen=True, slots=True)
class Npm:
    """npm in the folder of one environment.

    Attributes:
        directory: Folder with ``package.json`` and the lock file.
        offline: Use only npm's cache.
        cage: Jail for npm; None runs it like any other program of the service.
        runs_code: Whether code of packages may run.
    """

    toolchain: NodeToolchain
    directory: Path
    offline: bool
    cage: Cage | None = None
    runs_code: bool = True

    async def run(self, arguments: Sequence[str], say: Callable[[str], None] | None = None) -> ProgramResult:
        """Run npm and wait for its exit; ``say`` is called at once with each line of output.

        Raises:
            OSError: npm cannot be started.

        Cancellation: npm and all processes that it started are killed before this returns.
        """
        if (progress := current_progress()) is not None:
            progress.begin("npm fetches and installs packages")
        argv = [str(self.toolchain.npm), *arguments, *FLAGS, "--offline" if self.offline else "--prefer-offline"]
        result = await run_program(
            [*argv, *(() if self.runs_code else NO_CODE)],
            environment={
                **compiler_environment(),
                **nodedir_environment(self.toolchain.node),
                **npm_environment(os.environ),
            },
            directory=self.directory,
            say=say,
            cage=self.cage,
            reaches_out=not self.offline,
        )
        # They say nothing about a failure.
        told = [line for line in result.lines if not line.startswith(("npm info", "npm http"))]
        result.lines.clear()
        result.lines.extend(told)
        return result


async def install(
    recipe: NodeRecipe, npm: Npm, report: Report, *, fetching: Npm | None = None, pinned: bool = False
) -> tuple[str, ...]:
    """Install into npm's folder, which contains the manifest's files.

    Args:
        recipe: What to install.
        npm: Runs the code of packages, if any code may run.
        report: Called with each line and each decision.
        fetching: Runs no code, and fills the package cache that all builds share; None has ``npm`` do everything.
        pinned: Whether there are versions from another package manager's lock file.

    Returns:
        Packages whose own install scripts failed: they are installed but may not work.

    Raises:
        EnvironmentFailed: The installation failed; the message says why.

    Cancellation: npm is killed; the caller must remove the files that npm has written.
    """
    manifest, directory = recipe.manifest, npm.directory
    way = _Way(
        lock=manifest.lock is not None or pinned,
        exact=manifest.exact,
        legacy_peers=manifest.legacy_peers,
        scripts=fetching is None,
        from_git=manifest.lock is not None and b'"git+' in manifest.lock,
    )
    replaced: set[str] = set()
    to_unpin = _MOST_UNPINNED if pinned else 0
    for _ in range(_MAX_ATTEMPTS + to_unpin):
        result = await (fetching or npm).run(way.arguments, partial(_say, report))
        if result.code == 0 and not npm.runs_code:
            await _tell_left_out(npm, report)
            return ()
        if result.code == 0:
            return () if way.scripts else await _rebuild(recipe, npm, report, at_once=fetching is not None)
        if fetching is not None and _NEEDS_PROGRAMS.search("\n".join(result.lines)):
            fetching, way = None, replace(way, scripts=True)
            continue
        if (name := _built_in(result)) is not None and name not in replaced:
            replaced.add(name)
            if not await trio.to_thread.run_sync(_override, directory, replaced):
                _fail(result, recipe, report)
            report(f"{name} is a part of Node, not a package: it is left out", logging.INFO)
            way = replace(way, exact=False)
            continue
        if to_unpin > 0 and way.lock and (line := await _unpin(manifest, directory, result)):
            to_unpin -= 1
            report(line, logging.WARNING)
            continue
        step = _second_way(way, result, keeps_lock=manifest.registries.keeps_lock, by_bun=manifest.is_for_bun)
        if step is None and (tool := await trio.to_thread.run_sync(_leave_out_tool, directory, result)) is not None:
            report(f"{tool} (devDependencies) does not exist: it is left out", logging.WARNING)
            continue
        if step is None:
            _fail(result, recipe, report)
        sentence, way = step
        report(sentence, logging.WARNING)
        if not way.lock:
            await trio.to_thread.run_sync(_remove_locks, manifest, directory, pinned)
            if replaced:
                await trio.to_thread.run_sync(_override, directory, replaced)
    raise EnvironmentFailed(
        "The environment could not be built: npm failed with every option that was tried", reason="other"
    )


async def _tell_left_out(npm: Npm, report: Report) -> None:
    names = list(await trio.to_thread.run_sync(_with_scripts, npm.directory))
    if names:
        shown = ", ".join(names[:_TOLD_NAMES]) + (", …" if len(names) > _TOLD_NAMES else "")
        report(
            f"install scripts are left out (PREVIEW_BUILD_CODE=deny), so these may not work: {shown}", logging.WARNING
        )


def _second_way(way: _Way, result: ProgramResult, *, keeps_lock: bool, by_bun: bool) -> tuple[str, _Way] | None:
    text = "\n".join(result.lines)
    if way.exact and _UNSYNCED.search(text):
        return "the lock file does not match package.json: npm install resolves the rest", replace(way, exact=False)
    if by_bun and not way.force and _CONFLICT.search(text):
        return "peer dependencies contradict each other: all are installed, as Bun does", replace(way, force=True)
    if not way.legacy_peers and _CONFLICT.search(text):
        return "peer dependencies contradict each other: trying again without regard to them", replace(
            way, legacy_peers=True
        )
    if not way.force and _PLATFORM.search(text):
        return "a package does not support this machine: trying anyway", replace(way, force=True)
    if way.scripts and (name := failed_package(result.lines)) is not None:
        return f"{name} could not be built: installing first, then {_ONE_BY_ONE}", replace(way, scripts=False)
    if way.lock and not keeps_lock and _STALE_LOCK.search(text):
        without = replace(way, lock=False, exact=False)
        return "the lock file lists packages that are unavailable: trying again without it", without
    return None


def _built_in(result: ProgramResult) -> str | None:
    """Return the missing package if Node has a built-in module of the same name, which it loads instead."""
    match = _NOT_HAD.search("\n".join(result.lines))
    return match[1] if match and match[1] in BUILT_IN else None


def _leave_out_tool(directory: Path, result: ProgramResult) -> str | None:
    """Remove the package that does not exist, if only developers need it, and return it with its version."""
    name = absent_package(result.lines)
    path = directory / "package.json"
    package = _read_left_object(path)
    tools = package.get("devDependencies")
    if name is None or not isinstance(tools, dict) or name not in tools:
        return None
    version = tools.pop(name)
    path.write_text(json.dumps(package, indent=1), "utf-8")
    return f"{name} {version}"


def _override(directory: Path, names: Iterable[str]) -> bool:
    """Override built-in modules that dependencies list as packages; any small package may replace them.

    Returns:
        Whether this worked: an install script may have spoilt the file.
    """
    path = directory / "package.json"
    package = _read_left_object(path)
    if not package:
        return False
    overrides = package.get("overrides")
    package["overrides"] = {**(overrides if isinstance(overrides, dict) else {}), **dict.fromkeys(names, _ANY_PACKAGE)}
    path.write_text(json.dumps(package, indent=1), "utf-8")
    return True


async def _unpin(manifest: NodeManifest, directory: Path, result: ProgramResult) -> str:
    """Give a package whose locked version does not exist its own range back; return what to say, or nothing."""
    match = _UNAVAILABLE.search("\n".join(result.lines))
    if match is None or not await trio.to_thread.run_sync(_restore_range, manifest, directory, match[1]):
        return ""
    return f"{match[1]} is not available in the version of the lock file: its range in package.json is used"


def _restore_range(manifest: NodeManifest, directory: Path, name: str) -> bool:
    """Undo the pin of one package in all manifests; return whether there was any."""
    found = False
    for folder, package in manifest.packages.items():
        path = directory / folder / "package.json"
        pinned = _read_left_object(path)
        before = json.dumps(pinned)
        for kind in ("dependencies", "devDependencies", "optionalDependencies", "overrides"):
            wanted, given = package.get(kind), pinned.get(kind)
            own = wanted.get(name) if isinstance(wanted, dict) else None
            if isinstance(given, dict) and name in given:
                others = {key: value for key, value in given.items() if key != name}
                pinned[kind] = others if own is None else {**others, name: own}
        if json.dumps(pinned) != before:
            path.write_text(json.dumps(pinned, indent=1), "utf-8")
            found = True
    return _leave_out_entry(directory / "yarn.lock", name) or found


def _leave_out_entry(file: Path, name: str) -> bool:
    """Remove a package from the lock file that ``place_pins`` has written; return whether it was there."""
    try:
        text = read_left(file, _MOST_BYTES)
    except (OSError, ValueError):
        return False
    kept, is_entry = [], False
    for line in text.splitlines(keepends=True):
        # An entry's lines are indented.
        is_entry = line.startswith(f'"{name}@') or (is_entry and line.startswith("  "))
        kept += [] if is_entry else [line]
    rest = "".join(kept)
    if rest != text:
        file.write_text(rest, "utf-8")
    return rest != text


def _read_left_object(path: Path) -> dict[str, object]:
    """Return the JSON object in a file that an install script may have changed; empty if there is none."""
    try:
        text = read_left(path, _MOST_BYTES)
        content: object = {} if is_large_lock(text.encode()) else json.loads(text)
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _remove_locks(manifest: NodeManifest, directory: Path, pinned: bool) -> None:
    for name in ("package-lock.json", "npm-shrinkwrap.json"):
        (directory / name).unlink(missing_ok=True)
    if pinned:
        remove_pins(manifest.packages, directory)


def _say(report: Report, line: str) -> None:
    # A fallback may still succeed; the error lines of a failed attempt would then be irrelevant.
    if not _NOISE.search(line) and not line.startswith("npm error"):
        report(line, logging.WARNING if line.startswith("npm warn EBADENGINE") else logging.INFO)


def _fail(result: ProgramResult, recipe: NodeRecipe, report: Report) -> NoReturn:
    errors = [line for line in result.lines if line.startswith("npm error") and not _NOISE.search(line)]
    for line in errors[:_TOLD_LINES]:
        report(line, logging.ERROR)
    explanation = with_refused(explain_npm(list(result.lines), recipe.manifest), result.refused)
    raise EnvironmentFailed(
        explanation.message,
        reason=explanation.reason,
        requirement=explanation.requirement,
        origin=explanation.origin,
        output=result.tail(),
    )


async def _rebuild(recipe: NodeRecipe, npm: Npm, report: Report, *, at_once: bool) -> tuple[str, ...]:
    """Run the install scripts; package by package if they fail, so that a failure affects one package only."""
    names = await trio.to_thread.run_sync(_with_scripts, npm.directory)
    if names and at_once:
        result = await npm.run(["rebuild"], partial(_say, report))
        if result.code == 0:
            return ()
        report(f"{failed_package(result.lines) or 'a package'} could not be built: {_ONE_BY_ONE}", logging.WARNING)
    failed = []
    for name, is_optional in names.items():
        result = await npm.run(["rebuild", name])
        if result.code == 0:
            continue
        if await _replace(recipe, name, npm):
            wanted = recipe.manifest.range_of(name)
            report(f"{name}@{wanted} cannot be built here: its newest version is used", logging.WARNING)
            continue
        if is_optional:
            report(f"{name} is optional and cannot be built here: it will not work", logging.INFO)
            continue
        failed.append(name)
        explanation = with_refused(explain_npm(list(result.lines), recipe.manifest), result.refused)
        report(f"{explanation.message}; anything that needs {name} will fail", logging.WARNING)
    return tuple(failed)


async def _replace(recipe: NodeRecipe, name: str, npm: Npm) -> bool:
    """Install the newest version: older ones may not compile for this Node, and newer ones often have binaries."""
    if recipe.manifest.range_of(name) is None:
        return False
    newest = ["install", f"{name}@latest", "--ignore-scripts", "--legacy-peer-deps"]
    for arguments in (newest, ["rebuild", name]):
        result = await npm.run(arguments)
        if result.code != 0:
            return False
    return True


def _with_scripts(directory: Path) -> Mapping[str, bool]:
    """Return the names of installed packages with install scripts, and whether each is optional."""
    packages = _read_left_object(directory / "node_modules" / ".package-lock.json").get("packages")
    pairs = packages.items() if isinstance(packages, dict) else ()
    found = {
        path.rpartition("node_modules/")[2]: facts.get("optional") is True
        for path, facts in pairs
        if isinstance(facts, dict) and facts.get("hasInstallScript")
    }
    # npm accepts a package name such as `-g` but would parse it as an option here.
    return {name: is_optional for name, is_optional in found.items() if not name.startswith("-")}
