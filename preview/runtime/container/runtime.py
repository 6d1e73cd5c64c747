"""The container runtime: each process tree in a container of an engine, served by the service's own sockets."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import structlog
import trio

from preview.core.isolation import Network
from preview.errors import LaunchFailed
from preview.runtime.cold import ColdStarts
from preview.runtime.container.contents import Contents, ImageContents, own_users, with_folder
from preview.runtime.container.description import (
    DATA_LABEL,
    EMPTY_FILE,
    HOSTS_FILE,
    USERS_FILE,
    Habits,
    describe_container,
    hosts_of,
    mounted_in,
    users_file,
    without_mount,
)
from preview.runtime.container.engine import Engine, EngineError
from preview.runtime.container.image import operators_image
from preview.runtime.container.images import Images
from preview.runtime.container.interpreter import NoInterpreter
from preview.runtime.container.joining import Door, NotJoined, Order, open_door, variables_apart
from preview.runtime.container.network import PrivateNetwork, open_private_network, remove_networks
from preview.runtime.container.process import ContainerProcess, find_group
from preview.runtime.container.starting import open_container, remove_container, start_container
from preview.runtime.container.volumes import (
    BadVolume,
    check_mounts,
    open_owned_folders,
    remove_owned_folders,
    without_owners,
)
from preview.runtime.interface import Held, InnerSocket, ProcessSpec
from preview.runtime.kernel.proctree import MARKER
from preview.runtime.launchers import BRIDGE
from preview.runtime.process.process import open_tree
from preview.runtime.process.spawning import fill_in, tasks_on_machine
from preview.runtime.sandbox.port_forwarding import bridge_prefix, open_reached
from preview.runtime.sandbox.runtime import SandboxRuntime
from preview.runtime.warm.forks.process import Fork

log = structlog.get_logger(__name__)

# Numbers of descriptors in the program: see ``inherited`` in ``process.spawning``.
OUTPUT: Final = 1
LISTENER: Final = 64
CONTROL: Final = 65
VARIABLES: Final = 67
WORKING_FOLDER: Final = 68
_WAY_OUT: Final = 66
_CONTENTS: Final = "contents"
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


@dataclass(frozen=True, slots=True)
class Ends:
    """Sockets to hand over to a container.

    Attributes:
        serving: The listening socket, or what stands for it; None if nothing is served.
        way_out: Through which it hands out listening sockets; None if nothing leads out.
    """

    serving: socket.socket | None
    way_out: socket.socket | None


class ContainerRuntime(ColdStarts):
    """See ``Runtime``. Made by ``probe_containers``.

    Args:
        parts: Parameters of the containers.
        cage: A sandbox's rules for users, sockets and ports, which are the same here. It starts nothing.
    """

    _door = Door

    def __init__(self, parts: Containment, cage: SandboxRuntime) -> None:
        self._parts = parts
        self._cage = cage
        self._contents = ImageContents(parts.engine, parts.doors / _CONTENTS)

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
        if parts.habits.is_podman:
            await remove_owned_folders(parts.engine, f"{DATA_LABEL}={parts.habits.data}")
        await remove_networks(parts.engine, parts.habits.data)
        return len(found)

    def open_private_network(self, preview_id: str) -> AbstractAsyncContextManager[PrivateNetwork]:
        """See ``ConnectsContainers``."""
        return open_private_network(self._parts.engine, self._parts.habits.data, preview_id)

    @asynccontextmanager
    async def open_process(self, spec: ProcessSpec) -> AsyncIterator[ContainerProcess]:
        """See ``Runtime``. Cancellation: the whole tree is ended (bounded)."""
        parts = self._parts
        uid = await self._cage.give_files(spec)
        user = parts.own_user if uid is None else f"{uid}:{uid}"
        name = f"{parts.habits.data}-{secrets.token_hex(_NAME_BYTES)}"
        async with AsyncExitStack() as held:
            try:
                door = held.enter_context(open_door(parts.doors / name, self._door))
                ends = await held.enter_async_context(self._open_ends(spec, door, uid))
                _write(door.folder / EMPTY_FILE, "")
                if spec.image is not None:
                    known = await trio.to_thread.run_sync(parts.habits.hosts.read_text)
                    _write(door.folder / HOSTS_FILE, hosts_of(known, spec.image))
                copies = await self._copies(spec, user, door, name, held)
                description = self._describe(spec, user, door, copies)
                if parts.habits.is_podman:
                    owned = open_owned_folders(parts.engine, name, {DATA_LABEL: parts.habits.data}, description)
                    description = await held.enter_async_context(owned)
                container = await held.enter_async_context(open_container(parts.engine, name, description))
                if spec.image is not None:
                    check_mounts(await parts.engine.describe(container), name)
                process = await self._run(spec, container, door, ends, uid, copies)
            except (EngineError, NotJoined, NoInterpreter, BadVolume) as error:
                raise LaunchFailed(f"The container could not be started: {error}.") from error
            except OSError as error:
                why = error.strerror or str(error)
                raise LaunchFailed(f"The container could not be started: {why}.", errno=error.errno) from error
            held.enter_context(closing(process))
            yield await held.enter_async_context(open_tree(process, spec))

    @asynccontextmanager
    async def _open_ends(self, spec: ProcessSpec, _door: Door, _uid: int | None) -> AsyncIterator[Ends]:
        """Open what the container gets. Cancellation: every connection is closed."""
        async with self._cage.open_serving(spec) as serving, open_reached(spec) as way_out:
            yield Ends(serving, way_out)

    @property
    def is_podman(self) -> bool:
        """True if the engine is Podman."""
        return self._parts.habits.is_podman

    def on_engines_runtime(self) -> ContainerRuntime:
        """Return this with the engine's default runtime. A build's container of gVisor would share no network."""
        habits = replace(self._parts.habits, runtime="")
        return ContainerRuntime(replace(self._parts, habits=habits), self._cage)

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

    def _describe(self, spec: ProcessSpec, user: str, door: Door, copies: Contents) -> dict[str, object]:
        folder = {copies.folder: copies.size_bytes} if copies.folder else {}
        return describe_container(self._habits(spec), spec, user, self._process_limit(spec), door.folder, folder)

    async def _copies(self, spec: ProcessSpec, user: str, door: Door, name: str, held: AsyncExitStack) -> Contents:
        """Return what the image's containers get as copies, and write the list of users beside the door.

        Raises:
            EngineError, OSError, BadVolume, NoInterpreter: See ``open_process``.

        Cancellation: no container is left.
        """
        _write(door.folder / USERS_FILE, users_file(user))
        if spec.image is None:
            return Contents()
        bare = self._describe(spec, user, door, Contents())
        targets = [Path(one) for one in mounted_in(bare)]
        # The engine reads through mounts, and the image's own list is wanted.
        bare = without_mount(bare, "/etc/passwd")
        bare = without_owners(bare) if self.is_podman else bare

        def open_unused() -> AbstractAsyncContextManager[str]:
            return open_container(self._parts.engine, f"{name}-look", bare)

        copies = await self._contents.of(spec.image, spec.limits.temp_bytes, targets, open_unused)
        if copies.opened is not None:
            held.callback(copies.opened.close)
        if copies.reason and spec.image.directory != "/" and spec.image.tell is not None:
            spec.image.tell(f"the working folder {spec.image.directory[:200]} is read-only: {copies.reason}")
        users, home = own_users(copies.users, spec.image.user, user)
        _write(door.folder / USERS_FILE, users)
        return replace(copies, home=home)

    async def _run(
        self,
        spec: ProcessSpec,
        container: str,
        door: Door,
        ends: Ends,
        uid: int | None,
        copies: Contents,
    ) -> ContainerProcess:
        """Start the container and its program. Cancellation: no descriptor is left, and the container may run."""
        joined = await start_container(self._parts.engine, container, door)
        try:
            reading, writing = os.pipe2(os.O_CLOEXEC)
            output = trio.lowlevel.FdStream(reading)
            try:
                if uid is not None:
                    # Programs open /dev/stdout by its path.
                    os.fchown(writing, uid, uid)
                order = self._order_of_sockets(spec, writing, ends, copies)
                with (
                    variables_apart(spec, order, VARIABLES) as apart,
                    with_folder(apart, WORKING_FOLDER, copies) as whole,
                ):
                    await joined.command(whole)
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
            order=order,
            group=find_group(joined.first.pid, container),
        )

    def _order_of_sockets(self, spec: ProcessSpec, output: int, ends: Ends, copies: Contents) -> Order:
        descriptors = {OUTPUT: output}
        for number, given in ((LISTENER, ends.serving), (CONTROL, spec.control), (_WAY_OUT, ends.way_out)):
            if given is not None:
                descriptors[number] = given.fileno()
        pipe = os.fstat(output)
        return self._order(
            spec,
            descriptors,
            f"{pipe.st_dev}:{pipe.st_ino}",
            copies,
            way_out=None if ends.way_out is None else _WAY_OUT,
            carried=ends.serving is not None and ends.serving.family == socket.AF_UNIX,
        )

    def _order(
        self,
        spec: ProcessSpec,
        descriptors: dict[int, int],
        log_name: str,
        copies: Contents,
        *,
        way_out: int | None,
        carried: bool,
    ) -> Order:
        """Return the order.

        Args:
            spec: The process.
            descriptors: See ``Order``.
            log_name: What stands for the pipe of the output.
            copies: Contents of the image's folders.
            way_out: See ``bridge_prefix``.
            carried: See ``bridge_prefix``.
        """
        listener = LISTENER if LISTENER in descriptors else None
        interpreter = self._habits(spec).image.interpreter
        python = interpreter.command
        bridge = bridge_prefix(spec, listener=listener, way_out=way_out, carried=carried, python=python)
        argv, environment = fill_in(spec, listener, CONTROL if CONTROL in descriptors else None, log_name)
        elsewhere = {folder: path for path, folder in spec.shown_at.items()}
        return Order(
            argv=[*(interpreter.root + one if one == str(BRIDGE) else one for one in bridge), *argv],
            environment={**environment, **copies.variables, MARKER: spec.instance},
            directory=elsewhere.get(spec.directory, spec.directory),
            limits=spec.limits,
            processes=self._process_limit(spec),
            filter=self._parts.filter,
            descriptors=descriptors,
        )

    def _process_limit(self, spec: ProcessSpec) -> int:
        # RLIMIT_NPROC counts by user and user namespace: all containers of one user together.
        others = 0 if self._cage.own_users else tasks_on_machine()
        is_limited = "processes" in self._parts.habits.limits
        most = spec.limits.processes
        if spec.image is not None and spec.image.network is not None:
            # A reload runs each of them twice for a moment.
            most = max(most, spec.image.network.processes * (2 if is_limited else 1))
        # Where the engine limits processes, its limit comes first: only that one is counted.
        return most + others + (_BEHIND if is_limited else 0)


def _write(path: Path, text: str) -> None:
    path.write_text(text, "ascii")
    path.chmod(0o644)


async def _remove_leftover(engine: Engine, container: str) -> None:
    try:
        await remove_container(engine, container, is_created=True)
    except (EngineError, OSError) as error:
        log.warning("container not removed", container=container, error=str(error))
