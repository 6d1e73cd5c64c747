"""The image of a process in a container, and what only containers offer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class RunNetwork:
    """A private network of containers.

    Attributes:
        name: Its name on the engine.
        address: The container's own address in it.
        names: Addresses of other containers, by host name.
        processes: Processes that all of its containers may have together; they have one user.
    """

    name: str
    address: str
    names: Mapping[str, str]
    processes: int = 0


@dataclass(frozen=True, slots=True)
class RunImage:
    """An image of the engine.

    Attributes:
        name: Its id.
        volumes: Folders in it that are writable, in memory.
        variables: Names of its own environment variables, which the service's programs in the container do not get.
        hosts: Further host names that lead to its own loopback.
        directory: Its working folder.
        user: Its ``USER``, whose name the container's user gets.
        network: Private network that it is in; None: it has none.
        tell: Called with one sentence for the log.
    """

    name: str
    volumes: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    directory: str = "/"
    user: str = ""
    network: RunNetwork | None = None
    tell: Callable[[str], None] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Checked:
    """Result of a check: its exit status, None if it did not end in time, and its last line of output."""

    code: int | None
    said: str


@runtime_checkable
class ChecksInside(Protocol):
    """A running process beside which a command can run in the same isolation."""

    async def check(self, argv: Sequence[str], directory: str, within_s: float) -> Checked:
        """Run a command with the program's variables, limits and rights; it is killed after ``within_s`` seconds.

        Raises:
            OSError: This service has no free file descriptor or memory for it.

        Cancellation: the command is killed when its time is over.
        """


class Addresses(Protocol):
    """A private network: its name, and addresses for its containers."""

    @property
    def name(self) -> str:
        """Name on the engine."""

    @property
    def addresses(self) -> Sequence[str]:
        """Free addresses."""


@runtime_checkable
class ConnectsContainers(Protocol):
    """A runtime whose processes can have a private network in common."""

    def open_private_network(self, preview_id: str) -> AbstractAsyncContextManager[Addresses]:
        """Make a network that leads nowhere else.

        Raises:
            LaunchFailed: There is none.

        Cancellation: nothing is left.
        """
