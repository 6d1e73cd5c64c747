"""Readiness is the first answer: whatever comes before it is waited out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from preview.supervisor.process.probe import Answer, NotHttp, ProbeFailed, ask, find_answer, wait_until_ready

Handler = Callable[[trio.SocketStream], Awaitable[None]]


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[tuple[str, int]]:
    async def handle(stream: trio.SocketStream) -> None:
        async with stream:
            await handler(stream)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, handle, 0, host="127.0.0.1"))
        yield listeners[0].socket.getsockname()
        nursery.cancel_scope.cancel()


def answering(*answers: bytes) -> Handler:
    """One answer for each connection in turn; the last one for all that follow."""
    left = list(answers)

    async def handle(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        answer = left.pop(0) if len(left) > 1 else left[0]
        if answer:
            await stream.send_all(answer)

    return handle


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"


async def test_the_status_code_is_told() -> None:
    with trio.fail_after(60):
        async with served(answering(NOT_FOUND)) as address:
            assert await ask(address, "/") == 404


async def test_an_interim_answer_is_not_the_answer() -> None:
    with trio.fail_after(60):
        async with served(answering(b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK)) as address:
            assert await ask(address, "/") == 200


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-nothing\r\n\r\n", b"HTTP/1.1 200", b"x" * 100_000])
async def test_what_is_not_http_is_a_failed_probe(answer: bytes) -> None:
    with trio.fail_after(60):
        async with served(answering(answer)) as address:
            with pytest.raises(ProbeFailed):
                await ask(address, "/")


@pytest.mark.parametrize("answer", [b"-ERR unknown command\r\n", b"\x15\x03\x01\x00\x02", b"\x00\x00\x12\x04"])
async def test_another_protocol_is_noticed_at_once_though_its_connection_stays_open(answer: bytes) -> None:
    noticed = trio.Event()

    async def handle(stream: trio.SocketStream) -> None:
        await stream.send_all(answer)
        await trio.sleep_forever()

    with trio.fail_after(60):
        async with served(handle) as address:
            with pytest.raises(NotHttp):
                await ask(address, "/")
            with trio.move_on_after(0.5):
                await wait_until_ready(address, "/", any_answer=True, not_http=noticed.set)
            assert noticed.is_set()


async def test_a_refused_connection_is_a_failed_probe() -> None:
    async with served(answering(OK)) as address:
        pass
    with trio.fail_after(60), pytest.raises(ProbeFailed):
        await ask(address, "/")


async def test_readiness_waits_out_closed_connections_and_garbage() -> None:
    with trio.fail_after(60):
        async with served(answering(b"", b"garbage\r\n\r\n", OK)) as address:
            assert await wait_until_ready(address, "/", any_answer=True) == 200


async def test_a_health_route_that_says_unavailable_is_asked_again() -> None:
    with trio.fail_after(60):
        async with served(answering(UNAVAILABLE, UNAVAILABLE, OK)) as address:
            assert await wait_until_ready(address, "/health", any_answer=False) == 200


async def test_without_a_health_route_any_answer_is_readiness() -> None:
    with trio.fail_after(60):
        async with served(answering(UNAVAILABLE)) as address:
            assert await wait_until_ready(address, "/", any_answer=True) == 503


async def test_an_app_that_answers_late_is_waited_for_on_one_connection() -> None:
    connections = 0
    came, go_on = trio.Event(), trio.Event()

    async def handle(stream: trio.SocketStream) -> None:
        nonlocal connections
        connections += 1
        came.set()
        await go_on.wait()
        await stream.send_all(OK)

    with trio.fail_after(60):
        async with served(handle) as address, trio.open_nursery() as nursery:
            nursery.start_soon(lambda: wait_until_ready(address, "/", any_answer=True))
            await came.wait()
            go_on.set()
    assert connections == 1


@given(answer=st.binary(max_size=400))
async def test_any_bytes_are_an_answer_or_a_failed_probe(answer: bytes) -> None:
    with trio.fail_after(60):
        async with served(answering(answer)) as address:
            try:
                status = await ask(address, "/")
            except ProbeFailed:
                return
            assert 200 <= status <= 999


# The health route and what counts without it


def answering_by_path(answers: dict[bytes, bytes]) -> Handler:
    """By path; a path that is not there is never answered."""

    async def handle(stream: trio.SocketStream) -> None:
        path = (await stream.receive_some()).split(b" ")[1]
        if path not in answers:
            await trio.sleep_forever()
        await stream.send_all(answers[path])

    return handle


async def test_the_projects_own_route_is_the_answer() -> None:
    with trio.fail_after(60):
        async with served(answering_by_path({b"/health": OK})) as address:
            assert await find_answer(address, "/health") == Answer("/health", 200)


async def test_without_a_route_of_its_own_any_answer_to_the_first_page_is() -> None:
    with trio.fail_after(60):
        async with served(answering_by_path({b"/": UNAVAILABLE})) as address:
            assert await find_answer(address, None) == Answer("/", 503)


async def test_a_route_that_comes_round_is_waited_for() -> None:
    with trio.fail_after(60):
        async with served(answering(UNAVAILABLE, UNAVAILABLE, OK)) as address:
            assert await find_answer(address, "/health") == Answer("/health", 200)


async def test_a_route_that_keeps_saying_no_counts_after_a_while() -> None:
    with trio.fail_after(60):
        async with served(answering(UNAVAILABLE)) as address:
            assert await find_answer(address, "/health", sick_patience_s=0.2) == Answer("/health", 503)


async def test_a_route_that_says_nothing_gives_way_to_the_first_page() -> None:
    with trio.fail_after(60):
        async with served(answering_by_path({b"/": NOT_FOUND})) as address:
            found = await find_answer(address, "/health", sick_patience_s=0.1, silent_patience_s=0.1)
            assert found == Answer("/", 404)


async def test_the_host_is_this_machine_with_the_port() -> None:
    seen: list[bytes] = []

    async def handle(stream: trio.SocketStream) -> None:
        seen.append(await stream.receive_some())
        await stream.send_all(OK)

    with trio.fail_after(60):
        async with served(handle) as address:
            await ask(address, "/")
    assert f"Host: localhost:{address[1]}\r\n".encode() in seen[0]


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/gesundheit/ü", b"/gesundheit/%C3%BC"),
        ("/a b", b"/a%20b"),
        ("/x\r\nHost: elsewhere", b"/x%0D%0AHost:%20elsewhere"),
        ("/health?deep=1&x=%20", b"/health?deep=1&x=%20"),
    ],
)
async def test_any_path_is_asked_for_as_one_target(path: str, target: bytes) -> None:
    asked: list[bytes] = []

    async def handle(stream: trio.SocketStream) -> None:
        asked.append(await stream.receive_some())
        await stream.send_all(OK)

    with trio.fail_after(60):
        async with served(handle) as address:
            assert await ask(address, path) == 200
    assert asked[0].split(b"\r\n")[0] == b"GET " + target + b" HTTP/1.1"
