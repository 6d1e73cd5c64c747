"""The client of an engine, against engines that are slow, huge or broken."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from runtime_kit import open_descriptors

from preview.runtime.container import Engine, EngineError


@asynccontextmanager
async def false_engine(
    tmp_path: Path, answer: bytes, then: bytes = b"", *, repeats: int = 0, pause_s: float = 0, answer_s: float = 0.5
) -> AsyncIterator[Engine]:
    """An engine that answers whatever it is asked with these bytes."""

    async def serve(stream: trio.SocketStream) -> None:
        try:
            await stream.receive_some(4096)
            await stream.send_all(answer)
            for _ in range(repeats):
                await trio.sleep(pause_s)
                await stream.send_all(then)
        except trio.BrokenResourceError:
            pass
        await stream.aclose()

    with trio.socket.socket(trio.socket.AF_UNIX) as listener:
        await listener.bind(str(tmp_path / "s"))
        listener.listen(5)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, serve, [trio.SocketListener(listener)])
            yield Engine(tmp_path / "s", answer_s=answer_s)
            nursery.cancel_scope.cancel()


HEAD = b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "then", "pause_s", "said"),
    [
        (b"", b"", 600.0, "has not answered within 0.5 s"),
        (HEAD, b"1\r\nx\r\n", 0.01, "has not answered within 0.5 s"),
        (HEAD, b"100000\r\n" + b"x" * 0x100000 + b"\r\n", 0.0, "too long"),
        (b"HTTP/1.1 200 OK\r\n", b"x: " + b"x" * 0x10000, 0.0, "no engine answers"),
        (b"nonsense\r\n\r\n", b"", 0.0, "no engine answers"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"", 0.0, "no container engine"),
        (b"HTTP/1.1 200 OK\r\nApi-Version: ../x\r\nContent-Length: 0\r\n\r\n", b"", 0.0, "no container engine"),
    ],
)
async def test_a_slow_huge_or_broken_engine_is_given_up_in_time(
    tmp_path: Path, answer: bytes, then: bytes, pause_s: float, said: str
) -> None:
    before = open_descriptors()
    # A busy machine takes long to send what is too long.
    answer_s = 0.5 if "0.5 s" in said else 60.0
    with trio.fail_after(90):
        async with false_engine(tmp_path, answer, then, repeats=1000, pause_s=pause_s, answer_s=answer_s) as engine:
            with pytest.raises(EngineError, match=said):
                await engine.ping()
    assert open_descriptors() <= before


@pytest.mark.parametrize("content", [b"null", b"[]", b"[" * 10_000, b'{"Id": "../x"}', b'{"Id": 3}', b"\xff"])
async def test_an_answer_without_sense_names_no_container(tmp_path: Path, content: bytes) -> None:
    answer = b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: %d\r\n\r\n%s" % (len(content), content)
    with trio.fail_after(10):
        async with false_engine(tmp_path, answer) as engine:
            with pytest.raises(EngineError, match="named no container"):
                await engine.create("x", {})
            assert await engine.labelled("x") == []
