"""Prisma in a Node environment: the program that makes its client, and ways without its engine.

Prisma downloads its engine, a program, from binaries.prisma.sh. Where that cannot be had, versions 5.11 and later ask
the database through packages of npm (driver adapters). They are installed for versions 5 and 6; with 7, projects have
them. With older versions, and with MySQL before 6.11, the application starts, and its database queries fail.
"""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Final

import trio

from preview.environments.folders.environment import Report
from preview.environments.node.install import Npm
from preview.environments.node.modules import NO_ENGINE, WITH_ADAPTERS
from preview.environments.node.recipe import write_program
from preview.environments.sandbox.sweep import read_left

_ENGINES: Final = ("PRISMA_QUERY_ENGINE_LIBRARY", "PRISMA_QUERY_ENGINE_BINARY", "PRISMA_SCHEMA_ENGINE_BINARY")
_OLD_ENGINES: Final = ("PRISMA_MIGRATION_ENGINE_BINARY", "PRISMA_INTROSPECTION_ENGINE_BINARY", "PRISMA_FMT_BINARY")
# From version 5 on one engine handles all but queries, and Prisma warns of the old variables.
_SCHEMA_ENGINE_SINCE: Final = 5
# From this version on, the client needs no engine.
_CLIENT_WITHOUT_SINCE: Final = 7
# Its client has an engine of WebAssembly since then.
_ADAPTERS_SINCE: Final = (5, 11)
_ADAPTERS: Final = ("@prisma/adapter-pg", "@prisma/adapter-libsql")
_MYSQL: Final = "@prisma/adapter-mariadb"
_MYSQL_SINCE: Final = (6, 11)
# Before these versions, the adapters leave their drivers to the project (their `peerDependencies`).
_DRIVERS: Final = {"pg@^8": (6, 11), "@libsql/client@^0.8": (6, 6)}
_VERSION: Final = re.compile(r"(\d{1,3})\.(\d{1,3})\.\d{1,4}")
_MOST_BYTES: Final = 64 * 1024
_MOST_SAID: Final = 200
_STAND_IN: Final = '#!/bin/sh\necho "Prisma\'s engine could not be downloaded (binaries.prisma.sh)" >&2\nexit 1\n'


async def add_adapters(npm: Npm, report: Report) -> bool:
    """Install Prisma's adapters if its engine is missing, and its version takes them; return whether they are there.

    Args:
        npm: In the unfinished environment, whose packages have run their code.
        report: Called with the reason if they cannot be installed.

    Cancellation: npm is killed.
    """
    wanted = await trio.to_thread.run_sync(_adapters, npm.directory)
    if not wanted:
        return False
    options = ["--no-save", "--ignore-scripts", "--legacy-peer-deps", "--replace-registry-host=always"]
    result = await npm.run(["install", *options, *wanted])
    if result.code != 0:
        said = next((line for line in result.lines if line.startswith("npm error ")), f"npm ended with {result.code}")
        report(f"Prisma's adapters could not be installed: {said[:_MOST_SAID]}", logging.WARNING)
    return result.code == 0


def _adapters(directory: Path) -> list[str]:
    """Return the packages for an environment without Prisma's engine; none for a version that takes no adapters."""
    prisma = directory / "node_modules" / "@prisma"
    found = _version(prisma / "client")
    if found is None or _has_engine(prisma / "engines"):
        return []
    version = int(found[1]), int(found[2])
    if not _ADAPTERS_SINCE <= version < (_CLIENT_WITHOUT_SINCE, 0):
        return []
    names = [*_ADAPTERS, _MYSQL] if version >= _MYSQL_SINCE else _ADAPTERS
    drivers = [driver for driver, since in _DRIVERS.items() if version < since]
    return [*(f"{name}@{found[0]}" for name in names), *drivers]


def prepare_prisma(
    directory: Path, binaries: Path, report: Report, *, runs_code: bool, has_adapters: bool
) -> dict[str, str]:
    """Write the program that generates a project's client, and a stand-in for an engine that is missing.

    Args:
        directory: The unfinished environment.
        binaries: Its ``node_modules/.bin``.
        report: Called with what is missing.
        runs_code: Whether install scripts may run: one of them downloads the engine.
        has_adapters: See ``add_adapters``.

    Returns:
        Variables that point Prisma to the stand-in, each with its name in the environment; empty if the engine exists.
    """
    write_program(binaries, "preview-prisma", "preview-prisma.cjs")
    engines = directory / "node_modules" / "@prisma" / "engines"
    if _has_engine(engines):
        return {}
    if (binaries / "prisma").exists():
        (binaries / "prisma").unlink()
        write_program(binaries, "prisma", "preview-no-engine.cjs")
    found = _version(engines)
    major = int(found[1]) if found is not None else _SCHEMA_ENGINE_SINCE
    is_needed = not has_adapters and major < _CLIENT_WITHOUT_SINCE
    stand_in = directory / (NO_ENGINE if is_needed else WITH_ADAPTERS)
    stand_in.write_text(_STAND_IN, "utf-8")
    stand_in.chmod(0o755)
    _tell(report, major, runs_code=runs_code, has_adapters=has_adapters)
    return dict.fromkeys(_ENGINES if major >= _SCHEMA_ENGINE_SINCE else (*_ENGINES, *_OLD_ENGINES), stand_in.name)


def _tell(report: Report, major: int, *, runs_code: bool, has_adapters: bool) -> None:
    why = "could not be downloaded"
    advice = "let the service's machine reach binaries.prisma.sh (or set PRISMA_ENGINES_MIRROR) and clear the cache"
    if not runs_code:
        why = "is downloaded by an install script, which PREVIEW_BUILD_CODE=deny does not run"
        advice = "the service would have to be set to PREVIEW_BUILD_CODE=allow"
    if has_adapters:
        report(f"Prisma's engine {why}: its client asks the database through packages ({_ADAPTERS[0]})", logging.INFO)
        return
    lost = "its database queries fail"
    if major >= _CLIENT_WITHOUT_SINCE:
        lost = "`prisma db push` makes no tables (migrations of PostgreSQL and MySQL are loaded without it)"
    report(f"Prisma's engine {why}: the application starts, but {lost}; {advice}", logging.WARNING)


def _has_engine(engines: Path) -> bool:
    return any(engines.glob("*query?engine*")) or any(engines.glob("schema-engine*"))


def _version(package: Path) -> re.Match[str] | None:
    """Return the version of a package that an install script may have changed; None without one."""
    try:
        version = json.loads(read_left(package / "package.json", _MOST_BYTES))["version"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return _VERSION.fullmatch(version) if isinstance(version, str) else None
