"""A lock file of another package manager, read by its name."""

from __future__ import annotations

from preview.environments.node.locks.bun_lock import read_bun_lock
from preview.environments.node.locks.pins import LockFile, Pins, UnreadableLock
from preview.environments.node.locks.pnpm_lock import read_pnpm_lock
from preview.environments.node.locks.yarn_lock import read_yarn_lock

# The largest ones of public projects are a fifth of it.
_MAX_BYTES = 8 * 1024 * 1024


def read_pins(lock: LockFile) -> Pins:
    """What it pins; addresses, paths and patches in it do not count.

    Raises:
        UnreadableLock: It says nothing that can be used.
    """
    if len(lock.data) > _MAX_BYTES:
        raise UnreadableLock(f"it is larger than {_MAX_BYTES // 2**20} MiB")
    match lock.name:
        case "yarn.lock":
            pins = read_yarn_lock(lock.data)
        case "pnpm-lock.yaml":
            pins = read_pnpm_lock(lock.data)
        case "bun.lock":
            pins = read_bun_lock(lock.data)
        case _:
            raise UnreadableLock("its format is binary")
    if pins.is_empty:
        raise UnreadableLock("it names no version")
    return pins
