"""Fork a process from a template. Folders, socket and limits are set before any of the project's code runs."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import trio

from preview.core.descriptors import wait_readable, waited_on
from preview.runtime.cgroups import Cgroup
from preview.runtime.inbound import close_inbound
from preview.runtime.interface import CONTROL_PLACEHOLDER, FD_PLACEHOLDER, Limits, ProcessSpec
from preview.runtime.kernel.linux import memory_file
from preview.runtime.kernel.proctree import MARKER
from preview.runtime.kernel.verified import NotVerified, OpenProcess
from preview.runtime.sandbox.inner_listener import is_harmless
from preview.runtime.sandbox.port_forwarding import reached_ports
from preview.runtime.sandbox.runtime import SandboxParts, owned
from preview.runtime.sandbox.users import users_here
from preview.runtime.warm.eligibility import find_fault
from preview.runtime.warm.forks.process import Fork, ForkedProcess
from preview.runtime.warm.origin import claim_application
from preview.runtime.warm.packets import PacketsEnded, open_pair, parse, printable, receive, send
from preview.runtime.warm.template_process import NoTemplate, Template

_PACKET_BYTES = 1024
# A fork takes milliseconds, or a second if fifty are made at once on a loaded machine.
_PATIENCE_S = 10.0
# Leaves a gap after low numbers, as in ``inherited``.
_FIRST_FD = 64
_OWN_FD = 63
# Folders that the view covers for each preview. Needed files in them are mounted again.
_COVERED = (Path("/tmp"), Path("/dev/shm"))  # noqa: S108  the sandbox's own


class NotForked(Exception):
    """Failed fork; the message gives the reason in half a sentence. Nothing is left.

    Attributes:
        is_its_fault: Whether the template caused the failure, so that the next fork would fail as well.
    """

    def __init__(self, why: str, *, is_its_fault: bool = True) -> None:
        super().__init__(why)
        self.is_its_fault = is_its_fault


class ForkRequest:
    """A requested fork that has no program yet. Made by ``request_fork``; the caller closes it.

    The fork needs some milliseconds to be confined, and some to copy the memory pages that it will write to. Meanwhile
    the rest of the launch can be prepared.
    """

    def __init__(self, template: Template, *, own_user: bool) -> None:
        self._template = template
        self._own_user = own_user
        # Undone by ``close``, unless the process has taken it over.
        self._held = ExitStack()
        self.ours, self.theirs = self._held.enter_context(open_pair())
        try:
            self._output, self.printed = os.pipe2(os.O_CLOEXEC)
        except OSError:
            self._held.close()
            raise
        self._unread = self._held.enter_context(ExitStack())
        self._unread.callback(os.close, self._output)
        # The namespace's first process and the future application, once both are confined.
        self._both: tuple[OpenProcess, OpenProcess] | None = None

    @property
    def has_ended(self) -> bool:
        """True if one of the two processes has ended, for any reason, after it was confined."""
        return self._both is not None and any(one.has_ended for one in self._both)

    async def wait_ended(self) -> None:
        """Wait until one of the confined processes has ended. Cancellation: the processes are not affected.

        Raises:
            OSError: No file descriptor is free.
        """
        both = self._both
        assert both is not None, "it has entered"  # noqa: S101
        with ExitStack() as closing:
            # Duplicates: the owner of the two processes closes the originals.
            mine = [closing.enter_context(waited_on(os.dup(one.fileno()))) for one in both]
            async with trio.open_nursery() as nursery:

                async def wait(one: int) -> None:
                    await wait_readable(one)
                    nursery.cancel_scope.cancel()

                for one in mine:
                    nursery.start_soon(wait, one)

    def close(self) -> None:
        """Cancel the fork, which ends if it has no program; does nothing once ``complete`` has returned a process."""
        self._held.close()

    async def enter(self, spec: ProcessSpec, group: Cgroup | None) -> None:
        """Move the fork into its control group, and verify its confinement while it prepares itself.

        Args:
            spec: The specification given to ``request_fork``.
            group: The fork enters this group before any of its code runs, so all its usage counts there.

        Raises:
            NotForked: The fork failed, or is not confined.

        Cancellation: ``close`` ends the processes that were started.
        """
        with as_not_forked("the template"), trio.fail_after(_PATIENCE_S):
            sender = await expect_word(self.ours, b"here")
            origin, user = self._template.origin, self._user_of(spec)
            first = origin.claim_first(sender, user=user, own_user=self._own_user)
            # Only from here on may it be moved and killed.
            self._held.callback(first.close)
            self._held.callback(first.kill)
            if group is not None:
                await trio.to_thread.run_sync(group.enter, first)
            await send(self.ours, b"in")
            application = claim_application(await expect_word(self.ours, b"app"), first, group)
            self._held.callback(application.close)
            _check_held_in(first, application, user=user, outside=origin.outside)
            self._both = first, application

    def _user_of(self, spec: ProcessSpec) -> tuple[int, int]:
        users = users_here() if self._own_user else None
        return (os.geteuid(), os.getegid()) if users is None else (users.of(spec.slot),) * 2

    async def complete(
        self, spec: ProcessSpec, group: Cgroup | None, *, parks: bool = False, way_out: socket.socket | None = None
    ) -> ForkedProcess:
        """Let the fork run the specification's launcher.

        Args:
            spec: ``argv`` is the interpreter, a launcher and its arguments. Folders, user and limits must be those of
                the request.
            group: The group given to ``enter``.
            parks: Whether the fork only imports the application, to be forked itself; see ``snapshot``.
            way_out: Socket through which the fork hands out listening sockets; see ``open_reached``.

        Raises:
            NotForked: The fork failed.

        Cancellation: ``close`` ends the processes that were started.
        """
        # The fork was healthy until now: a failure from here on is not the template's fault.
        with as_not_forked("the fork", is_its_fault=False):
            with trio.fail_after(_PATIENCE_S):
                return await self._complete(spec, group, parks=parks, way_out=way_out)
        raise AssertionError("unreachable")

    async def _complete(
        self, spec: ProcessSpec, group: Cgroup | None, *, parks: bool, way_out: socket.socket | None
    ) -> ForkedProcess:
        assert self._both is not None, "it has entered"  # noqa: S101
        first, application = self._both
        order = program_order(spec, parks=parks)
        sockets = [*sockets_of(spec).values()]
        if way_out is not None:
            order["reach"] = list(reached_ports(spec))
            sockets.append(way_out)
        with memory_file(json.dumps(order).encode()) as program:
            await send(self.ours, b"go", (program, *(one.fileno() for one in sockets)))
        own = socket.socket(fileno=self.ours.detach())
        self._held.callback(close_inbound, own)
        out = trio.lowlevel.FdStream(self._output)
        # From here on the stream closes the descriptor.
        self._unread.pop_all()
        process = ForkedProcess(Fork(first, application, own), out, spec, group)
        # From here on the process owns everything.
        self._held.pop_all()
        return process


async def request_fork(
    template: Template, spec: ProcessSpec, parts: SandboxParts, *, user: int | None, processes: int
) -> ForkRequest:
    """Request a confined process from a template; no code of the project runs in it yet.

    Args:
        template: The template, which must be ready.
        spec: Folders and limits of the process; the program does not matter yet.
        parts: The sandbox's means of isolation.
        user: User id in the template's user namespace; None if the template uses one user for all.
        processes: Value for RLIMIT_NPROC.

    Raises:
        NotForked: The template did not accept the request; nothing is left.

    Cancellation: everything that was started is ended.
    """
    with as_not_forked("the template"):
        order = _order(spec, user, processes, parts)
        request = ForkRequest(template, own_user=user is not None)
        try:
            await _ask(template, spec, parts, request, order)
        except BaseException:
            request.close()
            raise
        return request
    raise AssertionError("unreachable")


async def _ask(template: Template, spec: ProcessSpec, parts: SandboxParts, request: ForkRequest, order: bytes) -> None:
    with ExitStack() as closing:
        # Until the fork has its order, it ends by itself when our end of the socket is closed.
        closing.callback(request.theirs.close)
        closing.callback(os.close, request.printed)
        descriptors = [request.theirs.fileno(), request.printed]
        for folder in owned(spec):
            descriptors.append(await parts.mount(folder))
            closing.callback(os.close, descriptors[-1])
        with memory_file(order) as order_fd, trio.fail_after(_PATIENCE_S):
            await template.ask(order_fd, descriptors)


@contextmanager
def as_not_forked(whom: str, *, is_its_fault: bool = True) -> Iterator[None]:
    """Convert errors of a fork to ``NotForked``; a resource shortage of the machine is not the template's fault."""
    try:
        yield
    except trio.TooSlowError:
        raise NotForked(f"{whom} did not answer within {_PATIENCE_S:g} s", is_its_fault=is_its_fault) from None
    except (NoTemplate, PacketsEnded) as error:
        why = str(error) or "the fork ended before it was set up"
        raise NotForked(why, is_its_fault=is_its_fault) from None
    except NotVerified as error:
        raise NotForked(str(error), is_its_fault=is_its_fault) from None
    except OSError as error:
        why = f"{error.strerror or error} ({error.filename})" if error.filename else error.strerror or str(error)
        raise NotForked(why, is_its_fault=False) from error


