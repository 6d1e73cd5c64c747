"""Requests a process from a template. Its folders, socket and limits are set before any of the project's code runs."""

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
from preview.runtime.sandbox.etc import FIRST_UID
from preview.runtime.sandbox.runtime import owned
from preview.runtime.warm.eligibility import find_fault
from preview.runtime.warm.forks.process import Fork, ForkedProcess
from preview.runtime.warm.mounts import detached_mount
from preview.runtime.warm.origin import claim_application
from preview.runtime.warm.packets import PacketsEnded, open_pair, parse, printable, receive, send
from preview.runtime.warm.template_process import NoTemplate, Template

_PACKET_BYTES = 1024
# A fork is a matter of milliseconds, of a second where fifty are made at once on a loaded machine.
_PATIENCE_S = 10.0
# Behind a gap, as in ``inherited``.
_FIRST_FD = 64
_OWN_FD = 63
# What the view covers for each preview; what lies in there and is needed has to be put there again.
_COVERED = (Path("/tmp"), Path("/dev/shm"))  # noqa: S108  the sandbox's own


class NotForked(Exception):
    """Failed fork; says why, in half a sentence. Nothing is left.

    Attributes:
        is_its_fault: Whether that is the template's fault, so that the next fork would fail as well.
    """

    def __init__(self, why: str, *, is_its_fault: bool = True) -> None:
        super().__init__(why)
        self.is_its_fault = is_its_fault


class ForkRequest:
    """A fork that is on its way: asked for, and not told yet what to be. Made by ``request_fork``; to be closed.

    It needs some milliseconds to be confined, and some to make its own what it will write to; what else the process
    needs can be made meanwhile.
    """

    def __init__(self, template: Template, *, own_user: bool) -> None:
        self._template = template
        self._own_user = own_user
        # Undone by ``close``, unless the process has it.
        self._held = ExitStack()
        self.ours, self.theirs = self._held.enter_context(open_pair())
        try:
            self._output, self.printed = os.pipe2(os.O_CLOEXEC)
        except OSError:
            self._held.close()
            raise
        self._unread = self._held.enter_context(ExitStack())
        self._unread.callback(os.close, self._output)
        # Its first process and the application-to-be, once it is confined.
        self._both: tuple[OpenProcess, OpenProcess] | None = None

    @property
    def has_ended(self) -> bool:
        """True if one of its processes is gone, for any reason, after it was confined."""
        return self._both is not None and any(one.has_ended for one in self._both)

    async def wait_ended(self) -> None:
        """Wait until one of its processes is gone, once it was confined. Cancellation: nothing changes.

        Raises:
            OSError: No descriptor is free.
        """
        both = self._both
        assert both is not None, "it has entered"  # noqa: S101
        with ExitStack() as closing:
            # Its own: the receiver of the processes closes the others.
            mine = [closing.enter_context(waited_on(os.dup(one.fileno()))) for one in both]
            async with trio.open_nursery() as nursery:

                async def wait(one: int) -> None:
                    await wait_readable(one)
                    nursery.cancel_scope.cancel()

                for one in mine:
                    nursery.start_soon(wait, one)

    def close(self) -> None:
        """Cancel the fork, which ends without an order to go on; does nothing once there is a process."""
        self._held.close()

    async def enter(self, spec: ProcessSpec, group: Cgroup | None) -> None:
        """Put it into its control group, see that it is confined, and let it make itself ready meanwhile.

        Args:
            spec: As for ``request_fork``.
            group: It is in there before any of its code runs, and what it takes counts there.

        Raises:
            NotForked: It could not be had.

        Cancellation: what was started ends with ``close``.
        """
        with as_not_forked("the template"), trio.fail_after(_PATIENCE_S):
            sender = await expect_word(self.ours, b"here")
            origin, uid = self._template.origin, self._uid_of(spec)
            first = origin.claim_first(sender, uid=uid, own_user=self._own_user)
            # From here on, and not before, it may be moved and killed.
            self._held.callback(first.close)
            self._held.callback(first.kill)
            if group is not None:
                await trio.to_thread.run_sync(group.enter, first)
            await send(self.ours, b"in")
            application = claim_application(await expect_word(self.ours, b"app"), first, group)
            self._held.callback(application.close)
            _check_held_in(first, application, uid=uid, outside=origin.outside)
            self._both = first, application

    def _uid_of(self, spec: ProcessSpec) -> int:
        return FIRST_UID + spec.slot if self._own_user else os.geteuid()

    async def complete(self, spec: ProcessSpec, group: Cgroup | None, *, parks: bool = False) -> ForkedProcess:
        """Let it run the specification's launcher.

        Args:
            spec: ``argv`` is the interpreter, a launcher and its arguments; its folders, user and limits are those that
                the fork was asked for with.
            group: It was put in there by ``enter``.
            parks: Whether it only imports the application, and is forked in its turn; see ``snapshot``.

        Raises:
            NotForked: It could not be had.

        Cancellation: what was started ends with ``close``.
        """
        # It was all well with it: what happens now is no reason to do without the template.
        with as_not_forked("the fork", is_its_fault=False):
            with trio.fail_after(_PATIENCE_S):
                return await self._complete(spec, group, parks=parks)
        raise AssertionError("unreachable")

    async def _complete(self, spec: ProcessSpec, group: Cgroup | None, *, parks: bool) -> ForkedProcess:
        assert self._both is not None, "it has entered"  # noqa: S101
        first, application = self._both
        with memory_file(json.dumps(program_order(spec, parks=parks)).encode()) as program:
            await send(self.ours, b"go", (program, *(one.fileno() for one in sockets_of(spec).values())))
        own = socket.socket(fileno=self.ours.detach())
        self._held.callback(close_inbound, own)
        out = trio.lowlevel.FdStream(self._output)
        # From here on the stream closes it.
        self._unread.pop_all()
        process = ForkedProcess(Fork(first, application, own), out, spec, group)
        # From here on all of it is the process's.
        self._held.pop_all()
        return process


