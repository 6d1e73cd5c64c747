"""A process tree forked by a template: its first process is not a child of the service."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass

import trio

from preview.core.descriptors import retry_on_fd_exhaustion, wait_readable, waited_on
from preview.runtime.cgroups import Cgroup
from preview.runtime.inbound import close_inbound, receive_now
from preview.runtime.interface import Exit, ProcessSpec
from preview.runtime.kernel import proctree
from preview.runtime.kernel.verified import OpenProcess, VerifiedProcess, as_known
from preview.runtime.process.ending import ask_group_to_end
from preview.runtime.process.process import TreeProcess
from preview.runtime.warm.origin import SnapshotOrigin
from preview.runtime.warm.packets import parse

# Larger than the only packet that a fork sends at its end.
_LAST_PACKET_BYTES = 256
_LAST_WORD_S = 1.0


@dataclass(slots=True)
class _Status:
    """Exit status of a fork, for all duplicates of it: its packet can be read once. None until one has read it."""

    code: int | None = None
    is_out_of_memory: bool = False


class Fork:
    """The first process of a forked tree, with the interface of ``subprocess.Popen``; see ``Leader``.

    Args:
        first: The namespace's first process; closed by ``close``.
        application: The application's process; closed by ``close``.
        own: The fork's sealed socket; closed by ``close``.

    Attributes:
        pid: Pid of the first process, in the service's namespace.
        returncode: The application's exit status, or minus a signal number; None until ``poll`` has read it.
    """

    def __init__(self, first: OpenProcess, application: OpenProcess, own: socket.socket) -> None:
        self.first = first
        self._application = application
        self.own = own
        self.pid = first.pid
        self.returncode: int | None = None
        self._told = _Status()
        self._is_late = False
        self._is_closed = False

    @property
    def application(self) -> OpenProcess | None:
        """The application's process; None once it has ended."""
        return None if self._is_closed or self._application.has_ended else self._application

    @property
    def is_out_of_memory(self) -> bool:
        """True if its first process has said that the kernel killed something in its control group for memory."""
        return self._told.is_out_of_memory

    def dup(self) -> Fork:
        """Return the same fork with descriptors of its own."""
        with ExitStack() as held:
            first = held.enter_context(closing(self.first.dup()))
            application = held.enter_context(closing(self._application.dup()))
            fork = Fork(first, application, self.own.dup())
            fork._told = self._told
            held.pop_all()
            return fork
        raise AssertionError("unreachable")

    def as_origin(self, group: Cgroup) -> SnapshotOrigin:
        """Return the origin that verifies the forks of this suspended application, which is in ``group``."""
        return SnapshotOrigin(self.first, self._application, group)

    def poll(self) -> int | None:
        """Return the exit status once the tree has ended, else None. An end from outside counts as SIGKILL."""
        if self.returncode is None:
            self.returncode = self._told.code
        if self.returncode is None and (self._is_closed or self.first.has_ended):
            self.returncode = -signal.SIGKILL if self._is_closed else self._read_status()
        return self.returncode

    async def wait_told(self) -> None:
        """Wait, for a bounded time, for the exit status, which may arrive shortly after the end.

        Cancellation: no status is lost.
        """
        with trio.move_on_after(_LAST_WORD_S) as scope:
            # A duplicate, because several tasks may wait.
            with waited_on(os.dup(self.own.fileno())) as own:
                await wait_readable(own)
        self._is_late = scope.cancelled_caught

    def _read_status(self) -> int | None:
        """Return the exit status; None if it has not arrived yet."""
        try:
            packet = self._last_packet()
        except BlockingIOError:
            return -signal.SIGKILL if self._is_late else None
        except OSError:
            return -signal.SIGKILL
        with suppress(ValueError, KeyError):
            packet_said = parse(packet)
            self._told.is_out_of_memory = packet_said.get("oom") is True
            said = packet_said["status"]
            if isinstance(said, int) and 0 <= said <= 0xFFFF:
                self._told.code = os.waitstatus_to_exitcode(said)
                return self._told.code
        return -signal.SIGKILL

    def _last_packet(self) -> bytes:
        try:
            return receive_now(self.own, _LAST_PACKET_BYTES).data
        except ConnectionResetError:
            # Raised once if the other end was closed with an unread order in its queue, because the application was
            # killed first. Packets sent before can still be read (unix(7)).
            return receive_now(self.own, _LAST_PACKET_BYTES).data

    def kill(self) -> None:
        """Send SIGKILL to the first process; the kernel then kills the whole namespace."""
        if not self._is_closed:
            self.first.kill()

    def close(self) -> None:
        """Read the exit status, if any, and close the descriptors; no process is ended."""
        if self._is_closed:
            return
        self.poll()
        self._is_closed = True
        self.first.close()
        self._application.close()
        close_inbound(self.own)


class ForkedProcess(TreeProcess):
    """See ``RunningProcess``. The namespace's first process adopts orphans, and ends after all others."""

    # The first process of the namespaces is not the application.
    _WRAPPERS = 1

    def __init__(self, fork: Fork, output: trio.lowlevel.FdStream, spec: ProcessSpec, group: Cgroup | None) -> None:
        """Take over ``fork``, and close it with this process."""
        super().__init__(fork, output, spec, group, wrappers=self._WRAPPERS, identity=fork.first.identity)
        self._fork = fork
        self._below: tuple[int, ...] = ()

    def as_origin(self) -> SnapshotOrigin:
        """Return the origin that verifies the forks of this suspended application."""
        assert self._group is not None, "there are control groups"  # noqa: S101
        return self._fork.as_origin(self._group)

    def continued(self, output: trio.lowlevel.FdStream, spec: ProcessSpec) -> ForkedProcess:
        """Return the same tree as another start of it; each of the two objects closes its own descriptors."""
        return ForkedProcess(self._fork.dup(), output, spec, self._group)

    @property
    def own(self) -> socket.socket:
        """The fork's sealed socket."""
        return self._fork.own

    async def _wait(self) -> Exit:
        while self._fork.poll() is None:
            with waited_on(os.dup(self._fork.first.fileno())) as descriptor:
                await wait_readable(descriptor)
            if self._fork.poll() is None:
                await self._fork.wait_told()
        return self._read_exit(self._fork.poll() or 0)

    def close(self) -> None:
        """Close the descriptors; the exit status can still be read."""
        self._fork.close()

    def members(self) -> list[int]:
        """See ``RunningProcess``."""
        return [self._fork.pid, *self._below] if self._group is None else super().members()

    def _look(self) -> list[VerifiedProcess]:
        pids: Sequence[int] = () if self._group is not None else proctree.descendants(self._fork.pid)
        # After the end the pid may be reused, and its descendants would be another tree's.
        self._below = () if self._fork.poll() is not None or self._fork.first.has_ended else tuple(pids)
        return as_known(one for one in (self.identity, *proctree.living(pids)) if proctree.is_alive(one))

    async def stop(self, grace_s: float) -> Exit:
        """See ``RunningProcess``. Cancellation: the context's exit kills the rest of the tree."""
        with trio.move_on_after(grace_s):
            await retry_on_fd_exhaustion(self._ask)
            await self.wait()
        await self.kill()
        return await self.wait()

    async def kill(self) -> None:
        """Send SIGKILL to the namespace's first process, which ends all others; wait until all are gone.

        Cancellation: SIGKILL has been sent. Call it under a bounded shield.
        """
        if not self._gone:
            self._fork.kill()
        await self.wait()
        self._gone = True

    def _ask_to_end(self) -> None:
        application = self._fork.application
        if application is not None:
            ask_group_to_end(application)
