"""From what a Node project requires to the name of the environment it needs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from preview.environments.node.manifest import NodeManifest, read_node_manifest
from preview.environments.node.toolchain import NodeToolchain

__all__ = ["NodeRecipe", "make_node_recipe"]

# Raise it whenever what stands in an environment's folder changes: older ones are then left to eviction.
_LAYOUT_VERSION = 4


@dataclass(frozen=True, slots=True)
class NodeRecipe:
    """All that determines an environment.

    Attributes:
        key: Its name: a hash over everything else.
        manifest: What the project asks for.
        toolchain: For which Node.
        runs_code: Whether code of packages may run while it is built.
    """

    key: str
    manifest: NodeManifest
    toolchain: NodeToolchain
    runs_code: bool = True


def make_node_recipe(
    directory: Path, toolchain: NodeToolchain, extra: Sequence[str] = (), *, runs_code: bool = True
) -> NodeRecipe:
    """What the package in ``directory`` needs, and its key. Reads files, runs nothing; call it in a thread.

    Raises:
        EnvironmentFailed: A file or a requirement is wrong.
    """
    manifest = read_node_manifest(directory, extra)
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
