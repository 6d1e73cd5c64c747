"""Lock files of other package managers, converted to pins that npm can follow."""

from preview.environments.node.locks.addresses import is_whole_hash, with_usual_addresses
from preview.environments.node.locks.pins import read_pins
from preview.environments.node.locks.placing import LOCK_NAMES, LockFile, Pins, UnreadableLock, place_pins, remove_pins

__all__ = [
    "LOCK_NAMES",
    "LockFile",
    "Pins",
    "UnreadableLock",
    "is_whole_hash",
    "place_pins",
    "read_pins",
    "remove_pins",
    "with_usual_addresses",
]