def _check_held_in(
    first: OpenProcess, application: OpenProcess, *, user: tuple[int, int], outside: frozenset[int]
) -> None:
    fault = find_fault(first.pid, application.pid, user=user, outside=outside)
    # If a process has ended, which a program may do, its pid may have been reused.
    if fault is not None and not first.has_ended and not application.has_ended:
        raise NotForked(f"the fork was ended, because {fault}")


async def expect_word(ours: socket.socket, word: bytes) -> int:
    """Expect ``word`` as the next packet; return the pid that the kernel names as its sender.

    Raises:
        NotForked: The packet is different; the message quotes it.
        PacketsEnded: The connection has ended.

    Cancellation: no packet is lost.
    """
    packet = await receive(ours, _PACKET_BYTES)
    if packet.data == word:
        return packet.sender
    text = packet.data.decode("ascii", "backslashreplace")
    why = f"it sent {printable(text, 60)!r} instead of {word.decode()!r}"
    with suppress(ValueError, KeyError):
        why = printable(parse(packet.data)["error"])
    raise NotForked(why)


def _order(spec: ProcessSpec, user: int | None, processes: int, parts: SandboxParts) -> bytes:
    warm = spec.warm
    assert warm is not None, "asked for by the caller"  # noqa: S101
    roots = (*_COVERED, *warm.anchors)
    order = {
        "user": user,
        "view": {
            "anchors": [str(one) for one in warm.anchors],
            "folders": [str(one) for one in owned(spec)],
            "around": None if spec.around is None else str(spec.around),
            "kept": _kept(spec.readable, roots),
            "temp_bytes": spec.limits.temp_bytes,
        },
        "limits": _limits(spec.limits, processes),
        "filter": parts.filter.hex(),
    }
    return json.dumps(order).encode()


