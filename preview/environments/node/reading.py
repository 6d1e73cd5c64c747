"""Who reads a Node project's manifests and lock files, which are a stranger's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import trio

from preview.environments.node.locks import LockFile, Pins, UnreadableLock, read_pins
from preview.environments.node.manifest import NodeManifest, read_node_manifest


class NodeReader(Protocol):
    """Reads what npm is given."""

    async def node_manifest(self, directory: Path, extra: Sequence[str]) -> NodeManifest:
        """As ``read_node_manifest``. Cancellation: nothing of the call is left."""

    async def pins(self, lock: LockFile) -> Pins | str:
        """What a lock file pins, or why it says nothing that can be used. Cancellation: nothing of the call is left."""


class InThread:
    """Reads in a thread of this process: for whoever reads files of their own."""

    async def node_manifest(self, directory: Path, extra: Sequence[str]) -> NodeManifest:
        """As the protocol. Cancellation: waits."""
        return await trio.to_thread.run_sync(read_node_manifest, directory, extra)

    async def pins(self, lock: LockFile) -> Pins | str:
        """As the protocol. Cancellation: waits."""
        return await trio.to_thread.run_sync(pins_or_reason, lock)


def pins_or_reason(lock: LockFile) -> Pins | str:
    """What a lock file pins, or why it says nothing that can be used, as the end of a sentence."""
    try:
        return read_pins(lock)
    except UnreadableLock as reason:
        return str(reason)
