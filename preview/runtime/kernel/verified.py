"""Processes that the service may signal, move and measure: the kernel has shown whose each of them is.

No pid, pidfd or word that comes from inside a preview names such a process. Each is found out from an object that the
service made itself before any code of a project ran: a child that it started, a control group that it created, a
namespace that it looked up, or a row that it wrote with the start time. ``VerifiedProcess`` is made in this module
alone, so a raw number cannot be passed where one is wanted.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress

from preview.core.descriptors import is_readable, raise_want
from preview.runtime.interface import ProcessIdentity
from preview.runtime.kernel import proctree

_ENDED = "it ended before it was set up"


class NotVerified(Exception):
    """The process is not what it would have to be; says why, in half a sentence. Nothing was done to it."""


class _Maker:
    """Only this module has it."""


_MAKER = _Maker()


class VerifiedProcess:
    """A process of which the kernel has shown whose it is.

    Attributes:
        identity: Names it for ever: its number may be another's once it was reaped.
    """

    __slots__ = ("identity",)

    def __init__(self, identity: ProcessIdentity, maker: _Maker) -> None:
        if maker is not _MAKER:
            raise TypeError("made by the functions of this module alone")
        self.identity = identity

    @property
    def pid(self) -> int:
        """Its number here, for as long as it was not reaped."""
        return self.identity.pid

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VerifiedProcess) and self.identity == other.identity

    def __hash__(self) -> int:
        return hash(self.identity)

    def kill(self) -> None:
        """SIGKILL for this very process; nothing if it has ended.

        Raises:
            OSError: No descriptor is left.
        """
        with suppress(ProcessLookupError, PermissionError):
            descriptor = os.pidfd_open(self.identity.pid)
            try:
                # The pidfd names one process; the check after opening it makes sure that it is the one we mean.
                if proctree.is_alive(self.identity):
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            finally:
                os.close(descriptor)


class OpenProcess(VerifiedProcess):
    """One that is held by a pidfd, which names it even when it has ended. To be closed."""

    __slots__ = ("_descriptor",)

    def __init__(self, identity: ProcessIdentity, descriptor: int, maker: _Maker) -> None:
        """Args: descriptor: a pidfd of it; owned from here on."""
        super().__init__(identity, maker)
        self._descriptor = descriptor

    def fileno(self) -> int:
        """Readable once it has ended; -1 when this is closed."""
        return self._descriptor

    @property
    def has_ended(self) -> bool:
        """True if it has ended. Not valid after ``close``."""
        return is_readable(self._descriptor)

    def kill(self) -> None:
        """SIGKILL for it, if it is there."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def dup(self) -> OpenProcess:
        """Return the same process with a separate descriptor.

        Raises:
            OSError: No descriptor is left.
        """
        return OpenProcess(self.identity, os.dup(self._descriptor), _MAKER)

    def close(self) -> None:
        """Close the descriptor. A second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def find_living(look: Callable[[], Iterable[int]]) -> list[VerifiedProcess]:
    """Those that run of what is found in an object of the service's own.

    Each is found before its start time is read, and once more after: a number that is used again in between by a
    process elsewhere is noticed.

    Args:
        look: Reads the object: a control group that the service made, the children of a process that it started, the
            marks of a preview that it gave out.
    """
    found = proctree.living(look())
    again = frozenset(look()) if found else frozenset()
    return [VerifiedProcess(one, _MAKER) for one in found if one.pid in again]


def as_known(identities: Iterable[ProcessIdentity]) -> list[VerifiedProcess]:
    """Convert processes that the service knows by pid and start time from an earlier look."""
    return [VerifiedProcess(one, _MAKER) for one in identities]


def verify(pid: int, find_fault: Callable[[int], str | None]) -> OpenProcess:
    """Open a process that a message named, if it is what it has to be.

    The pidfd is opened first, then the process is looked at, then it is seen to live: so what was looked at under this
    number is what the pidfd names, even if numbers are used again.

    Args:
        pid: As the kernel attached it to the message.
        find_fault: Says what is not as it should be, from what the kernel shows; None where all is.

    Raises:
        NotVerified: It is another, or has ended.
        OSError: No descriptor is left.
    """
    if pid == os.getpid():
        raise NotVerified("it names the service itself")
    try:
        descriptor = os.pidfd_open(pid)
    except OSError as error:
        raise_want(error)
        raise NotVerified(_ENDED) from None
    try:
        identity = _look(pid, descriptor, find_fault)
    except BaseException:
        os.close(descriptor)
        raise
    return OpenProcess(identity, descriptor, _MAKER)


def _look(pid: int, descriptor: int, find_fault: Callable[[int], str | None]) -> ProcessIdentity:
    identity = proctree.identify(pid)
    try:
        fault = find_fault(pid)
    except OSError as error:
        raise_want(error)
        fault = "it cannot be looked at"
    if identity is None or is_readable(descriptor):
        raise NotVerified(_ENDED)
    if fault is not None:
        raise NotVerified(fault)
    return identity
