"""Calls between asyncio and trio in one thread: results, exceptions, cancellation in both directions, and crashes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
import sniffio
import structlog
import trio
import uvloop

from preview.embedding import AsyncioBridge
from preview.embedding.guest import GuestRun, open_guest
from preview.embedding.lateness import LATE_S
from preview.errors import ConfigurationError, ServiceStopping
from preview.http import create_app
from preview.service import open_service
from preview.settings import Settings

WORD: ContextVar[str] = ContextVar("WORD", default="none")
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


@pytest.fixture(params=list(LOOPS))
def under(request: pytest.FixtureRequest) -> Callable[[Callable[[], Awaitable[None]]], None]:
    """Run a function of asyncio, on each loop."""
    return lambda function: in_a_thread(function, LOOPS[request.param])


def in_a_thread(function: Callable[[], Awaitable[None]], loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """Run a function of asyncio in a thread of its own: Playwright's loop, of other tests, holds the main one."""

    async def bounded() -> None:
        await asyncio.wait_for(asyncio.ensure_future(function()), 60)

    def run() -> None:
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(bounded())

    with ThreadPoolExecutor(1) as threads:
        threads.submit(run).result()


def test_results_exceptions_and_context_variables_pass_in_both_directions(under: Any) -> None:
    async def in_trio(factor: int) -> tuple[int, str, str]:
        await trio.lowlevel.checkpoint()
        return factor * 2, WORD.get(), sniffio.current_async_library()

    async def in_asyncio(factor: int) -> tuple[int, str, str]:
        await asyncio.sleep(0)
        return factor * 3, WORD.get(), sniffio.current_async_library()

    async def fails() -> None:
        raise KeyError("k")

    async def check() -> None:
        WORD.set("mine")
        async with open_guest() as guest:
            assert await guest.call(in_trio, 4) == (8, "mine", "trio")
            assert await guest.call(guest.call_host, in_asyncio, 4) == (12, "mine", "asyncio")
            with pytest.raises(KeyError, match="k"):
                await guest.call(fails)
            with pytest.raises(KeyError, match="k"):
                await guest.call(guest.call_host, fails)

    under(check)


def test_a_cancelled_caller_in_asyncio_waits_for_the_cleanup_in_trio(under: Any) -> None:
    seen: list[str] = []

    async def forever() -> None:
        seen.append("started")
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.02)
            seen.append("cleaned up")

    async def check() -> None:
        async with open_guest() as guest:
            task = asyncio.create_task(guest.call(forever))
            while not seen:  # noqa: ASYNC110  a list has no event
                await asyncio.sleep(0)
            # Impatient: the second one waits as well.
            task.cancel()
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert seen == ["started", "cleaned up"]

    under(check)


def test_a_cancelled_caller_in_trio_waits_for_the_cleanup_in_asyncio(under: Any) -> None:
    seen: list[str] = []

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0.02)
            seen.append("cleaned up")
            raise

    async def caller(guest: GuestRun) -> bool:
        with trio.move_on_after(0.02) as scope:
            await guest.call_host(forever)
        assert seen == ["cleaned up"]
        return scope.cancelled_caught

    async def check() -> None:
        async with open_guest() as guest:
            assert await guest.call(caller, guest)

    under(check)


def test_a_task_that_the_host_cancels_is_an_error_in_trio_not_a_cancellation(under: Any) -> None:
    async def cancels_itself() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(1)

    async def check() -> None:
        async with open_guest() as guest:
            with pytest.raises(ServiceStopping):
                await guest.call(guest.call_host, cancels_itself)

    under(check)


def test_callers_at_the_end_of_the_run_are_answered(under: Any) -> None:
    async def check() -> None:
        async with open_guest() as guest:
            waiting = asyncio.create_task(guest.call(trio.sleep_forever))
            await asyncio.sleep(0.01)
        with pytest.raises(ServiceStopping):
            await waiting
        with pytest.raises(ServiceStopping):
            await guest.call(trio.lowlevel.checkpoint)
        assert not guest.is_running

    under(check)


def test_a_cancelled_host_waits_for_the_end_of_the_run(under: Any) -> None:
    seen: list[str] = []

    @asynccontextmanager
    async def slow() -> AsyncIterator[str]:
        try:
            yield "open"
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.05)
            seen.append("closed")

    async def host() -> None:
        async with AsyncioBridge().holding(slow()) as value:
            seen.append(value)
            await asyncio.Event().wait()

    async def check() -> None:
        task = asyncio.create_task(host())
        while not seen:  # noqa: ASYNC110  a list has no event
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert seen == ["open", "closed"]

    under(check)


