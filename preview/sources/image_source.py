"""The source of a project's image: its Dockerfile or a text in place of one, and what a compose file adds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ImageSource:
    """The source of a project's image.

    Attributes:
        dockerfile: The Dockerfile, relative to the project; empty if ``text`` is all of it.
        context: The folder that ``COPY`` copies from, relative to the project.
        text: Instructions after those of the Dockerfile.
        arguments: Values of ``ARG``.
        target: The stage to build; empty for the last one.
        entrypoint: In place of the image's ``ENTRYPOINT`` and ``CMD``; None to keep both.
        command: In place of the image's ``CMD``; None to keep it.
        directory: In place of the image's ``WORKDIR``; empty to keep it.
        port: The port on which the program listens; None for the image's.
        volumes: Further folders that it expects to be writable.
        hosts: Further host names that lead to the preview's own servers.
    """

    dockerfile: str
    context: str = "."
    text: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    directory: str = ""
    port: int | None = None
    volumes: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
