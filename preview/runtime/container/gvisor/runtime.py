"""The container runtime with gVisor as the engine's own runtime."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from functools import partial

import trio

from preview.core.descriptors import raise_want
from preview.core.isolation import Network
from preview.errors import LaunchFailed
from preview.runtime.container.contents import Contents, with_folder
from preview.runtime.container.description import MEETING
from preview.runtime.container.gvisor.meeting import ORDERS, GvisorDoor, Meeting
from preview.runtime.container.gvisor.process import GvisorProcess
from preview.runtime.container.joining import Door, NotJoined, Order, variables_apart
from preview.runtime.container.process import find_group
from preview.runtime.container.runtime import (
    CONTROL,
    LISTENER,
    OUTPUT,
    VARIABLES,
    WORKING_FOLDER,
    ContainerRuntime,
    Ends,
)
from preview.runtime.container.starting import start_container
from preview.runtime.interface import InnerSocket, ProcessSpec, Serve
from preview.runtime.kernel.linux import beside
from preview.runtime.launchers import BY_SOCKETS, OUT
from preview.runtime.local_socket import listen_local
from preview.runtime.sandbox.port_forwarding import accept_all, carry_all, join, reached_ports
from preview.runtime.warm.forks.process import Fork

# Limits for one preview, as in sandboxes.
_MOST_CARRIED, _MOST_OUT = 256, 100
# Pause between two connections to the outside, as in sandboxes.
_PACE_S = 0.002
_PIECE_BYTES = 64 * 1024
# Number of a descriptor in an order that is handed over as a connection.
_NOWHERE = -1


@dataclass(frozen=True, slots=True)
class _Ends(Ends):
    """Connections of one container: nothing is handed over.

    Attributes:
        meeting: Opens connections to the container.
        held: Closes them.
        has_way_out: Whether ports of its loopback lead out.
    """

    meeting: Meeting
    held: AsyncExitStack
    has_way_out: bool


class GvisorRuntime(ContainerRuntime):
    """See ``Runtime``. A connection of a client becomes one to a socket that the container has made."""

    _door = GvisorDoor

    def describe(self) -> Mapping[str, str]:
        """See ``Runtime``."""
        return {
            **super().describe(),
            "network": "gVisor's own, with nothing but its loopback",
            "system calls": "answered by gVisor's kernel, not by the machine's",
        }

    def shares_listener(self, _network: Network) -> bool:
        """See ``Runtime``. A bridge would keep accepting for a program that has stopped accepting."""
        return False

    @asynccontextmanager
    async def open_inner_listener(self, _listener: socket.socket) -> AsyncIterator[InnerSocket | None]:
        """See ``Runtime``. Nothing is inherited. Cancellation: nothing is open."""
        await trio.lowlevel.checkpoint()
        yield None

    @asynccontextmanager
    async def _open_ends(self, spec: ProcessSpec, door: Door, uid: int | None) -> AsyncIterator[_Ends]:
        """Open what the container connects to. Cancellation: every connection is closed."""
        if spec.network is Network.HOST or (spec.image is not None and spec.image.network is not None):
            which = "the machine's network" if spec.network is Network.HOST else "a network with other containers"
            raise LaunchFailed(f"A container of gVisor cannot have {which}.")
        assert isinstance(door, GvisorDoor)  # noqa: S101  made by this class
        ports = reached_ports(spec)
        limiter = trio.CapacityLimiter(_MOST_OUT)
        with closing(Meeting(door.folder / MEETING, uid)) as meeting:
            async with AsyncExitStack() as held:
                for port, serve in ports.items():
                    path = door.folder / f"{OUT}{port}"
                    listener = listen_local(path)
                    # The container has another user; who connects is verified.
                    path.chmod(0o666)
                    known = partial(_serve_known, door, serve)
                    await held.enter_async_context(
                        beside(partial(accept_all, listener, known, limiter, pace_s=_PACE_S))
                    )
                yield _Ends(None, None, meeting, held, bool(ports))

    async def _run(
        self, spec: ProcessSpec, container: str, door: Door, ends: Ends, _uid: int | None, copies: Contents
    ) -> GvisorProcess:
        """Start the container and its program. Cancellation: no descriptor is left, and the container may run."""
        assert isinstance(ends, _Ends)  # noqa: S101  made by this class
        joined = await start_container(self._parts.engine, container, door)
        try:
            ends.meeting.take()
            group = find_group(joined.first.pid, container)
            own_tasks = 1 if group is None else group.usage().processes
            log_name = f"log-of:{spec.instance}"
            order = self._order_of(spec, ends, log_name, copies)
            with variables_apart(spec, order, VARIABLES) as apart, with_folder(apart, WORKING_FOLDER, copies) as whole:
                output = await _command(whole, log_name, spec, ends)
        except (OSError, trio.BrokenResourceError) as error:
            joined.close()
            if isinstance(error, OSError):
                raise_want(error)
            raise NotJoined("it ended before its program ran") from None
        except BaseException:
            joined.close()
            raise
        process = GvisorProcess(
            Fork(joined.first, joined.program, joined.own),
            output,
            spec,
            engine=self._parts.engine,
            container=container,
            order=order,
            group=group,
        )
        process.take(ends.meeting, own_tasks)
        return process

    def _order_of(self, spec: ProcessSpec, ends: _Ends, log_name: str, copies: Contents) -> Order:
        descriptors = {OUTPUT: _NOWHERE}
        if spec.listener is not None:
            descriptors[LISTENER] = _NOWHERE
        if spec.control is not None:
            descriptors[CONTROL] = _NOWHERE
        way_out = BY_SOCKETS if ends.has_way_out else None
        return self._order(spec, descriptors, log_name, copies, way_out=way_out, carried=True)


async def _command(order: Order, log_name: str, spec: ProcessSpec, ends: _Ends) -> trio.lowlevel.FdStream:
    """Let the program run; return its output.

    Raises:
        OSError, trio.BrokenResourceError: The container has ended, or no file descriptor is free.

    Cancellation: no descriptor is left, and the program may run.
    """
    further = {number: one for number, one in order.descriptors.items() if number not in (OUTPUT, LISTENER)}
    given = [(number, "socket" if number == CONTROL else "file") for number in further]
    packed = json.dumps({**json.loads(order.packed()), "given": given, "log": log_name}).encode()
    async with await ends.meeting.send(packed) as output:
        for number, one in further.items():
            if number == CONTROL and spec.control is not None:
                near = trio.SocketStream(trio.socket.from_stdlib_socket(spec.control.dup()))
                ends.held.push_async_exit(near)
                far = await ends.held.enter_async_context(await ends.meeting.connect(ORDERS))
                await ends.held.enter_async_context(beside(partial(join, near, far)))
            else:
                await _send_file(one, ends.meeting)
        if spec.listener is not None:
            limiter = trio.CapacityLimiter(_MOST_CARRIED)
            carry = partial(carry_all, spec.listener.dup(), ends.meeting.connect, limiter)
            await ends.held.enter_async_context(beside(carry))
        return trio.lowlevel.FdStream(os.dup(output.socket.fileno()))


async def _send_file(descriptor: int, meeting: Meeting) -> None:
    async with await meeting.connect(ORDERS) as stream:
        position = 0
        while piece := await trio.to_thread.run_sync(os.pread, descriptor, _PIECE_BYTES, position):
            await stream.send_all(piece)
            position += len(piece)


async def _serve_known(door: GvisorDoor, serve: Serve, near: trio.SocketStream) -> None:
    """Serve a connection that this container has made, and close any other one."""
    if door.is_known(near):
        await serve(near)
