"""The image of a process in a container."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RunImage:
    """An image of the engine.

    Attributes:
        name: Its id.
        volumes: Folders in it that are writable, in memory.
        variables: Names of its own environment variables, which the service's programs in the container do not get.
        hosts: Further host names that lead to its own loopback.
    """

    name: str
    volumes: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
