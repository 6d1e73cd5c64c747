"""One running template: started in its sandbox, asked for forks, ended with all that it has forked."""

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

# What it says of itself holds the names of hundreds of modules.
_FIRST_PACKET_BYTES = 1 << 20
_PACKET_BYTES = 1024
_MOST_NOTED_BYTES = 300
# Below bubblewrap: its first process inside, the keeper, the template; with users of its own the keeper is two.
_AROUND, _AROUND_OWN_USERS = 3, 4
# Which of them is the first process of the namespace that the template is in: bubblewrap's, or the keeper's.
_FIRST_INSIDE, _FIRST_INSIDE_OWN_USERS = 0, 2
# What ``preview_warmups`` calls the use of a package.
USE = "use of "
# Its namespace ends with it; milliseconds.
_END_S = 5.0
_GRACE_S = 1.0
_ENVIRONMENT = {
    # As a preview has them: what is read from the environment while packages are imported is compared later.
    "LANG": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
    "HOME": "/tmp",  # noqa: S108  the sandbox's own
    "TMPDIR": "/tmp",  # noqa: S108
    "PATH": "/usr/bin:/bin",
}


class NoTemplate(Exception):
    """No usable template; says why, in half a sentence."""


class UnsafeModule(NoTemplate):
    """A module makes forks unsafe; without it there may be a template."""

    def __init__(self, module: str, why: str) -> None:
        super().__init__(why)
        self.module = module


@dataclass(frozen=True, slots=True)
class Told:
    """A template's statement about itself. It runs packages' code, so this decides only speed.

    Attributes:
        imported: How many modules.
        loaded: Their names at the top level.
        reads: Variables that were read meanwhile, and what they were; None for those that are not set.
        memory_bytes: Resident.
    """

    imported: int
    loaded: frozenset[str]
    reads: Mapping[str, str | None]
    memory_bytes: int


class Template:
    """A template that is ready. Made by ``open_template`` alone."""

    def __init__(self, control: socket.socket, told: Told, origin: TemplateOrigin) -> None:
        """Args: control: sealed; owned by its maker. origin: where its forks are born."""
        self._control = control
        self.told = told
        self.origin = origin
        self.forks = 0
        self.started_at = trio.current_time()

    async def ask(self, order: int, descriptors: Sequence[int]) -> None:
        """Ask for a fork; what it has to say comes over the socket among ``descriptors``.

        Raises:
            NoTemplate: It is gone.

        Cancellation: it was asked, or not.
        """
        self.forks += 1
        try:
            await send(self._control, b"f", (order, *descriptors))
        except PacketsEnded:
            raise NoTemplate("the template has ended") from None

    async def wait_ended(self) -> None:
        """Wait until the template itself is gone, or says what nobody asked for; its forks may live.

        Cancellation: nothing changes.
        """
        # It has nothing to say here.
        with suppress(PacketsEnded):
            await receive(self._control, _PACKET_BYTES)

    def let_go(self) -> None:
        """Have it end; its forks live on for as long as its context is open."""
        close_inbound(self._control)


@asynccontextmanager
async def open_template(
    box: TemplateBox, wanted: Wanted, *, group: Cgroup | None, timeout_s: float
) -> AsyncIterator[Template]:
    """Start a template, and yield it when it has imported all; on leaving it is gone, and every fork of it.

    Raises:
        NoTemplate: It cannot be had.
        LaunchFailed: bubblewrap is missing.

    Cancellation: it is gone (bounded).
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
            env=_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=descriptors,
        )


async def _end(popen: subprocess.Popen[bytes], letting_go: ExitStack) -> None:
    """Let its keeper go, which ends with all in its world; killed, where it does not.

    Called under a bounded shield, and again where no descriptor was free.

    Cancellation: what was found has been sent SIGKILL, or ends by itself.
    """

    def of_its_session() -> list[int]:
        # Bubblewrap ends before the first process of its namespace, which is in the session still, and then ours.
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
    """Provide the origin of the template's forks. Until the end its process namespace keeps its number.

    Raises:
        NoTemplate: There is a process that the template has started; it would have what is meant for forks. Or it has
            ended.
    """
    around = proctree.descendants(leader)
    if len(around) > (_AROUND_OWN_USERS if own_users else _AROUND):
        raise NoTemplate("a package of it starts a process when it is imported")
    # The keeper or bubblewrap: what runs packages' code is never the first process of the namespace.
    position = _FIRST_INSIDE_OWN_USERS if own_users else _FIRST_INSIDE
    if len(around) <= position or proctree.namespace_pids(around[position])[1:][-1:] != [1]:
        raise NoTemplate("a template of it ends while it is made")
    try:
        world = open_world(around[position])
    except OSError as error:
        raise NoTemplate(f"its namespace cannot be looked at ({error.strerror})") from error
    with _closed_after(world):
        outside: frozenset[int] = frozenset().union(*map(namespaces_of, (os.getpid(), *around)))
        yield TemplateOrigin(group, world, outside)


def _left_in(notes: int, wanted: Wanted, what: str) -> NoTemplate:
    """Return the error for an import that never returned, as far as noted."""
    name = os.pread(notes, _MOST_NOTED_BYTES, 0).decode("utf-8", "replace")
    if name in wanted.modules or name.startswith(USE):
        return UnsafeModule(name, f"{name} {what} when it is imported")
    return NoTemplate(f"a template of it {what} while it is made")


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
    raise NoTemplate("the template says what nobody understands")
