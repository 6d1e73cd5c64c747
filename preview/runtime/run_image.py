"""The image of a process in a container."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RunImage:
    """An image of the engine, and folders in it that are writable, in memory."""

    name: str
    volumes: tuple[str, ...] = ()
