"""A finished image's description of its program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """An image that is ready to run.

    Attributes:
        name: The image's id.
        argv: Its program and arguments; empty if it names none.
        variables: Its environment variables.
        directory: Its working folder.
        port: The port on which it listens, as far as it says so.
        volumes: Folders that it expects to be writable.
        hosts: Further host names that lead to the preview's own servers.
        entrypoint: The part of ``argv`` that is the image's ``ENTRYPOINT``.
        command: The part of ``argv`` that is its ``CMD``.
    """

    name: str
    argv: tuple[str, ...]
    variables: Mapping[str, str]
    directory: str
    port: int | None
    volumes: tuple[str, ...]
    hosts: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
