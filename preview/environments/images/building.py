"""One build by the engine, within its limits."""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import IO, Final

import trio

from preview.environments.folders.environment import Report
from preview.environments.images.context import DOCKERFILE
from preview.environments.images.network import BuildNetwork, OpenNetwork
from preview.environments.images.output import BadOutput, BuildOutput
from preview.environments.images.steps import OpenSteps, StepGroup
from preview.environments.images.watch import look_at_disk, watch_build
from preview.errors import EnvironmentFailed, LaunchFailed
from preview.runtime.container import EngineError
from preview.runtime.container.builds import BuildLimits
from preview.runtime.container.images import Images
from preview.settings import Settings

_PIECE_BYTES: Final = 256 * 1024
_MOST_OUTPUT: Final = 256 * 1024 * 1024
_SILENCE_S: Final = 4.0
_LOOK_S: Final = 0.25
_MOST_WORDS: Final = 300


async def build_image(
    images: Images,
    settings: Settings,
    root: Path,
    name: str,
    packed: IO[bytes],
    arguments: Mapping[str, str],
    open_network: OpenNetwork,
    open_steps: OpenSteps,
    report: Report,
) -> None:
    """Build an image.

    Args:
        images: The engine's images.
        settings: Limits of builds.
        root: The engine's folder, as this machine shows it.
        name: The image's name.
        packed: What the build may copy.
        arguments: Values of ``ARG``.
        open_network: Opens the network of its steps.
        open_steps: Opens the group of its steps.
        report: Called with each line of the build and its severity.

    Raises:
        EnvironmentFailed: The build failed; the message has the reason.
        OSError: The engine's folder cannot be seen.

    Cancellation: the engine ends the build.
    """
    before = await trio.to_thread.run_sync(look_at_disk, root)
    output, failed = BuildOutput(), list[str]()
    if before.fault:
        raise EnvironmentFailed(_failure(before.fault, ()), reason="disk")
    size = packed.seek(0, 2)
    packed.seek(0)
    limit_s = settings.environment_build_timeout_s
    with trio.move_on_after(limit_s) as scope:
        token = f"preview-build-{secrets.token_hex(8)}"
        async with (
            _open_network(open_network, report) as network,
            open_steps(token) as group,
            _giving_up(group, failed),
            trio.open_nursery() as nursery,
        ):
            limits = BuildLimits(
                settings.build_memory_mb << 20,
                settings.cpu_limit,
                settings.image_max_bytes,
                network.name,
                token,
                {**arguments, **network.arguments},
                group.path,
            )

            def end(reason: str) -> None:
                failed.append(reason)
                nursery.cancel_scope.cancel()

            nursery.start_soon(_end_with_network, network, end)
            nursery.start_soon(watch_build, images, token, group, root, before, settings.image_max_bytes, end)
            nursery.start_soon(_tell_while_silent, output, report)
            try:
                async with images.open_build(name, DOCKERFILE, limits, size, _pieces(packed)) as pieces:
                    async for piece in pieces:
                        for line in output.feed(piece):
                            report(line, logging.INFO)
                        if output.size > _MOST_OUTPUT:
                            end(f"it prints more than {_MOST_OUTPUT >> 20} MiB")
            except BadOutput:
                failed.append("the engine's answer is none of a build")
            except EngineError as error:
                failed.append(str(error))
            for line in output.rest():
                report(line, logging.INFO)
            for sentence in network.refused:
                report(f"the build of the image: {sentence}", logging.WARNING)
            nursery.cancel_scope.cancel()
    if scope.cancelled_caught:
        failed.append(f"it did not finish within {limit_s:g} s (PREVIEW_ENVIRONMENT_BUILD_TIMEOUT)")
    if reason := (failed or [output.error])[0]:
        raise EnvironmentFailed(_failure(reason, output.last), reason="image_build")


@asynccontextmanager
async def _giving_up(group: StepGroup, failed: Sequence[str]) -> AsyncIterator[None]:
    """Tell the group at the end that the service has ended the build. Cancellation: the group knows of it itself."""
    yield
    if failed:
        group.give_up()


async def _end_with_network(network: BuildNetwork, end: Callable[[str], None]) -> None:
    """End the build if its network ends; later steps might get another one under its name. Cancellation: no effect."""
    await network.ended()
    end("its network has ended")


@asynccontextmanager
async def _open_network(open_network: OpenNetwork, report: Report) -> AsyncIterator[BuildNetwork]:
    """Yield the build's network; none at all, with a line that says why, if it cannot be had.

    Cancellation: it is closed.
    """
    async with AsyncExitStack() as held:
        try:
            network = await held.enter_async_context(open_network())
        except LaunchFailed as error:
            report(f"the build of the image has no network: {error.message}", logging.WARNING)
            network = BuildNetwork("none")
        yield network


async def _pieces(file: IO[bytes]) -> AsyncIterator[bytes]:
    while piece := await trio.to_thread.run_sync(file.read, _PIECE_BYTES):
        yield piece


async def _tell_while_silent(output: BuildOutput, report: Report) -> None:
    """Report every few seconds without output that the build goes on. Runs until cancelled."""
    began = since = trio.current_time()
    seen = output.size
    while True:
        await trio.sleep(_LOOK_S)
        now = trio.current_time()
        if output.size != seen:
            seen, since = output.size, now
        elif now >= since + _SILENCE_S:
            report(f"build of the image: {now - began:.0f} s so far", logging.INFO)
            since = now


def _failure(reason: str, last: Sequence[str]) -> str:
    words = " ".join(reason.split())[:_MOST_WORDS].rstrip(".")
    said = f"; its last line: {last[-1][:_MOST_WORDS]}" if last else ""
    return f"The image could not be built: {words}{said}."
