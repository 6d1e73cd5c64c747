"""One running template: started in its sandbox, queried for forks, and ended together with all its forks."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog
import trio

from preview.core.descriptors import retry_on_fd_exhaustion, wait_readable, waited_on
from preview.runtime.cgroups import Cgroup
from preview.runtime.inbound import close_inbound
from preview.runtime.kernel import proctree
from preview.runtime.kernel.linux import memory_file
from preview.runtime.kernel.verified import VerifiedProcess, find_living
from preview.runtime.process.ending import end_all, enter
from preview.runtime.warm.command import TemplateBox, template_command
from preview.runtime.warm.eligibility import namespaces_of
from preview.runtime.warm.origin import TemplateOrigin, open_world
from preview.runtime.warm.packets import PacketsEnded, open_pair, parse, printable, receive, send
from preview.runtime.warm.wanted import Wanted

log = structlog.get_logger(__name__)

# The first packet contains the names of hundreds of modules.
_FIRST_PACKET_BYTES = 1 << 20
_PACKET_BYTES = 1024
_MOST_NOTED_BYTES = 300
# Processes below bubblewrap: its first process inside, the keeper and the template. With own users the keeper is two.
_AROUND, _AROUND_OWN_USERS = 3, 4
# Index of the first process of the template's PID namespace: bubblewrap's own, or the keeper's second.
_FIRST_INSIDE, _FIRST_INSIDE_OWN_USERS = 0, 2
# Prefix that ``preview_warmups`` gives the use of a package.
USE = "use of "
# The namespace ends within milliseconds after its first process.
_END_S = 5.0
_GRACE_S = 1.0
_ENVIRONMENT = {
    # The same as in a preview, because values that packages read at import are compared later.
    "LANG": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
    "HOME": "/tmp",  # noqa: S108  the sandbox's own
    "TMPDIR": "/tmp",  # noqa: S108
    "PATH": "/usr/bin:/bin",
}


class NoTemplate(Exception):
    """No usable template; the message gives the reason, in half a sentence."""


class UnsafeModule(NoTemplate):
    """A module makes forks unsafe; a template without this module may work."""

    def __init__(self, module: str, why: str) -> None:
        super().__init__(why)
        self.module = module


@dataclass(frozen=True, slots=True)
class Told:
    """A template's report about itself. The template runs packages' code, so the report decides only about speed.

    Attributes:
        imported: Number of modules.
        loaded: Top-level names of the modules.
        reads: Environment variables read during the imports, with their values; None means not set.
        memory_bytes: Resident memory.
    """

    imported: int
    loaded: frozenset[str]
    reads: Mapping[str, str | None]
    memory_bytes: int


class Template:
    """A ready template. Only ``open_template`` makes one."""

    def __init__(self, control: socket.socket, told: Told, origin: TemplateOrigin) -> None:
        """Store the sealed control socket, which ``open_template`` owns, and the origin that verifies forks."""
        self._control = control
        self.told = told
        self.origin = origin
        self.forks = 0
        self.started_at = trio.current_time()

    async def ask(self, order: int, descriptors: Sequence[int]) -> None:
        """Request a fork, which answers over its own socket in ``descriptors``.

        Raises:
            NoTemplate: The template has ended.

        Cancellation: the request is sent either whole or not at all.
        """
        self.forks += 1
        try:
            await send(self._control, b"f", (order, *descriptors))
        except PacketsEnded:
            raise NoTemplate("the template has ended") from None

    async def wait_ended(self) -> None:
        """Wait until the template has ended, or has sent an unexpected packet; its forks may live on.

        Cancellation: the template is not affected.
        """
        # A template sends nothing after its report.
        with suppress(PacketsEnded):
            await receive(self._control, _PACKET_BYTES)

    def let_go(self) -> None:
        """Let the template end; its forks live on as long as its context is open."""
        close_inbound(self._control)


@asynccontextmanager
async def open_template(
    box: TemplateBox, wanted: Wanted, *, group: Cgroup | None, timeout_s: float
) -> AsyncIterator[Template]:
    """Start a template, and yield it after its imports; leaving the context ends the template and all its forks.

    Raises:
        NoTemplate: The template failed; the message gives the reason.
        LaunchFailed: bubblewrap is missing.

    Cancellation: the template is ended (bounded).
    """
    with ExitStack() as closing:
        ours, theirs = closing.enter_context(open_pair())
        order = closing.enter_context(memory_file(_order(wanted)))
        letting_go = closing.enter_context(ExitStack())
        life_read, life = os.pipe2(os.O_CLOEXEC)
        letting_go.callback(os.close, life)
        with _closed_after(life_read):
            popen = _start(box, wanted.python, enter(group), life=life_read, control=theirs.fileno(), order=order)
        theirs.close()
        try:
            told = await _introduction(ours, order, wanted, timeout_s)
            with _origin(popen.pid, group, own_users=box.own_users) as origin:
                yield Template(ours, told, origin)
        finally:
            with trio.move_on_after(_END_S, shield=True) as scope:
                await retry_on_fd_exhaustion(partial(_end, popen, letting_go))
            if scope.cancelled_caught:
                log.error("template not ended", pid=popen.pid)


@contextmanager
def _closed_after(descriptor: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(descriptor)


def _order(wanted: Wanted) -> bytes:
    order = {"modules": sorted(wanted.modules), "launchers": str(wanted.launchers), "warm_ups": wanted.warm_ups}
    return json.dumps(order).encode()


def _start(
    box: TemplateBox, python: Path, prefix: Sequence[str], *, life: int, control: int, order: int
) -> subprocess.Popen[bytes]:
    with template_command(box, python, life=life, control=control, order=order) as (command, descriptors):
        return subprocess.Popen(
            [*prefix, *command],
            cwd="/",
            env={**_ENVIRONMENT, proctree.SERVICE_MARKER: str(os.getpid())},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=descriptors,
        )


async def _end(popen: subprocess.Popen[bytes], letting_go: ExitStack) -> None:
    """Disconnect from the keeper, which then ends with its namespace; kill it if it does not.

    Called under a bounded shield, and again if no descriptor was free.

    Cancellation: every process that was found has been sent SIGKILL, or ends by itself.
    """

    def of_its_session() -> list[int]:
        # Bubblewrap ends before its namespace's first process, which then becomes our child, in the same session.
        stats = map(proctree.read_stat, proctree.children(os.getpid()))
        return [one.identity.pid for one in stats if one is not None and one.session == popen.pid]

    async def orphans() -> list[VerifiedProcess]:
        await trio.lowlevel.checkpoint()
        return find_living(of_its_session)

    heads = find_living(partial(proctree.children, popen.pid)) if popen.poll() is None else []
    letting_go.close()
    with trio.move_on_after(_GRACE_S):
        await _wait_for(popen)
    if popen.poll() is None:
        popen.kill()
        await _wait_for(popen)
    for head in heads:
        head.kill()
    await end_all(orphans, heads)
    for pid in of_its_session():
        proctree.reap(pid)


async def _wait_for(popen: subprocess.Popen[bytes]) -> None:
    while popen.poll() is None:
        with waited_on(os.pidfd_open(popen.pid)) as descriptor:
            await wait_readable(descriptor)


async def _introduction(ours: socket.socket, notes: int, wanted: Wanted, timeout_s: float) -> Told:
    packet: bytes = b""
    try:
        with trio.fail_after(timeout_s):
            packet = (await receive(ours, _FIRST_PACKET_BYTES)).data
    except trio.TooSlowError:
        raise _left_in(notes, wanted, f"takes longer than {timeout_s:g} s") from None
    except PacketsEnded:
        raise _left_in(notes, wanted, "ends the process") from None
    return _told(packet)


@contextmanager
def _origin(leader: int, group: Cgroup | None, *, own_users: bool) -> Iterator[TemplateOrigin]:
    """Yield the verifier of the template's forks; until the end the inode number of its PID namespace stays in use.

    Raises:
        NoTemplate: A package has started a process, which could use what is meant for forks; or the template has
            ended.
    """
    around = proctree.descendants(leader)
    if len(around) > (_AROUND_OWN_USERS if own_users else _AROUND):
        raise NoTemplate("a package of it starts a process when it is imported")
    # The keeper or bubblewrap: a process that runs packages' code is never the first of the namespace.
    position = _FIRST_INSIDE_OWN_USERS if own_users else _FIRST_INSIDE
    if len(around) <= position or proctree.namespace_pids(around[position])[1:][-1:] != [1]:
        raise NoTemplate("its template exits while being prepared")
    try:
        world = open_world(around[position])
    except OSError as error:
        raise NoTemplate(f"its namespace cannot be looked at ({error.strerror})") from error
    with _closed_after(world):
        outside: frozenset[int] = frozenset().union(*map(namespaces_of, (os.getpid(), *around)))
        yield TemplateOrigin(group, world, outside)


def _left_in(notes: int, wanted: Wanted, what: str) -> NoTemplate:
    """Return the error for an import that did not return, with the module's name if it was noted."""
    name = os.pread(notes, _MOST_NOTED_BYTES, 0).decode("utf-8", "replace")
    if name in wanted.modules or name.startswith(USE):
        return UnsafeModule(name, f"{name} {what} when it is imported")
    return NoTemplate(f"its template {what} while being prepared")


def _told(packet: bytes) -> Told:
    with suppress(ValueError):
        match parse(packet):
            case {"unsafe": str(module), "why": why}:
                raise UnsafeModule(printable(module), printable(why))
            case {"imported": int(imported), "loaded": list(loaded), "reads": dict(reads), "rss": int(memory_bytes)}:
                return Told(
                    imported=imported,
                    loaded=frozenset(map(str, loaded)),
                    reads={printable(name): None if value is None else str(value) for name, value in reads.items()},
                    memory_bytes=memory_bytes,
                )
            case _:
                pass
    raise NoTemplate("the template sent an unknown message")
