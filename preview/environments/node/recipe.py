"""From what a Node project requires to the name of the environment it needs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from preview.environments.node.manifest import NodeManifest
from preview.environments.node.toolchain import NodeToolchain

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


def make_node_recipe(manifest: NodeManifest, toolchain: NodeToolchain, *, runs_code: bool = True) -> NodeRecipe:
    """What a package needs, and its key. Hashes megabytes: call it in a thread."""
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
