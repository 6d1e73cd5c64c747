"""Services of a compose file beside the previewed one: containers in a private network, which end with its process.

The limits of a preview hold for all of its containers together. The previewed service has half of memory, processor
time, processes and output, and the others share the other half.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import trio

from preview.core.isolation import Network
from preview.environments import BuiltBeside
from preview.errors import LaunchFailed
from preview.logs import Level
from preview.runtime import ConnectsContainers, Exit, ProcessSpec, RunNetwork, Usage
from preview.settings import Settings
from preview.sources.image_source import DONE, HEALTHY
from preview.supervisor.launch.steps import PreparedLaunch, run_image
from preview.supervisor.launch.variables import PATH_IN_IMAGES
from preview.supervisor.limits.limits import tell_output, watch_usage
from preview.supervisor.preview.live_preview import LivePreview
from preview.supervisor.process.running_beside import RunningBeside
from preview.supervisor.process.waiting_beside import wait_for, watch_health

OWN_SHARE = 0.5
_FIRST_PAUSE_S, _MOST_PAUSE_S = 1.0, 60.0
# A service that ends so often, each time within this time, is given up until the next launch or reload.
_SHORT_S, _MOST_SHORT = 30.0, 5
_GRACE_S, _STOP_S, _DRAIN_S = 1.0, 5.0, 0.5
# The previewed service starts once the others have, or after this time.
_FIRST_START_S = 10.0
# A container needs so much at least. Shares are never below it, so that all together keep to the preview's limits.
_LEAST_MEMORY_MB, _LEAST_PROCESSES = 16, 8


def fitting(settings: Settings, count: int) -> int:
    """Return how many services beside fit into a preview's limits, at most ``count``."""
    others = 1 - OWN_SHARE
    memory = int(settings.memory_limit_mb * others) // _LEAST_MEMORY_MB
    return min(count, memory, int(settings.max_processes * others) // _LEAST_PROCESSES)


@asynccontextmanager
async def open_beside(
    preview: LivePreview, prepared: PreparedLaunch, running: list[RunningBeside]
) -> AsyncIterator[PreparedLaunch]:
    """Run the services beside the previewed one, and yield the launch with its share and its network.

    Args:
        preview: The preview; the caller holds its ``start_turn``.
        prepared: The launch.
        running: Gets the services.

    Raises:
        LaunchFailed: There is no private network.

    Cancellation: their containers and the network are gone within a few seconds.
    """
    image, runtime = prepared.environment.image, prepared.runtime
    if image is None or not image.beside or prepared.network is Network.HOST:
        yield prepared
        return
    if not isinstance(runtime, ConnectsContainers):
        preview.log.say("services beside the previewed one are not started: no network connects them", Level.WARNING)
        yield prepared
        return
    count = fitting(prepared.settings, len(image.beside))
    chosen, left = image.beside[:count], image.beside[count:]
    if left:
        names_left = ", ".join(one.name for one in left)
        preview.log.say(f"not started: {names_left}; the preview's memory or processes are too few", Level.WARNING)
    if not chosen:
        yield prepared
        return
    failure: Exception | None = None
    async with runtime.open_private_network(preview.id) as network, trio.open_nursery() as nursery:
        own, *others = network.addresses[: 1 + len(chosen)]
        names = dict.fromkeys(image.names, own)
        for one, address in zip(chosen, others, strict=True):
            names |= dict.fromkeys(one.names, address)
        share = replace(prepared, settings=shared(prepared.settings, (1 - OWN_SHARE) / len(chosen)))
        # Each container has a first process besides its share.
        whole = prepared.settings.max_processes + 1 + len(chosen)
        states = {one.name: RunningBeside() for one in chosen}
        running.extend(states.values())
        for one, address in zip(chosen, others, strict=True):
            connected = RunNetwork(network.name, address, names, whole)
            nursery.start_soon(_begin, preview, share, one, connected, states)
        with trio.move_on_after(_FIRST_START_S):
            for one in chosen:
                if not one.image.waits:
                    await states[one.name].tried.wait()
        await wait_for(preview, "the preview", image.waits, states, prepared.settings.step_timeout_s)
        for state in running:
            # From now on one that starts for the first time, as it has waited, takes turns with the previewed service.
            state.tried.set()
        settings = shared(prepared.settings, OWN_SHARE)
        try:
            yield replace(prepared, settings=settings, beside=RunNetwork(network.name, own, names, whole))
        except Exception as error:  # noqa: BLE001  raised below: the nursery would wrap it in a group
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


def shared(settings: Settings, share: float) -> Settings:
    """Return the settings with a share of the preview's limits."""
    return settings.model_copy(
        update={
            "memory_limit_mb": int(settings.memory_limit_mb * share),
            "cpu_limit": settings.cpu_limit * share,
            "max_processes": int(settings.max_processes * share),
            "output_bytes_per_s": max(1, int(settings.output_bytes_per_s * share)),
        }
    )


async def _begin(
    preview: LivePreview,
    prepared: PreparedLaunch,
    one: BuiltBeside,
    network: RunNetwork,
    states: Mapping[str, RunningBeside],
) -> None:
    """Wait for the services that a service depends on, and run it. Others learn if it never meets a condition."""
    state = states[one.name]
    await wait_for(preview, one.name, one.image.waits, states, prepared.settings.step_timeout_s)
    why = await _keep_running(preview, prepared, one, network, state)
    for condition in (DONE, HEALTHY):
        state.meet(condition, why)


async def _keep_running(
    preview: LivePreview, prepared: PreparedLaunch, one: BuiltBeside, network: RunNetwork, state: RunningBeside
) -> str:
    """Run a service, and start it again when it fails. Returns why, when it ends well or fails again and again."""
    pause_s, short = _FIRST_PAUSE_S, 0
    while True:
        started = trio.current_time()
        try:
            ended = await _run(preview, prepared, one, network, state)
            why = f"ended with {ended}"
            if ended == Exit(code=0):
                preview.log.say(f"{one.name}: {why}")
                state.meet(DONE)
                return "it has ended"
        except LaunchFailed as error:
            why = f"not started: {error.message}"
        except OSError as error:
            why = f"not started: {error.strerror or error}"
        finally:
            state.process = state.usage = None
            state.tried.set()
        if trio.current_time() - started >= _SHORT_S:
            pause_s, short = _FIRST_PAUSE_S, 0
        short += 1
        if short >= _MOST_SHORT:
            preview.log.say(f"{one.name}: {why}; it is not started again until the next reload", Level.ERROR)
            return f"it {why}"
        preview.log.say(f"{one.name}: {why}; it starts again in {pause_s:g} s", Level.WARNING)
        await trio.sleep(pause_s)
        pause_s = min(2 * pause_s, _MOST_PAUSE_S)


async def _run(
    preview: LivePreview, prepared: PreparedLaunch, one: BuiltBeside, network: RunNetwork, state: RunningBeside
) -> Exit:
    spec = _spec(preview, prepared, one, network)
    # The previewed service's start has the turn, in which each starts for the first time.
    turn = preview.start_turn if state.tried.is_set() else nullcontext()
    async with AsyncExitStack() as stack:
        async with turn:
            state.process = process = await stack.enter_async_context(prepared.runtime.open_process(spec))
        state.tried.set()
        preview.log.say(f"{one.name}: process {process.identity.pid} started beside ({' '.join(spec.argv)[:120]})")
        over: list[str] = []
        drained = trio.Event()
        try:
            async with trio.open_nursery() as nursery:

                def end(error: LaunchFailed) -> None:
                    over.append(error.message)
                    nursery.cancel_scope.cancel()

                async def read() -> None:
                    held = partial(tell_output, preview, prepared.settings)
                    rate = prepared.settings.output_bytes_per_s
                    await preview.log.read_output(process.output, held, name=one.name, bytes_per_s=rate)
                    drained.set()

                def note(usage: Usage) -> None:
                    # The preview's usage is set with that of the previewed service.
                    state.usage = usage

                nursery.start_soon(read)
                nursery.start_soon(watch_health, preview, one, process, state)
                nursery.start_soon(partial(watch_usage, preview, process, prepared.settings, note=note, end=end))
                ended = await process.wait()
                await preview.log.read_rest(process.output, drained, _DRAIN_S)
                nursery.cancel_scope.cancel()
        finally:
            with trio.move_on_after(_STOP_S, shield=True):
                await process.stop(preview.grace_s(_GRACE_S))
    if over:
        raise LaunchFailed(over[0])
    return ended


def _spec(preview: LivePreview, prepared: PreparedLaunch, one: BuiltBeside, network: RunNetwork) -> ProcessSpec:
    image = one.image
    if not image.argv:
        raise LaunchFailed("Its image names no program.")
    variables = {"PATH": PATH_IN_IMAGES, **image.variables, **one.environment, "HOME": "/tmp"}  # noqa: S108
    spec = prepared.spec(preview, list(image.argv), Path(image.directory), variables)
    # No folder of the machine is theirs.
    return replace(spec, image=run_image(preview, image, network), writable=())