def program_order(spec: ProcessSpec, *, parks: bool = False) -> dict[str, object]:
    """Return the order to run the program, in the template's format."""
    numbers = {placeholder: _FIRST_FD + index for index, placeholder in enumerate(sockets_of(spec))}
    return {
        "parks": parks,
        "own_number": _OWN_FD,
        "launcher": spec.argv[1],
        "arguments": list(spec.argv[2:]),
        # Bubblewrap sets PWD to the new working folder, as shells do.
        "environment": {**spec.environment, MARKER: spec.instance, "PWD": str(spec.directory)},
        "directory": str(spec.directory),
        "descriptors": numbers,
        "inherited": list(numbers),
        # A snapshot's forks share its network, in which the sockets listen already.
        "reach": [],
    }


def sockets_of(spec: ProcessSpec) -> dict[str, socket.socket]:
    """Return the inherited sockets, keyed by the placeholder of their descriptor number.

    Raises:
        NotForked: The listening socket would reach the host's network.
    """
    if spec.listener is not None and not is_harmless(spec.listener):
        raise NotForked("its port's socket reaches the host's network", is_its_fault=False)
    both = {FD_PLACEHOLDER: spec.listener, CONTROL_PLACEHOLDER: spec.control}
    return {placeholder: one for placeholder, one in both.items() if one is not None}


def _limits(limits: Limits, processes: int) -> dict[str, int]:
    return {"NOFILE": limits.open_files, "NPROC": processes, "FSIZE": limits.file_bytes, "CORE": 0}


def _kept(readable: Sequence[Path], roots: Sequence[Path]) -> list[str]:
    """Return the readable paths below ``roots``, without those inside another of them."""
    inside = sorted({one for one in readable if any(one.is_relative_to(root) for root in roots)})
    return [str(one) for one in inside if not any(one != other and one.is_relative_to(other) for other in inside)]
