"""Recipes: the facts that determine a Node environment, the key derived from them, and the Node that is used."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

import trio

from preview.environments.node.manifest import NodeManifest
from preview.environments.sandbox.program import run_program
from preview.errors import ConfigurationError

# Properties of Node that determine which builds of a package fit.
_IDENTITY: Final = (
    "const r = process.report.getReport().header;"
    "[process.version, process.platform, process.arch, process.versions.modules, r.glibcVersionRuntime || 'musl']"
    ".join(' ')"
)
# Variables with which operators configure their package index, and those that programs need to run. Install scripts of
# a project's packages receive no other variable of the service.
_PASSED_PREFIXES: Final = ("npm_config_", "NPM_CONFIG_", "SSL_", "LC_", "PRISMA_ENGINES_")
_PASSED: Final = frozenset(
    {"ALL_PROXY", "HOME", "HTTPS_PROXY", "HTTP_PROXY", "LANG", "NODE_EXTRA_CA_CERTS", "NO_PROXY", "PATH", "TMPDIR"}
)
# These would change where and what npm installs.
_WITHHELD: Final = frozenset(
    {"npm_config_prefix", "npm_config_global", "npm_config_location", "npm_config_omit", "npm_config_include",
     "npm_config_production", "npm_config_ignore_scripts", "npm_config_local_prefix"}
)  # fmt: skip
# --loglevel=info: npm says which install script it runs.
FLAGS: Final = ("--no-audit", "--no-fund", "--no-update-notifier", "--no-progress", "--color=false", "--loglevel=info")
_VERSION: Final = re.compile(r"v(?P<version>\d+\.\d+\.\d+)")
# --allow-git=none: a package in a repository may have settings that name programs for npm to run.
NO_CODE: Final = ("--ignore-scripts", "--allow-git=none")


@dataclass(frozen=True, slots=True)
class NodeToolchain:
    """A Node with its npm.

    Attributes:
        identity: Version, platform, architecture, ABI and C library of Node, and npm's version.
        version: Version of Node, for example ``20.11.0``.
    """

    node: Path
    npm: Path
    identity: str
    version: str = ""


async def find_node() -> NodeToolchain:
    """Return the Node and npm on the service's ``PATH``.

    Raises:
        ConfigurationError: Node or npm is missing or does not run.

    Cancellation: the program that is being run is killed.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise ConfigurationError("Node projects need the programs node and npm; install Node.js (https://nodejs.org)")
    result = await run_program([node, "-p", _IDENTITY], environment=npm_environment(os.environ), directory=Path("/"))
    said = result.tail(1)
    if result.code != 0 or not said:
        raise ConfigurationError(f"{node} does not run: {' '.join(result.tail(3))[:300]}; install Node.js again")
    npm_version = await trio.to_thread.run_sync(_npm_version, Path(npm))
    version = _VERSION.search(said[0])
    return NodeToolchain(
        Path(node), Path(npm), f"node {said[0]} npm {npm_version}", version["version"] if version is not None else ""
    )


