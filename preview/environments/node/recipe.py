"""From what a Node project requires to the name of the environment it needs."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import trio

from preview.environments.node.locks import LockFile, Pins, UnreadableLock, read_pins
from preview.environments.node.manifest import NodeManifest, read_node_manifest
from preview.environments.sandbox.program import run_program
from preview.errors import ConfigurationError

# What determines which builds of a package fit.
_IDENTITY: Final = (
    "const r = process.report.getReport().header;"
    "[process.version, process.platform, process.arch, process.versions.modules, r.glibcVersionRuntime || 'musl']"
    ".join(' ')"
)
# What operators set to reach their package index, and what programs need to run at all. Nothing else of the service's
# environment goes to the install scripts of a project's packages.
_PASSED_PREFIXES: Final = ("npm_config_", "NPM_CONFIG_", "SSL_", "LC_", "PRISMA_ENGINES_")
_PASSED: Final = frozenset(
    {"ALL_PROXY", "HOME", "HTTPS_PROXY", "HTTP_PROXY", "LANG", "NODE_EXTRA_CA_CERTS", "NO_PROXY", "PATH", "TMPDIR"}
)
# They would change where npm installs and what.
_WITHHELD: Final = frozenset(
    {"npm_config_prefix", "npm_config_global", "npm_config_location", "npm_config_omit", "npm_config_include",
     "npm_config_production", "npm_config_ignore_scripts", "npm_config_local_prefix"}
)  # fmt: skip
FLAGS: Final = ("--no-audit", "--no-fund", "--no-update-notifier", "--no-progress", "--color=false")
_VERSION: Final = re.compile(r"v(?P<version>\d+\.\d+\.\d+)")
# A package in a repository brings settings of its own, which name programs that npm runs.
NO_CODE: Final = ("--ignore-scripts", "--allow-git=none")


@dataclass(frozen=True, slots=True)
class NodeToolchain:
    """One Node with its npm.

    Attributes:
        identity: Version, platform, architecture, interface and C library of Node, and the version of npm.
        version: ``20.11.0``, of Node.
    """

    node: Path
    npm: Path
    identity: str
    version: str = ""


async def find_node() -> NodeToolchain:
    """Return the Node and npm on the service's ``PATH``.

    Raises:
        ConfigurationError: There is none.

    Cancellation: the program asked for its version is gone.
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
    # Asking the program takes 150 ms; its package says the same.
    try:
        return str(json.loads((npm.resolve().parent.parent / "package.json").read_text("utf-8"))["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return "unknown"


def npm_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the service's variables for npm and its programs: those that lead to packages and programs."""
    passed = {
        name: value
        for name, value in environment.items()
        if name.lower() not in _WITHHELD and (name.upper() in _PASSED or name.startswith(_PASSED_PREFIXES))
    }
    # Browsers and hooks are not for a preview; and nobody wants to be told of newer versions.
    quiet = {"HUSKY": "0", "PUPPETEER_SKIP_DOWNLOAD": "1", "PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD": "1",
             "CYPRESS_INSTALL_BINARY": "0", "MONGOMS_DISABLE_POSTINSTALL": "1", "CHECKPOINT_DISABLE": "1",
             "NX_DAEMON": "false", "ADBLOCK": "1", "DISABLE_OPENCOLLECTIVE": "1", "CI": "1"}  # fmt: skip
    return {**passed, **quiet}


# Raise it whenever what stands in an environment's folder changes: older ones are then left to eviction.
_LAYOUT_VERSION = 4


@dataclass(frozen=True, slots=True)
class NodeRecipe:
    """All that determines an environment.

    Attributes:
        key: Its name: a hash over everything else.
        runs_code: Whether code of packages may run while it is built.
    """

    key: str
    manifest: NodeManifest
    toolchain: NodeToolchain
    runs_code: bool = True


def make_node_recipe(manifest: NodeManifest, toolchain: NodeToolchain, *, runs_code: bool = True) -> NodeRecipe:
    """Make a package's recipe and its key. Hashes megabytes: call it in a thread."""
    facts: list[object] = [
        "node",
        _LAYOUT_VERSION,
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
    # 128 bits of it: the name stands in every stack trace. Sorted: the order of names changes nothing.
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]
    return NodeRecipe(key, manifest, toolchain, runs_code)


class NodeReader(Protocol):
    """Reads what npm is given."""

    async def node_manifest(self, directory: Path, extra: Sequence[str]) -> NodeManifest:
        """Read like ``read_node_manifest``. Cancellation: nothing of the call is left."""

    async def pins(self, lock: LockFile) -> Pins | str:
        """Read a lock file's pins, or the reason why not. Cancellation: nothing of the call is left."""


class InThread:
    """Reads in a thread of this process: for callers who read files of their own."""

    async def node_manifest(self, directory: Path, extra: Sequence[str]) -> NodeManifest:
        """Implement the protocol. Cancellation: waits."""
        return await trio.to_thread.run_sync(read_node_manifest, directory, extra)

    async def pins(self, lock: LockFile) -> Pins | str:
        """Implement the protocol. Cancellation: waits."""
        return await trio.to_thread.run_sync(pins_or_reason, lock)


def pins_or_reason(lock: LockFile) -> Pins | str:
    """Read a lock file's pins, or the reason why not, as the end of a sentence."""
    try:
        return read_pins(lock)
    except UnreadableLock as reason:
        return str(reason)
