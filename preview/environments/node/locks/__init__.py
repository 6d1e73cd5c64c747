"""Lock files of other package managers, converted to pins that npm can follow."""

from preview.environments.node.locks.addresses import with_usual_addresses
from preview.environments.node.locks.pins import read_pins
from preview.environments.node.locks.placing import LOCK_NAMES, LockFile, Pins, UnreadableLock, place_pins, remove_pins

__all__ = [
    "LOCK_NAMES",
    "LockFile",
    "Pins",
    "UnreadableLock",
    "place_pins",
    "read_pins",
    "remove_pins",
    "with_usual_addresses",
]
