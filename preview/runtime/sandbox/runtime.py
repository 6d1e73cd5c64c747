"""The sandbox runtime: bubblewrap's namespaces, few visible files, no capabilities, and a system call filter."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from preview.core.isolation import Network
from preview.errors import LaunchFailed
from preview.runtime.broker import Broker, NoBroker
from preview.runtime.broker.preview_broker import detached_mount
from preview.runtime.cgroups import Cgroup, CgroupTree
from preview.runtime.cold import ColdStarts
from preview.runtime.interface import Held, ProcessSpec
from preview.runtime.kernel.linux import kernel_version
from preview.runtime.kernel.proctree import MARKER
from preview.runtime.launchers import BRIDGE
from preview.runtime.process.ending import described_limits, enter, held_by, open_group
from preview.runtime.process.process import open_tree
from preview.runtime.process.spawning import inherited, limit_prefix, number_in, output_pipe, spawn, tasks_on_machine
from preview.runtime.sandbox.command import Sandbox, sandbox_command
from preview.runtime.sandbox.filter import compile_filter
from preview.runtime.sandbox.inner_listener import InnerListener, is_harmless, open_inner_listener
from preview.runtime.sandbox.port_forwarding import bridge_prefix, open_carrier, open_reached
from preview.runtime.sandbox.process import WRAPPERS_A_STEP, SandboxedProcess
from preview.runtime.sandbox.socket_filter import can_fence, restrict_to_accept
from preview.runtime.sandbox.users import give, may_be_machines_root, users_here
from preview.runtime.sandbox.view import BASE_PYTHON, View, interpreter_paths

# Environment of the programs outside of the sandbox; the application's variables are passed in separately.
_OUTSIDE = {"LANG": "C.UTF-8"}
# Margin of RLIMIT_NPROC above the control group's limit: the group must refuse first, because only that is reported.
_BEHIND_GROUP = 64
_COUNTS_BY_NAMESPACE = (5, 14)
# The bridge's folder, where one shown at another path, such as /tmp, may hide the service's own.
_BRIDGE_FOLDER = Path("/run/preview-bridge")


@dataclass(frozen=True, slots=True)
class SandboxParts:
    """Parameters of the isolation, for a runtime that isolates in the same way but starts processes differently.

    Attributes:
        etc: The folder that ``write_etc`` has filled.
        groups: The service's control groups; None without control groups.
        calls: System calls that the operator also allows.
        filter: The compiled system call filter.
        own_users: Whether each preview has its own user.
        is_root: Whether previews may be the machine's root outside of their sandbox, in a container that lacks users.
        can_share_port: Whether sandboxes inherit a listening socket; otherwise a bridge forwards connections.
        mount: Makes a detached mount of a folder: see ``preview_broker.detached_mount``.
        without_broker: Why there is no broker, as half a sentence; None if there is one, or none is needed.
    """

    etc: Path
    groups: CgroupTree | None
    calls: frozenset[str]
    filter: bytes
    own_users: bool
    is_root: bool
    can_share_port: bool
    mount: Callable[[Path], Awaitable[int]]
    without_broker: str | None


class SandboxRuntime(ColdStarts):
    """See ``Runtime``. Made and tested by ``probe``.

    Args:
        etc: The folder that ``write_etc`` has filled.
        own_users: Whether previews get their own users, which needs a service that runs as root; see ``users``.
        groups: Control groups that limit whole trees; None without control groups.
        calls: System calls that are also allowed; see ``check_extra_calls``.
        broker: Does what this process may not do itself, or why there is none; None if none is needed.
    """

    def __init__(
        self,
        etc: Path,
        *,
        own_users: bool,
        groups: CgroupTree | None = None,
        calls: frozenset[str] = frozenset(),
        broker: Broker | NoBroker | None = None,
    ) -> None:
        self._etc = etc
        self._groups = groups
        self._users = users_here() if own_users else None
        # True if previews are the machine's root outside of their sandbox, without capabilities.
        self._is_root = self._users is None and may_be_machines_root()
        self._calls = calls
        self._filter = compile_filter(also_allowed=calls)
        self._fences = can_fence()
        self._broker = None if isinstance(broker, NoBroker) else broker
        self._without_broker = str(broker) if isinstance(broker, NoBroker) else None

    @property
    def parts(self) -> SandboxParts:
        """Parameters of this runtime's isolation."""
        return SandboxParts(
            self._etc,
            self._groups,
            self._calls,
            self._filter,
            own_users=self.own_users,
            is_root=self._is_root,
            can_share_port=self._can_share_port,
            mount=_mount if self._broker is None else self._broker.mount,
            without_broker=self._without_broker,
        )

    @property
    def own_users(self) -> bool:
        """True if each preview has its own user."""
        return self._users is not None

    @property
    def _can_share_port(self) -> bool:
        return self._fences or self._broker is not None

    @property
    def name(self) -> str:
        """See ``Runtime``."""
        return "sandbox"

    def describe(self) -> Mapping[str, str]:
        """See ``Runtime``."""
        user = "the service's own user outside, another inside" if self._users is None else "a user of its own"
        return {
            "processes": "own process namespace; all of it ends with the preview",
            "privileges": f"{user}; no capabilities, no new privileges, system calls filtered",
            "files": "the system's programs and its environment read-only; its own folder; private /tmp",
            "network": "own network namespace",
            "limits": described_limits(self._groups),
        }

    def holds(self) -> frozenset[Held]:
        """See ``Runtime``."""
        return held_by(self._groups) or frozenset({"processes"} if self._is_counted_alone else ())

    @property
    def _is_counted_alone(self) -> bool:
        """True if RLIMIT_NPROC counts only the preview's own processes.

        Since Linux 5.14 the kernel counts by user namespace (kernel commit 21d1c5e386bc). Before that, the preview must
        have its own user. The machine's root is never counted (getrlimit(2)).
        """
        return self._users is not None or (kernel_version() >= _COUNTS_BY_NAMESPACE and not self._is_root)

    def network(self, wanted: Network) -> Network:
        """See ``Runtime``."""
        return wanted

    def shares_listener(self, network: Network) -> bool:
        """See ``Runtime``."""
        # A bridge would keep accepting connections for a program that has stopped accepting.
        return network is Network.HOST or self._can_share_port

    @asynccontextmanager
    async def open_inner_listener(self, listener: socket.socket) -> AsyncIterator[InnerListener | None]:
        """See ``Runtime``. Cancellation: every forwarded connection is closed."""
        if self._fences or self._broker is None:
            yield None
            return
        async with AsyncExitStack() as held:
            try:
                inner = await held.enter_async_context(open_inner_listener(self._broker, listener))
            except OSError as error:
                # user_namespaces(7): ENOSPC means that a limit of namespaces is reached.
                advice = " Stop a preview, or raise user.max_net_namespaces with sysctl."
                raise LaunchFailed(
                    f"The preview got no network of its own: {error.strerror}.{advice * (error.errno == errno.ENOSPC)}",
                    errno=error.errno,
                ) from error
            yield inner

    @asynccontextmanager
    async def open_process(self, spec: ProcessSpec) -> AsyncIterator[SandboxedProcess]:
        """See ``Runtime``. Cancellation: the whole tree is ended (bounded)."""
        uid = await self.give_files(spec)
        wrappers = WRAPPERS_A_STEP if uid is None else 2 * WRAPPERS_A_STEP
        async with (
            self.open_serving(spec) as serving,
            open_reached(spec) as handed_out,
            open_group(self._groups, spec, wrappers=wrappers) as group,
            open_tree(self._spawn(spec, uid, group, wrappers, serving, handed_out), spec) as process,
        ):
            yield process

    async def give_files(self, spec: ProcessSpec) -> int | None:
        """Make the process's user the owner of its folders; return the user, or None for the service's own.

        Raises:
            LaunchFailed: The owner could not be changed.

        Cancellation: some of the files may have the new owner.
        """
        uid = self.uid_of(spec)
        if uid is not None:
            await _give(owned(spec), uid)
        return uid

    def process_limit(self, spec: ProcessSpec) -> int:
        """Return RLIMIT_NPROC for the process; if other processes count too, their number is added."""
        # Without this, the user's other processes could use up the preview's limit, as in the plain runtime.
        others = (0 if self._is_counted_alone else tasks_on_machine()) + (_BEHIND_GROUP if self._groups else 0)
        return spec.limits.processes + others

    def uid_of(self, spec: ProcessSpec) -> int | None:
        """Return the owner of the process's folders, its user outside; None for the service's own user."""
        return None if self._users is None else self._users.of(spec.slot)

    def inner_user(self, spec: ProcessSpec) -> int | None:
        """Return the same user as a template counts; None for the template's own user."""
        return None if self._users is None else self._users.inside(spec.slot)

    def restrict(self, listener: socket.socket | None) -> None:
        """Restrict a socket of the host's network, if this process may do so; see ``socket_filter``."""
        if listener is not None and self._fences and not is_harmless(listener):
            restrict_to_accept(listener)

    @asynccontextmanager
    async def open_serving(self, spec: ProcessSpec) -> AsyncIterator[socket.socket | None]:
        """Yield the socket to pass into the sandbox, which reaches nothing else of the host's network.

        Cancellation: forwarded connections are closed.
        """
        if spec.listener is None or spec.network is Network.HOST or is_harmless(spec.listener):
            yield spec.listener
        elif self._fences:
            restrict_to_accept(spec.listener)
            yield spec.listener
        elif self._broker is not None:
            # Its caller shares no inner socket among the processes of a preview, so this one has its own.
            async with open_inner_listener(self._broker, spec.listener) as inner:
                inner.carry()
                yield inner
        else:
            async with open_carrier(spec.listener) as local:
                yield local

    def _spawn(
        self,
        spec: ProcessSpec,
        uid: int | None,
        group: Cgroup | None,
        wrappers: int,
        serving: socket.socket | None,
        handed_out: socket.socket | None,
    ) -> SandboxedProcess:
        with (
            inherited(serving) as fd,
            inherited(handed_out) as way_out,
            inherited(spec.control) as control,
            output_pipe() as pipe,
        ):
            where = _BRIDGE_FOLDER if spec.shown_at else BRIDGE.parent
            bridge = bridge_prefix(
                spec, listener=fd, way_out=way_out, carried=_is_local(serving), program=where / BRIDGE.name
            )
            readable = (*spec.readable, *(interpreter_paths(BASE_PYTHON) if bridge else ()))
            placed = {**spec.placed, where: BRIDGE.parent} if bridge else spec.placed
            elsewhere = {folder: path for path, folder in spec.shown_at.items()}
            writable = [one for one in owned(spec) if one not in elsewhere]
            limit = spec.limits.temp_bytes
            view = View(
                readable, writable, self._etc, spec.network, limit,
                placed=placed, shown_at=spec.shown_at, links=spec.links, around=spec.around,
            )  # fmt: skip
            directory = elsewhere.get(spec.directory, spec.directory)
            argv, environment = number_in(spec, fd, control, pipe[1])
            variables = {**environment, MARKER: spec.instance}
            # Root may write to files in /proc that change the machine, without any capability.
            writes_proc = not self._is_root
            sandbox = Sandbox(view, uid, directory, variables, self._filter, writes_proc=writes_proc)
            program = [*limit_prefix(spec.limits, processes=self.process_limit(spec)), *bridge, *argv]
            try:
                with sandbox_command(sandbox, program) as (command, descriptors):
                    passed = [one for one in (*descriptors, fd, way_out, control) if one is not None]
                    popen, output = spawn(spec, [*enter(group), *command], _OUTSIDE, Path("/"), passed, pipe)
            except OSError as error:
                why = error.strerror or os.strerror(error.errno or 0)
                raise LaunchFailed(f"The process could not be started: {why}.", errno=error.errno) from error
        return SandboxedProcess(popen, output, spec, group, wrappers=wrappers)


def _is_local(serving: socket.socket | None) -> bool:
    return serving is not None and serving.family == socket.AF_UNIX


async def _mount(folder: Path) -> int:
    await trio.lowlevel.checkpoint()
    return detached_mount(str(folder))


async def _give(folders: Sequence[Path], uid: int) -> None:
    try:
        await trio.to_thread.run_sync(give, folders, uid)
    except OSError as error:
        raise LaunchFailed(
            f"The preview's files could not be given to a user of its own: {error.strerror} ({error.filename}).",
            errno=error.errno,
        ) from error


def owned(spec: ProcessSpec) -> tuple[Path, ...]:
    """Return folders that belong to the process; the working folder is one of them, or inside one."""
    # The working folder in an image is none of this machine: it may be called /etc.
    if spec.image is not None or any(spec.directory.is_relative_to(one) for one in spec.writable):
        return tuple(spec.writable)
    return (*spec.writable, spec.directory)
