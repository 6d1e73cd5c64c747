"""Finds the container engine, tests it with one container, and explains a failure with advice."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import structlog
import trio

from preview.errors import LaunchFailed
from preview.runtime.broker import Broker, NoBroker
from preview.runtime.cgroups.home import home_name
from preview.runtime.container.addresses import engine_socket
from preview.runtime.container.description import Habits
from preview.runtime.container.engine import Engine, EngineError
from preview.runtime.container.gvisor import GvisorRuntime
from preview.runtime.container.image import host_image, operators_image
from preview.runtime.container.interpreter import NoInterpreter
from preview.runtime.container.runtime import ContainerRuntime, Containment
from preview.runtime.process.first_look import look_around
from preview.runtime.sandbox import Refusal, SandboxRuntime, compile_filter
from preview.runtime.sandbox.etc import write_etc
from preview.runtime.sandbox.users import users_here
from preview.settings import Settings

log = structlog.get_logger(__name__)

_MEMORY_MB: Final = 128
_TIMEOUT_S: Final = 30.0
_INSTALL: Final = (
    "install podman and start its socket (`systemctl --user start podman.socket`), or Docker, and name it: "
    "PREVIEW_CONTAINER_ENGINE=unix:///PATH (docs/containers.md)"
)
# What an engine says about itself, for each limit that it enforces.
_LIMITS_BY_NAME: Final = {"MemoryLimit": "memory", "CpuCfsQuota": "cpu", "PidsLimit": "processes"}
_LIMITS_BY_CONTROLLER: Final = {"memory": "memory", "cpu": "cpu", "pids": "processes"}


async def probe_containers(
    settings: Settings, calls: frozenset[str] = frozenset(), broker: Broker | NoBroker | None = None
) -> ContainerRuntime | Refusal:
    """Return the container runtime if the engine runs a container, or the reason for none.

    Args:
        settings: The engine, its runtime and image, and the data folder, which exists.
        calls: System calls that are also allowed; see ``check_extra_calls``.
        broker: See ``SandboxRuntime``.

    Raises:
        ConfigurationError: A setting is wrong.

    Cancellation: a container that was started is removed.
    """
    path = engine_socket(settings.container_engine)
    if path is None:
        off = settings.container_engine == "off"
        return Refusal("PREVIEW_CONTAINER_ENGINE=off" if off else "no container engine's socket was found", _INSTALL)
    try:
        runtime = await _make(settings, Engine(path), calls, broker)
        return await _try(runtime) or runtime
    except EngineError as error:
        return Refusal(str(error), _INSTALL)
    except NoInterpreter as error:
        return Refusal(f"this service's Python runs in no other image: {error}", "unset PREVIEW_CONTAINER_IMAGE")
    except OSError as error:
        return Refusal(f"the data folder cannot be written ({error.strerror})", "set PREVIEW_DATA_DIR to another one")


@asynccontextmanager
async def open_containers(
    settings: Settings, calls: frozenset[str], broker: Broker | NoBroker | None
) -> AsyncIterator[ContainerRuntime | Refusal]:
    """Open the container runtime; first removes containers of an earlier run with the same data folder.

    Raises:
        ConfigurationError: A setting is wrong.

    Cancellation: a container that was started is removed.
    """
    found = await probe_containers(settings, calls, broker)
    if isinstance(found, ContainerRuntime):
        try:
            removed = await found.remove_leftovers()
        except (EngineError, OSError) as error:
            yield Refusal(str(error), _INSTALL)
            return
        if removed:
            log.info("containers of an earlier run removed", count=removed)
    try:
        yield found
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(partial(shutil.rmtree, settings.data_dir / "containers", ignore_errors=True))


async def _make(
    settings: Settings, engine: Engine, calls: frozenset[str], broker: Broker | NoBroker | None
) -> ContainerRuntime:
    etc = settings.data_dir.absolute() / "sandbox"
    await trio.to_thread.run_sync(write_etc, etc)
    await engine.ping()
    info = await engine.info()
    options = [str(one) for one in _list(info.get("SecurityOptions"))]
    is_rootless = any("rootless" in one for one in options)
    limits = frozenset(name for key, name in _LIMITS_BY_NAME.items() if info.get(key) is True)
    if engine.is_podman:
        # What it says in Docker's words is the same with and without root's rights.
        host = await engine.podman_host()
        security = host.get("security")
        is_rootless = isinstance(security, dict) and security.get("rootless") is True
        limits = frozenset(_LIMITS_BY_CONTROLLER.get(str(one), "") for one in _list(host.get("cgroupControllers"))) - {
            ""
        }
    if settings.container_image is None:
        image = await host_image(engine, etc)
    else:
        image = operators_image(settings.container_image)
    if not await engine.has_image(image.name):
        raise EngineError(f"the engine has no image {image.name}: pull or build it, or unset PREVIEW_CONTAINER_IMAGE")
    own_users = os.geteuid() == 0 and users_here() is not None and not is_rootless
    habits = Habits(
        image=image,
        data=home_name(settings.data_dir),
        runtime=settings.container_runtime or "",
        hosts=etc / "alone" / "hosts",
        limits=limits,
        is_podman=engine.is_podman,
        users="host" if any("userns" in one for one in options) else "",
    )
    # The engine's root is this user, where the engine itself has no root's rights.
    own_user = "0:0" if is_rootless else f"{os.geteuid()}:{os.getegid()}"
    parts = Containment(
        engine=engine,
        habits=habits,
        doors=settings.data_dir.absolute() / "containers",
        own_user=own_user,
        filter=compile_filter(also_allowed=calls),
        said=_said(engine, info, habits.runtime, is_rootless=is_rootless),
    )
    kind = GvisorRuntime if habits.is_gvisor else ContainerRuntime
    return kind(parts, SandboxRuntime(etc, own_users=own_users, calls=calls, broker=broker))


def _said(engine: Engine, info: Mapping[str, object], runtime: str, *, is_rootless: bool) -> str:
    runtime = runtime or str(info.get("DefaultRuntime") or "its default runtime")
    rootless = ", without root" if is_rootless else ""
    return (
        f"{'Podman' if engine.is_podman else 'Docker'} {str(info.get('ServerVersion'))[:40]} ({runtime[:40]}{rootless})"
    )


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


async def _try(runtime: ContainerRuntime) -> Refusal | None:
    advice = "see the engine's log, and docs/containers.md"
    try:
        look = await look_around(runtime, within_s=_TIMEOUT_S, memory_mb=_MEMORY_MB)
    except LaunchFailed as error:
        return Refusal(error.message.rstrip("."), advice)
    if look.is_well:
        return None
    why = " ".join(look.said.split()) or ("it did not start in time" if look.ended is None else str(look.ended))
    return Refusal(f"a container did not come up ({why})", advice)
