"""Processes that the service may signal, move and measure, because the kernel has shown where they belong.

A pid, pidfd or message from inside a preview never identifies such a process. The service finds each process through an
object that it made before any code of a project ran: a child that it started, a control group that it created, a
namespace that it looked up, or a database row with the start time. Only this module makes a ``VerifiedProcess``, so a
bare number cannot be passed instead.
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
    """The process fails the check; the message gives the reason in half a sentence. The process was not changed."""


class _Maker:
    """A token that only this module has."""


_MAKER = _Maker()


class VerifiedProcess:
    """A process that the service has verified through the kernel.

    Attributes:
        identity: Permanent identity; the pid alone may be reused once the process is reaped.
    """

    __slots__ = ("identity",)

    def __init__(self, identity: ProcessIdentity, maker: _Maker) -> None:
        if maker is not _MAKER:
            raise TypeError("made by the functions of this module alone")
        self.identity = identity

    @property
    def pid(self) -> int:
        """Its pid in the service's namespace; valid until the process is reaped."""
        return self.identity.pid

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VerifiedProcess) and self.identity == other.identity

    def __hash__(self) -> int:
        return hash(self.identity)

    def kill(self) -> None:
        """Send SIGKILL to exactly this process; see ``send``."""
        self.send(signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to exactly this process; do nothing if it has ended.

        Raises:
            OSError: No file descriptor is free.
        """
        with suppress(ProcessLookupError, PermissionError):
            descriptor = os.pidfd_open(self.identity.pid)
            try:
                # The pidfd names one process; the check after opening ensures that it is the intended process.
                if proctree.is_alive(self.identity):
                    signal.pidfd_send_signal(descriptor, number)
            finally:
                os.close(descriptor)


class OpenProcess(VerifiedProcess):
    """A verified process with an open pidfd, which names the process even after its end. The caller closes it."""

    __slots__ = ("_descriptor",)

    def __init__(self, identity: ProcessIdentity, descriptor: int, maker: _Maker) -> None:
        """Take over ``descriptor``, a pidfd of the process."""
        super().__init__(identity, maker)
        self._descriptor = descriptor

    def fileno(self) -> int:
        """Return the pidfd, which is readable once the process has ended; -1 after ``close``."""
        return self._descriptor

    @property
    def has_ended(self) -> bool:
        """True if the process has ended. Do not use it after ``close``."""
        return is_readable(self._descriptor)

    def kill(self) -> None:
        """Send SIGKILL to the process, unless it is reaped."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def dup(self) -> OpenProcess:
        """Return the same process with a separate descriptor.

        Raises:
            OSError: No file descriptor is free.
        """
        return OpenProcess(self.identity, os.dup(self._descriptor), _MAKER)

    def close(self) -> None:
        """Close the descriptor. A second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def find_living(look: Callable[[], Iterable[int]]) -> list[VerifiedProcess]:
    """Return running processes that are members of a kernel object of the service.

    The object is read before and after the start times. So a pid that was reused in between, by a process elsewhere, is
    noticed.

    Args:
        look: Reads the object: a control group that the service made, the children of a process that it started, or
            the processes with a preview's marker.
    """
    found = proctree.living(look())
    again = frozenset(look()) if found else frozenset()
    return [VerifiedProcess(one, _MAKER) for one in found if one.pid in again]


def as_known(identities: Iterable[ProcessIdentity]) -> list[VerifiedProcess]:
    """Convert identities that the service has verified before, by pid and start time."""
    return [VerifiedProcess(one, _MAKER) for one in identities]


def verify(pid: int, find_fault: Callable[[int], str | None]) -> OpenProcess:
    """Open a process that a message has named, if it passes the check.

    The function opens the pidfd, then checks the process, and then checks that the process is alive. So the check was
    made on the process of the pidfd, even if pids are reused.

    Args:
        pid: Pid that the kernel attached to the message.
        find_fault: Returns what is wrong with the process, from the kernel's data; None if nothing is.

    Raises:
        NotVerified: The process fails the check, or has ended.
        OSError: No file descriptor is free.
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
