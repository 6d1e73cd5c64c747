"""A process tree that a template has forked: its first process is not the service's child."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Sequence
from contextlib import suppress

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

# Bigger than all that a fork has to say at its end.
_LAST_PACKET_BYTES = 256
_LAST_WORD_S = 1.0


class Fork:
    """The first process of a forked tree, as ``subprocess.Popen`` shows one; see ``Leader``.

    Args:
        first: It; closed by ``close``.
        application: The application; likewise.
        own: The sealed socket it speaks over; likewise.

    Attributes:
        pid: Its number here.
        returncode: How the application ended: an exit status, or minus a signal; None until ``poll`` has seen it.
    """

    def __init__(self, first: OpenProcess, application: OpenProcess, own: socket.socket) -> None:
        self.first = first
        self._application = application
        self.own = own
        self.pid = first.pid
        self.returncode: int | None = None
        self._is_late = False
        self._is_closed = False

    @property
    def application(self) -> OpenProcess | None:
        """The application, while it is there."""
        return None if self._is_closed or self._application.has_ended else self._application

    def as_origin(self, group: Cgroup) -> SnapshotOrigin:
        """Return the origin of its forks, for a parking one in this group."""
        return SnapshotOrigin(self.first, self._application, group)

    def poll(self) -> int | None:
        """Look whether all of it has ended, and how. A world that was ended from outside is SIGKILL's."""
        if self.returncode is None and (self._is_closed or self.first.has_ended):
            self.returncode = -signal.SIGKILL if self._is_closed else self._read_status()
        return self.returncode

    async def wait_told(self) -> None:
        """Wait for what is said of its end, which may come a moment after it, and not for long.

        Cancellation: nothing changes.
        """
        with trio.move_on_after(_LAST_WORD_S) as scope:
            # One of its own: several tasks may wait.
            with waited_on(os.dup(self.own.fileno())) as own:
                await wait_readable(own)
        self._is_late = scope.cancelled_caught

    def _read_status(self) -> int | None:
        """None where it has ended, and who tells how has not done so yet."""
        try:
            packet = self._last_packet()
        except BlockingIOError:
            return -signal.SIGKILL if self._is_late else None
        except OSError:
            return -signal.SIGKILL
        with suppress(ValueError, KeyError):
            said = parse(packet)["status"]
            if isinstance(said, int) and 0 <= said <= 0xFFFF:
                return os.waitstatus_to_exitcode(said)
        return -signal.SIGKILL

    def _last_packet(self) -> bytes:
        try:
            return receive_now(self.own, _LAST_PACKET_BYTES).data
        except ConnectionResetError:
            # Said first, and once, where the other end was closed upon an order that nobody had read: the application
            # was ended before it could. What was sent is there all the same (unix(7)).
            return receive_now(self.own, _LAST_PACKET_BYTES).data

    def kill(self) -> None:
        """SIGKILL for the first process, and with it for all."""
        if not self._is_closed:
            self.first.kill()

    def close(self) -> None:
        """Look at its end once more, and release the descriptors; nothing else is done."""
        if self._is_closed:
            return
        self.poll()
        self._is_closed = True
        self.first.close()
        self._application.close()
        close_inbound(self.own)


class ForkedProcess(TreeProcess):
    """See ``RunningProcess``. The first process of its namespace takes in orphans, and ends after all others."""

    # The first process of its namespaces.
    _WRAPPERS = 1

    def __init__(self, fork: Fork, output: trio.lowlevel.FdStream, spec: ProcessSpec, group: Cgroup | None) -> None:
        """Args: fork: owned from here on."""
        super().__init__(fork, output, spec, group, wrappers=self._WRAPPERS, identity=fork.first.identity)
        self._fork = fork
        self._below: tuple[int, ...] = ()

    def as_origin(self) -> SnapshotOrigin:
        """Return the origin of its forks, for a parking one."""
        assert self._group is not None, "there are control groups"  # noqa: S101
        return self._fork.as_origin(self._group)

    @property
    def own(self) -> socket.socket:
        """Its own socket."""
        return self._fork.own

    async def _wait(self) -> Exit:
        while self._fork.poll() is None:
            with waited_on(os.dup(self._fork.first.fileno())) as descriptor:
                await wait_readable(descriptor)
            if self._fork.poll() is None:
                await self._fork.wait_told()
        return self._read_exit(self._fork.poll() or 0)

    def close(self) -> None:
        """Release the descriptors it is known by; its exit can still be read."""
        self._fork.close()

    def members(self) -> list[int]:
        """See ``RunningProcess``."""
        return [self._fork.pid, *self._below] if self._group is None else super().members()

    def _look(self) -> list[VerifiedProcess]:
        pids: Sequence[int] = () if self._group is not None else proctree.descendants(self._fork.pid)
        # Once it has ended its number may be another's, and so what is below that.
        self._below = () if self._fork.poll() is not None or self._fork.first.has_ended else tuple(pids)
        return as_known(one for one in (self.identity, *proctree.living(pids)) if proctree.is_alive(one))

    async def stop(self, grace_s: float) -> Exit:
        """See ``RunningProcess``. Cancellation: the rest of the tree is killed by the context's exit."""
        with trio.move_on_after(grace_s):
            await retry_on_fd_exhaustion(self._ask)
            await self.wait()
        await self.kill()
        return await self.wait()

    async def kill(self) -> None:
        """SIGKILL for the namespace's first process, and with it for all; wait until all are gone.

        Cancellation: it has been sent. Call it under a bounded shield.
        """
        if not self._gone:
            self._fork.kill()
        await self.wait()
        self._gone = True

    def _ask_to_end(self) -> None:
        application = self._fork.application
        if application is not None:
            ask_group_to_end(application)
