"""The source of a project's image: its Dockerfile or a text in place of one, and what a compose file adds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

# The path of the address that a health check asks.
_HEALTH: Final = re.compile(
    r"https?://(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\])(?::[\w${}]{1,40})?(/[\w./~%-]{0,200})"
)
_MOST_CHECK: Final = 1000


MOST_BESIDE: Final = 4
"""Services that run beside the one that is previewed."""


HEALTHY: Final = "service_healthy"
"""Condition of a compose file: the service's health check has passed."""

DONE: Final = "service_completed_successfully"
"""Condition of a compose file: the service has ended with code 0."""


@dataclass(frozen=True, slots=True)
class Beside:
    """A service that runs beside the one that is previewed.

    Attributes:
        name: Its name, also in the log.
        source: The source of its image.
        environment: Its variables.
        names: Its host names.
    """

    name: str
    source: ImageSource
    environment: Mapping[str, str] = field(default_factory=dict)
    names: tuple[str, ...] = ()


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
        health: In place of the image's ``HEALTHCHECK``, as ``("CMD", …)`` or ``("CMD-SHELL", …)``; empty to keep it.
        health_times: In place of that check's times and retries, by the engine's names of them; times in nanoseconds.
        waits: Services for which it waits before it starts, each with ``HEALTHY`` or ``DONE``.
        beside: Services that run beside it, each in a container.
        names: Its own host names, for these.
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
    health: tuple[str, ...] = ()
    health_times: Mapping[str, int] = field(default_factory=dict)
    waits: Mapping[str, str] = field(default_factory=dict)
    beside: tuple[Beside, ...] = ()
    names: tuple[str, ...] = ()


def health_path_in(command: str) -> str | None:
    """Return the path of the address that a check's command asks; None if it asks none."""
    found = _HEALTH.search(command[:_MOST_CHECK])
    return found[1] if found is not None else None