def test_a_crash_cancels_the_host_and_is_what_it_gets(under: Any) -> None:
    crash = trio.Event()
    seen: list[str] = []

    @asynccontextmanager
    async def service() -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(crashing)
            yield

    async def crashing() -> None:
        await crash.wait()
        raise LookupError("lost")

    async def host(bridge: AsyncioBridge) -> None:
        async with bridge.holding(service()):
            crash.set()
            try:
                await asyncio.Event().wait()
            finally:
                seen.append("host cancelled")

    async def check() -> None:
        bridge = AsyncioBridge()
        with pytest.raises(ExceptionGroup) as raised:
            await host(bridge)
        assert raised.group_contains(LookupError, match="lost")
        assert seen == ["host cancelled"]
        # The cancellation was the crash's, and is over.
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        with pytest.raises(ServiceStopping):
            await bridge.call(trio.lowlevel.checkpoint)

    under(check)


def test_an_error_at_the_start_is_raised_as_it_is(under: Any) -> None:
    @asynccontextmanager
    async def broken() -> AsyncIterator[None]:
        raise ConfigurationError("wrong")
        yield

    async def check() -> None:
        with pytest.raises(ConfigurationError, match="wrong"):
            async with AsyncioBridge().holding(broken()):
                pytest.fail("entered")

    under(check)


def test_an_error_of_the_host_stays_what_it_is(under: Any) -> None:
    @asynccontextmanager
    async def service() -> AsyncIterator[None]:
        yield

    async def check() -> None:
        with pytest.raises(ZeroDivisionError):
            async with AsyncioBridge().holding(service()):
                raise ZeroDivisionError

    under(check)


def test_no_thread_is_left(under: Any) -> None:
    async def check() -> None:
        async with open_guest() as guest:
            await guest.call(trio.sleep, 0.001)

    before = threading.active_count()
    under(check)
    # Trio keeps idle threads for ten seconds; they are daemons.
    assert all(one.daemon for one in threading.enumerate()[before:])


def test_a_blocking_host_is_logged(under: Any) -> None:
    import time

    async def check() -> None:
        with structlog.testing.capture_logs() as logs:
            async with open_guest():
                # The watcher sleeps a second; then the host blocks beyond its time.
                await asyncio.sleep(0.05)
                time.sleep(1 + LATE_S + 0.1)  # noqa: ASYNC251  what a host should not do
                while not logs:  # noqa: ASYNC110  a log has no event
                    await asyncio.sleep(0.01)
        assert logs[0]["event"] == "host blocks the event loop"
        assert logs[0]["for_s"] >= LATE_S

    under(check)


def test_open_service_says_what_to_use_in_asyncio(tmp_path: Path) -> None:
    async def check() -> None:
        async with open_service(Settings(data_dir=tmp_path)):
            pass

    with pytest.raises(RuntimeError, match=r"async with app\.running\(\)"):
        in_a_thread(check, asyncio.new_event_loop)


def test_the_service_without_http_from_asyncio(tmp_path: Path) -> None:
    async def check() -> None:
        app = create_app(Settings(data_dir=tmp_path / "data", cache_dir=tmp_path / "cache"))
        with pytest.raises(ServiceStopping):
            await app.call(trio.lowlevel.checkpoint)
        async with app.running() as service:
            assert service.library is not None
            made = await app.call(
                lambda: service.library.create(user_id="ann", project_id=None, name="x", files={"main.py": b"x = 1\n"})  # type: ignore[union-attr]
            )
            assert (await app.call(service.generations.get, made.id)).user_id == "ann"
            with pytest.raises(RuntimeError, match="one application"):
                async with create_app(Settings(data_dir=tmp_path / "other")).running():
                    pytest.fail("entered")
        assert not app.is_running

    in_a_thread(check, asyncio.new_event_loop)


async def test_the_second_process_of_a_data_folder_says_which_one_serves(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", cache_dir=tmp_path / "cache")
    first, second = create_app(settings), create_app(settings)
    async with first.running(), second.running() as none:
        with pytest.raises(ServiceStopping, match="one worker process"):
            _ = none.previews
        refused = await second.test_client().get("/api/v1/previews")
        assert refused.status_code == 503
        assert "one worker process" in (await refused.get_json())["detail"]
