"""A finished image's description of its program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """A command that says whether the program is healthy: exit status 0.

    Attributes:
        argv: The command.
        interval_s: Seconds from the end of one to the next.
        timeout_s: Seconds that one may take.
        retries: Failures in a row that count.
        start_s: Seconds after the start in which failures do not count.
    """

    argv: tuple[str, ...]
    interval_s: float = 30.0
    timeout_s: float = 30.0
    retries: int = 3
    start_s: float = 0.0


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
        user: Its ``USER``; empty for root.
        health: Its ``HEALTHCHECK``, unless that asks an address.
        check: Its ``HEALTHCHECK``, also if that asks an address.
        waits: Services beside for which it waits before it starts, each with its condition.
        beside: Services that run beside it.
        names: Its own host names, for these.
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
    user: str = ""
    health: HealthCheck | None = None
    check: HealthCheck | None = None
    waits: Mapping[str, str] = field(default_factory=dict)
    beside: tuple[BuiltBeside, ...] = ()
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BuiltBeside:
    """A service beside the one that is previewed, ready to run.

    Attributes:
        name: Its name, also in the log.
        image: Its image.
        environment: Its variables, besides those of the image.
        names: Its host names.
    """

    name: str
    image: BuiltImage
    environment: Mapping[str, str]
    names: tuple[str, ...]
