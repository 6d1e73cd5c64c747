"""Reading of the files that determine npm's input; the processes that read untrusted ones load nothing that builds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import trio

from preview.environments.node.locks import LockFile, Pins, UnreadableLock, read_pins
from preview.environments.node.manifest import NodeManifest, read_node_manifest


class NodeReader(Protocol):
    """Reads the files that determine npm's input."""

    async def node_manifest(self, directory: Path, extra: Sequence[str]) -> NodeManifest:
        """Return the result of ``read_node_manifest``. Cancellation: the call leaves nothing behind."""

    async def pins(self, lock: LockFile) -> Pins | str:
        """Return a lock file's pins, or why it cannot be read. Cancellation: the call leaves nothing behind."""


class InThread:
    """Reads in a thread of this process, for callers who read their own files."""

    async def node_manifest(self, directory: Path, extra: Sequence[str]) -> NodeManifest:
        """Implement the protocol. Cancellation: takes effect after the thread has finished."""
        return await trio.to_thread.run_sync(read_node_manifest, directory, extra)

    async def pins(self, lock: LockFile) -> Pins | str:
        """Implement the protocol. Cancellation: takes effect after the thread has finished."""
        return await trio.to_thread.run_sync(pins_or_reason, lock)


def pins_or_reason(lock: LockFile) -> Pins | str:
    """Return a lock file's pins, or the reason why it cannot be read, as the end of a sentence."""
    try:
        return read_pins(lock)
    except UnreadableLock as reason:
        return str(reason)
