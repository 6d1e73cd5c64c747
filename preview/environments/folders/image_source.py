"""The source of a project's image, and the finished image's description of its program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ImageSource:
    """The source of a project's image.

    Attributes:
        dockerfile: The Dockerfile, relative to the project.
    """

    dockerfile: str


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
    """

    name: str
    argv: tuple[str, ...]
    variables: Mapping[str, str]
    directory: str
    port: int | None
    volumes: tuple[str, ...]
