"""One container, from its creation to its removal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from typing import Final

import structlog
import trio

from preview.core.descriptors import retry_on_fd_exhaustion
from preview.runtime.container.engine import Engine, EngineError
from preview.runtime.container.joining import Door, Joined, NotJoined

log = structlog.get_logger(__name__)

# A container joins within half a second on an idle machine. A launch has its own, shorter deadline.
_JOIN_S: Final = 60.0
# Creating takes 30 ms, the first container of an image half a second.
_CREATE_S: Final = 10.0
# Removing takes a tenth of a second; the engine may still be creating what a cancelled launch asked for.
_REMOVE_S: Final = 5.0
_REMOVE_POLL_S: Final = 0.05
_MOST_TRIES: Final = 4


async def start_container(engine: Engine, container: str, door: Door) -> Joined:
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
async def open_container(engine: Engine, name: str, description: Mapping[str, object]) -> AsyncIterator[str]:
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
                await retry_on_fd_exhaustion(lambda: remove_container(engine, name, is_created=is_created))
            except EngineError as error:
                log.warning("container not removed", container=name, error=str(error))
        if scope.cancelled_caught:
            log.warning("container not removed", container=name, error="the engine does not answer")


async def remove_container(engine: Engine, name: str, *, is_created: bool) -> None:
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