def _npm_version(npm: Path) -> str:
    # Running npm takes 150 ms; its package.json has the version too.
    try:
        return str(json.loads((npm.resolve().parent.parent / "package.json").read_text("utf-8"))["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return "unknown"


def npm_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the service's variables that npm and its programs need to find packages and programs."""
    passed = {
        name: value
        for name, value in environment.items()
        if name.lower() not in _WITHHELD and (name.upper() in _PASSED or name.startswith(_PASSED_PREFIXES))
    }
    # Previews need no browsers, Git hooks or update notices.
    quiet = {"HUSKY": "0", "PUPPETEER_SKIP_DOWNLOAD": "1", "PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD": "1",
             "CYPRESS_INSTALL_BINARY": "0", "MONGOMS_DISABLE_POSTINSTALL": "1", "CHECKPOINT_DISABLE": "1",
             "NX_DAEMON": "false", "ADBLOCK": "1", "DISABLE_OPENCOLLECTIVE": "1", "CI": "1"}  # fmt: skip
    return {**passed, **quiet}


def nodedir_environment(node: Path) -> dict[str, str]:
    """Return the variable that lets node-gyp build with the headers beside Node; empty if it has none there.

    Else node-gyp downloads them from nodejs.org, which builds do not reach.
    """
    folder = node.resolve().parent.parent
    return {"npm_config_nodedir": str(folder)} if (folder / "include" / "node" / "node_version.h").is_file() else {}


def compiler_environment() -> dict[str, str]:
    """Return the variables with which packages in C++ compile quickly, as a preview runs for minutes.

    node-gyp's makefiles append ``CFLAGS`` to Node's own ``-O3``: better-sqlite3 takes half of the time. Two compilers
    at once, whatever the number of processors: each may take half a GiB for V8's headers.
    """
    return {"CFLAGS": "-O1", "CXXFLAGS": "-O1", "JOBS": "2"}


_ALTERNATIVES: Final = 20
_LOWEST: Final = re.compile(r"\s{0,4}(?:>=?|\^|~|=)?\s{0,4}v?(?P<major>\d{1,4})")
_SHOWN: Final = 100


def newer_node(manifest: NodeManifest, version: str) -> str | None:
    """Return the range of Node that ``package.json`` names, if all of it is newer than this version; None otherwise."""
    engines = manifest.packages["."].get("engines")
    wanted = engines.get("node") if isinstance(engines, Mapping) else None
    here = version.partition(".")[0]
    if not isinstance(wanted, str) or not here.isdecimal():
        return None
    lowest = [_LOWEST.match(one) for one in wanted.split("||")[:_ALTERNATIVES]]
    is_newer = all(one is not None and int(one["major"]) > int(here) for one in lowest)
    return wanted[:_SHOWN] if is_newer and wanted.isprintable() else None


# Increase this when the content of an environment's folder changes: eviction then removes the older environments. The
# programs that are copied into it (``preview-prisma``) count by their text.
_LAYOUT_VERSION = 5


@dataclass(frozen=True, slots=True)
class NodeRecipe:
    """Facts that determine an environment.

    Attributes:
        key: The environment's name: a hash of all other facts.
        runs_code: Whether code of packages may run during the build.
        builder: See ``builder_name``.
    """

    key: str
    manifest: NodeManifest
    toolchain: NodeToolchain
    runs_code: bool = True
    builder: str = ""


def make_node_recipe(manifest: NodeManifest, toolchain: NodeToolchain, *, runs_code: bool = True) -> NodeRecipe:
    """Return a package's recipe with its key. Hashes megabytes: call it in a thread."""
    facts: list[object] = [
        "node",
        _LAYOUT_VERSION,
        programs_hash(),
        toolchain.identity,
        manifest.packages,
        {name: hashlib.sha256(data).hexdigest() for name, data in manifest.files.items()},
        hashlib.sha256(manifest.lock).hexdigest() if manifest.lock is not None else None,
        manifest.legacy_peers,
    ]
    if manifest.foreign_lock is not None:
        facts += [manifest.foreign_lock.name, hashlib.sha256(manifest.foreign_lock.data).hexdigest()]
    if not runs_code:
        facts.append("no code")
    # 128 bits of the hash: the name appears in every stack trace. Sorted: the order of names has no effect.
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]
    return NodeRecipe(key, manifest, toolchain, runs_code)


def write_program(binaries: Path, name: str, script: str) -> None:
    """Write one of the service's own programs into an environment's ``.bin``."""
    text = (resources.files("preview.environments.node") / "scripts" / script).read_text("utf-8")
    (binaries / name).write_text(text, "utf-8")
    (binaries / name).chmod(0o755)


@functools.cache
def programs_hash() -> str:
    """Return a hash of the programs that each environment contains."""
    folder = resources.files("preview.environments.node") / "scripts"
    texts = [one.read_bytes() for one in sorted(folder.iterdir(), key=lambda one: one.name) if one.is_file()]
    return hashlib.sha256(b"\0".join(texts)).hexdigest()