async def request_fork(
    template: Template, spec: ProcessSpec, *, user: int | None, processes: int, filter_: bytes
) -> ForkRequest:
    """Ask a template for a process in a sandbox of its own, of which nothing runs yet.

    Args:
        template: Ready.
        spec: Its folders and limits; what it is to run does not count yet.
        user: In the numbers of the template; None where it has one for all.
        processes: For RLIMIT_NPROC.
        filter_: Of its system calls, compiled.

    Raises:
        NotForked: It could not be asked for; nothing is left.

    Cancellation: what was started is gone.
    """
    with as_not_forked("the template"):
        order = _order(spec, user, processes, filter_)
        request = ForkRequest(template, own_user=user is not None)
        try:
            await _ask(template, spec, request, order)
        except BaseException:
            request.close()
            raise
        return request
    raise AssertionError("unreachable")


async def _ask(template: Template, spec: ProcessSpec, request: ForkRequest, order: bytes) -> None:
    with ExitStack() as closing:
        # Until it has been told to go on, it ends by itself when our end of the socket is closed.
        closing.callback(request.theirs.close)
        closing.callback(os.close, request.printed)
        descriptors = [request.theirs.fileno(), request.printed]
        for folder in owned(spec):
            descriptors.append(detached_mount(folder))
            closing.callback(os.close, descriptors[-1])
        with memory_file(order) as order_fd, trio.fail_after(_PATIENCE_S):
            await template.ask(order_fd, descriptors)


@contextmanager
def as_not_forked(whom: str, *, is_its_fault: bool = True) -> Iterator[None]:
    """Convert errors of a fork to ``NotForked``; the machine's shortages are not the template's fault."""
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


def _check_held_in(first: OpenProcess, application: OpenProcess, *, uid: int, outside: frozenset[int]) -> None:
    fault = find_fault(first.pid, application.pid, uid=uid, outside=outside)
    # Of one that has ended by now, which a program may, the number may be another's.
    if fault is not None and not first.has_ended and not application.has_ended:
        raise NotForked(f"the fork was ended, because {fault}")


async def expect_word(ours: socket.socket, word: bytes) -> int:
    """Expect this word as the next packet; return the process that the kernel names as its sender.

    Raises:
        NotForked: It is something else; says what.
        PacketsEnded: There is none.

    Cancellation: nothing is lost.
    """
    packet = await receive(ours, _PACKET_BYTES)
    if packet.data == word:
        return packet.sender
    text = packet.data.decode("ascii", "backslashreplace")
    why = f"it says {printable(text, 60)!r} in place of {word.decode()!r}"
    with suppress(ValueError, KeyError):
        why = printable(parse(packet.data)["error"])
    raise NotForked(why)


def _order(spec: ProcessSpec, user: int | None, processes: int, filter_: bytes) -> bytes:
    warm = spec.warm
    assert warm is not None, "asked for by the caller"  # noqa: S101
    roots = (*_COVERED, *warm.anchors)
    order = {
        "user": user,
        "view": {
            "anchors": [str(one) for one in warm.anchors],
            "folders": [str(one) for one in owned(spec)],
            "kept": _kept(spec.readable, roots),
            "temp_bytes": spec.limits.temp_bytes,
        },
        "limits": _limits(spec.limits, processes),
        "filter": filter_.hex(),
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
        # Bubblewrap tells where it has changed to, as shells do.
        "environment": {**spec.environment, MARKER: spec.instance, "PWD": str(spec.directory)},
        "directory": str(spec.directory),
        "descriptors": numbers,
        "inherited": list(numbers),
    }


def sockets_of(spec: ProcessSpec) -> dict[str, socket.socket]:
    """Return inherited sockets by the placeholder of their number."""
    both = {FD_PLACEHOLDER: spec.listener, CONTROL_PLACEHOLDER: spec.control}
    return {placeholder: one for placeholder, one in both.items() if one is not None}


def _limits(limits: Limits, processes: int) -> dict[str, int]:
    return {"NOFILE": limits.open_files, "NPROC": processes, "FSIZE": limits.file_bytes, "CORE": 0}


def _kept(readable: Sequence[Path], roots: Sequence[Path]) -> list[str]:
    """Those that lie in a covered place, the outermost of each."""
    inside = sorted({one for one in readable if any(one.is_relative_to(root) for root in roots)})
    return [str(one) for one in inside if not any(one != other and one.is_relative_to(other) for other in inside)]
