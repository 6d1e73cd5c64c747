"""The container runtime: each process tree in a container of an engine, served by the service's own sockets."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import structlog
import trio

from preview.core.descriptors import retry_on_fd_exhaustion
from preview.core.isolation import Network
from preview.errors import LaunchFailed
from preview.runtime.cold import ColdStarts
from preview.runtime.container.description import (
    DATA_LABEL,
    EMPTY_FILE,
    HOSTS_FILE,
    USERS_FILE,
    Habits,
    describe_container,
    users_file,
)
from preview.runtime.container.engine import Engine, EngineError
from preview.runtime.container.image import operators_image
from preview.runtime.container.images import Images
from preview.runtime.container.interpreter import NoInterpreter
from preview.runtime.container.joining import Door, Joined, NotJoined, Order, open_door, variables_apart
from preview.runtime.container.process import ContainerProcess, find_group
from preview.runtime.container.volumes import BadVolume, check_mounts
from preview.runtime.interface import Held, InnerSocket, ProcessSpec
from preview.runtime.kernel.proctree import MARKER
from preview.runtime.launchers import BRIDGE
from preview.runtime.process.process import open_tree
from preview.runtime.process.spawning import number_in, tasks_on_machine
from preview.runtime.sandbox.port_forwarding import bridge_prefix, open_reached
from preview.runtime.sandbox.runtime import SandboxRuntime
from preview.runtime.warm.forks.process import Fork

log = structlog.get_logger(__name__)

# A container joins within half a second on an idle machine. A launch has its own, shorter deadline.
_JOIN_S: Final = 60.0
# Creating takes 30 ms, the first container of an image half a second.
_CREATE_S: Final = 10.0
# Removing takes a tenth of a second; the engine may still be creating what a cancelled launch asked for.
_REMOVE_S: Final = 5.0
_REMOVE_POLL_S: Final = 0.05
_MOST_TRIES: Final = 4
# Numbers of descriptors in the program: see ``inherited`` in ``process.spawning``.
_OUTPUT, _LISTENER, _CONTROL, _WAY_OUT, _VARIABLES = 1, 64, 65, 66, 67
_NAME_BYTES = 6
_BEHIND = 64


@dataclass(frozen=True, slots=True)
class Containment:
    """Parameters of all containers of a service.

    Attributes:
        engine: The engine.
        habits: Parts of descriptions that are always the same.
        doors: Folder for the sockets by which containers join.
        own_user: User and group of each container, if previews have no users of their own.
        filter: The compiled system call filter, besides the engine's own.
        said: The engine, for people: its name, version, and runtime.
    """

    engine: Engine
    habits: Habits
    doors: Path
    own_user: str
    filter: bytes
    said: str


class ContainerRuntime(ColdStarts):
    """See ``Runtime``. Made by ``probe_containers``.

    Args:
        parts: Parameters of the containers.
        cage: A sandbox's rules for users, sockets and ports, which are the same here. It starts nothing.
    """

    def __init__(self, parts: Containment, cage: SandboxRuntime) -> None:
        self._parts = parts
        self._cage = cage

    @property
    def name(self) -> str:
        """See ``Runtime``."""
        return "container"

    def describe(self) -> Mapping[str, str]:
        """See ``Runtime``."""
        held = sorted(self.holds())
        user = "a user of its own" if self._cage.own_users else "the service's own user outside"
        return {
            "processes": f"a container of {self._parts.said}; all of it ends with the preview",
            "privileges": f"{user}; no capabilities, no new privileges, system calls filtered",
            "files": "the image's or system's programs and its environment read-only; its own folder; private /tmp",
            "network": "own network namespace",
            "limits": f"{', '.join(held) or 'none'} of the whole container by the engine; open files by rlimits",
        }

    def holds(self) -> frozenset[Held]:
        """See ``Runtime``."""
        held: tuple[Held, ...] = ("memory", "cpu", "processes")
        return frozenset(one for one in held if one in self._parts.habits.limits)

    def network(self, wanted: Network) -> Network:
        """See ``Runtime``."""
        return wanted

    def shares_listener(self, network: Network) -> bool:
        """See ``Runtime``."""
        return self._cage.shares_listener(network)

    @asynccontextmanager
    async def open_inner_listener(self, listener: socket.socket) -> AsyncIterator[InnerSocket | None]:
        """See ``Runtime``. Cancellation: every forwarded connection is closed."""
        async with self._cage.open_inner_listener(listener) as inner:
            yield inner

    async def remove_leftovers(self) -> int:
        """Remove containers that an earlier run with the same data folder has left; return how many.

        Raises:
            EngineError: The engine refuses.

        Cancellation: some are removed.
        """
        parts = self._parts
        with suppress(FileNotFoundError):
            await trio.to_thread.run_sync(shutil.rmtree, parts.doors)
        found = await parts.engine.labelled(f"{DATA_LABEL}={parts.habits.data}")
        async with trio.open_nursery() as nursery:
            for one in found:
                nursery.start_soon(_remove_leftover, parts.engine, one)
        return len(found)

    @asynccontextmanager
    async def open_process(self, spec: ProcessSpec) -> AsyncIterator[ContainerProcess]:
        """See ``Runtime``. Cancellation: the whole tree is ended (bounded)."""
        parts = self._parts
        uid = await self._cage.give_files(spec)
        user = parts.own_user if uid is None else f"{uid}:{uid}"
        name = f"{parts.habits.data}-{secrets.token_hex(_NAME_BYTES)}"
        async with (
            self._cage.open_serving(spec) as serving,
            open_reached(spec) as way_out,
            AsyncExitStack() as held,
        ):
            try:
                door = held.enter_context(open_door(parts.doors / name))
                _write(door.folder / USERS_FILE, users_file(user))
                _write(door.folder / EMPTY_FILE, "")
                if spec.image is not None and spec.image.hosts:
                    known = await trio.to_thread.run_sync(parts.habits.hosts.read_text)
                    _write(door.folder / HOSTS_FILE, f"{known}127.0.0.1 {' '.join(spec.image.hosts)}\n")
                habits = self._habits(spec)
                description = describe_container(habits, spec, user, self._process_limit(spec), door.folder)
                container = await held.enter_async_context(_open_container(parts.engine, name, description))
                if spec.image is not None:
                    check_mounts(await parts.engine.describe(container))
                process = await self._run(spec, container, door, serving, way_out, uid)
            except (EngineError, NotJoined, NoInterpreter, BadVolume) as error:
                raise LaunchFailed(f"The container could not be started: {error}.") from error
            except OSError as error:
                why = error.strerror or str(error)
                raise LaunchFailed(f"The container could not be started: {why}.", errno=error.errno) from error
            held.enter_context(closing(process))
            yield await held.enter_async_context(open_tree(process, spec))

    @property
    def is_podman(self) -> bool:
        """True if the engine is Podman."""
        return self._parts.habits.is_podman

    @property
    def images(self) -> Images:
        """The images that this service builds on the engine."""
        return Images(self._parts.engine, self._parts.habits.data)

    def _habits(self, spec: ProcessSpec) -> Habits:
        """Return the habits, with the image of this process.

        Raises:
            NoInterpreter: This machine's Python cannot be shown in another image.
        """
        habits = self._parts.habits
        return habits if spec.image is None else replace(habits, image=operators_image(spec.image.name))

    async def _run(
        self,
        spec: ProcessSpec,
        container: str,
        door: Door,
        serving: socket.socket | None,
        way_out: socket.socket | None,
        uid: int | None,
    ) -> ContainerProcess:
        """Start the container and its program. Cancellation: no descriptor is left, and the container may run."""
        joined = await _start(self._parts.engine, container, door)
        try:
            reading, writing = os.pipe2(os.O_CLOEXEC)
            output = trio.lowlevel.FdStream(reading)
            try:
                if uid is not None:
                    # Programs open /dev/stdout by its path.
                    os.fchown(writing, uid, uid)
                order = self._order(spec, writing, serving, way_out)
                with variables_apart(spec, order, _VARIABLES) as order:
                    await joined.command(order)
            except BaseException:
                output.close()
                raise
            finally:
                os.close(writing)
        except BaseException:
            joined.close()
            raise
        return ContainerProcess(
            Fork(joined.first, joined.program, joined.own),
            output,
            spec,
            engine=self._parts.engine,
            container=container,
            group=find_group(joined.first.pid, container),
        )

    def _order(
        self, spec: ProcessSpec, output: int, serving: socket.socket | None, way_out: socket.socket | None
    ) -> Order:
        descriptors = {_OUTPUT: output}
        for number, given in ((_LISTENER, serving), (_CONTROL, spec.control), (_WAY_OUT, way_out)):
            if given is not None:
                descriptors[number] = given.fileno()
        carried = serving is not None and serving.family == socket.AF_UNIX
        listener = None if serving is None else _LISTENER
        interpreter = self._habits(spec).image.interpreter
        bridge = bridge_prefix(
            spec,
            listener=listener,
            way_out=None if way_out is None else _WAY_OUT,
            carried=carried,
            python=interpreter.command,
        )
        argv, environment = number_in(spec, listener, None if spec.control is None else _CONTROL)
        elsewhere = {folder: path for path, folder in spec.shown_at.items()}
        return Order(
            argv=[*(interpreter.root + one if one == str(BRIDGE) else one for one in bridge), *argv],
            environment={**environment, MARKER: spec.instance},
            directory=elsewhere.get(spec.directory, spec.directory),
            limits=spec.limits,
            processes=self._process_limit(spec),
            filter=self._parts.filter,
            descriptors=descriptors,
        )

    def _process_limit(self, spec: ProcessSpec) -> int:
        # RLIMIT_NPROC counts by user and user namespace: all containers of one user together.
        others = 0 if self._cage.own_users else tasks_on_machine()
        # Where the engine limits processes, its limit comes first: only that one is counted.
        return spec.limits.processes + others + (_BEHIND if "processes" in self._parts.habits.limits else 0)


async def _start(engine: Engine, container: str, door: Door) -> Joined:
    """Start the container, and wait until it has joined.

    Raises:
        NotJoined: It has ended before, or has not joined in time.
        EngineError: The engine refuses.
        OSError: No file descriptor is free.

    Cancellation: no descriptor is left.
    """
    await engine.start(container)
    found: list[Joined] = []
    failed: list[Exception] = [NotJoined(f"it has not joined within {_JOIN_S:g} s")]
    with ExitStack() as held, trio.move_on_after(_JOIN_S):
        held.callback(_close, found)
        async with trio.open_nursery() as nursery:

            async def attempt(act: Callable[[], Awaitable[None]]) -> None:
                try:
                    await act()
                except (EngineError, NotJoined, OSError) as error:
                    failed.append(error)
                nursery.cancel_scope.cancel()

            async def watch() -> None:
                code = await engine.wait(container)
                words = await engine.last_words(container)
                fault = f"another process answers for it ({door.fault})" if door.fault else words
                raise NotJoined(f"its first program ended before it joined: {fault or f'exit code {code}'}")

            async def first_pid() -> int:
                pid = (await engine.state(container)).get("Pid")
                return pid if isinstance(pid, int) else 0

            async def admit() -> None:
                found.append(await door.admit(container, first_pid))

            nursery.start_soon(attempt, watch)
            nursery.start_soon(attempt, admit)
        # After a cancellation or the deadline, what has joined is closed.
        held.pop_all()
    if found:
        return found[0]
    raise failed[-1]


def _close(found: list[Joined]) -> None:
    while found:
        found.pop().close()


@asynccontextmanager
async def _open_container(engine: Engine, name: str, description: Mapping[str, object]) -> AsyncIterator[str]:
    """Create a container and yield its id; it is removed at the end.

    Raises:
        EngineError: The engine refuses.

    Cancellation: waits until the container is created (bounded), and removes it (bounded). If the engine does not
    answer, the service's next start does it.
    """
    is_created = False
    try:
        # Podman keeps half a container, which breaks its lists, if its client leaves meanwhile.
        with trio.move_on_after(_CREATE_S, shield=True):
            container = await engine.create(name, description)
            is_created = True
        if not is_created:
            raise EngineError(f"the engine has not created it within {_CREATE_S:g} s")
        await trio.lowlevel.checkpoint()
        yield container
    finally:
        with trio.move_on_after(_REMOVE_S, shield=True) as scope:
            try:
                await retry_on_fd_exhaustion(lambda: _remove(engine, name, is_created=is_created))
            except EngineError as error:
                log.warning("container not removed", container=name, error=str(error))
        if scope.cancelled_caught:
            log.warning("container not removed", container=name, error="the engine does not answer")


async def _remove(engine: Engine, name: str, *, is_created: bool) -> None:
    """Remove a container; the caller bounds the time.

    Podman may refuse while the container is ending by itself. If the creation was cancelled or refused, the container
    may appear a moment later.
    """
    tries = _MOST_TRIES
    while True:
        tries -= 1
        try:
            if await engine.remove(name) or is_created:
                return
        except EngineError as error:
            if error.status is None or not tries:
                raise
        if not tries:
            return
        await trio.sleep(_REMOVE_POLL_S)


def _write(path: Path, text: str) -> None:
    path.write_text(text, "ascii")
    path.chmod(0o644)


async def _remove_leftover(engine: Engine, container: str) -> None:
    try:
        await _remove(engine, container, is_created=True)
    except (EngineError, OSError) as error:
        log.warning("container not removed", container=container, error=str(error))
