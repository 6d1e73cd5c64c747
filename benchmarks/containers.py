"""What does a container cost, and is any left after ``kill -9`` of the service?

``uv run python benchmarks/containers.py --engine unix:///PATH [--runtime NAME ...] [--rounds N] [--previews N]``

``--runtime runc --runtime runsc`` measures these runtimes of the engine in turn; else it is the engine's default.

* *launch*: ``examples/hello`` from the request to the first good answer: bare uvicorn in the same environment (the
  floor), a sandbox started cold, and a container of each runtime.
* *many*: so many containers launched at once, until all have answered; then the service ends.
* *killed*: a service with so many containers is killed with SIGKILL: until none of their processes is left, and how
  many ended containers the next start removes.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import trio
from _measure import compare, interleave_async, report
from _service import USER, Folders, open_bench
from isolation import Copies, launched

from preview.core.lifecycle import StopCause
from preview.generations import GenerationSource
from preview.runtime.cgroups.home import home_name
from preview.runtime.container import Engine
from preview.service import Service
from preview.supervisor import LaunchRequest

HELLO = Path(__file__).parents[1] / "examples" / "hello"
UVICORN, SANDBOX = "floor: bare uvicorn", "sandbox, cold"


@dataclass(frozen=True)
class Containers:
    """An engine, and the runtime of its own that is measured; None is the engine's default."""

    engine: str
    runtime: str | None

    @property
    def name(self) -> str:
        return f"container, {self.runtime}" if self.runtime else "container"

    @property
    def asked(self) -> Engine:
        return Engine(Path(self.engine.removeprefix("unix://")))

    def open(self, source: GenerationSource | None, **settings: Any) -> AbstractAsyncContextManager[Service]:
        chosen: dict[str, Any] = {"isolation": "container", "container_engine": self.engine, "startup_timeout_s": 300}
        if self.runtime is not None:
            chosen["container_runtime"] = self.runtime
        return open_bench(source, **chosen, **settings)


async def bare(name: str, python: Path) -> Mapping[str, float]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    start = time.perf_counter()
    command = [str(python), "-m", "uvicorn", "main:app", "--port", str(port), "--log-level", "warning"]
    process = await trio.lowlevel.open_process(command, cwd=HELLO)
    while True:
        try:
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                await stream.send_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                assert b" 200 " in await stream.receive_some()
                break
        except OSError:
            await trio.sleep(0.002)
    elapsed = time.perf_counter() - start
    process.terminate()
    await process.wait()
    return {name: elapsed * 1000}


async def python_of(service: Service) -> Path:
    """The interpreter of the example's environment, as a running preview has it."""
    answer = await service.previews.launch(LaunchRequest(USER, "hello"))
    await service.previews.wait_ready(answer.record.id, 120)
    found = next(service.settings.cache_dir.rglob("bin/uvicorn"))
    await service.previews.stop("hello")
    return found.with_name("python")


async def measure_launch(kinds: Sequence[Containers], rounds: int) -> None:
    folders = Folders(HELLO)
    async with AsyncExitStack() as opened:
        sandboxed = await opened.enter_async_context(open_bench(folders, isolation="require", warm_templates=0))
        variants = [
            partial(bare, UVICORN, await python_of(sandboxed)),
            partial(launched, SANDBOX, sandboxed, "hello"),
        ]
        for kind in kinds:
            contained = await opened.enter_async_context(kind.open(folders))
            await launched("environment", contained, "hello")
            variants.append(partial(launched, kind.name, contained, "hello"))
        values = await interleave_async(variants, rounds=rounds, warm_up=1)
        report("examples/hello, launch to healthy", compare(values, floor=UVICORN, unit="ms"))


async def start_many(service: Service, previews: int) -> float:
    await launched("environment", service, "first")
    start = time.perf_counter()

    async def start_one(name: str) -> None:
        answer = await service.previews.launch(LaunchRequest(USER, name))
        await service.previews.wait_ready(answer.record.id, 300)

    async with trio.open_nursery() as nursery:
        for number in range(previews):
            nursery.start_soon(start_one, f"copy{number}")
    return time.perf_counter() - start


async def many_at_once(kind: Containers, previews: int) -> None:
    async with kind.open(Copies(HELLO)) as service:
        healthy_s = await start_many(service, previews)
        label = f"preview.data={home_name(service.settings.data_dir)}"
        assert len(await kind.asked.labelled(label)) == previews
        start = time.perf_counter()
        await service.previews.stop_all(StopCause.SHUTDOWN)
        stopped_s = time.perf_counter() - start
        print(f"{kind.name}, {previews} at once: healthy {healthy_s:.2f} s, all stopped {stopped_s:.2f} s")
    print(f"left: {len(await kind.asked.labelled(label))}")


async def be_killed(kind: Containers, previews: int) -> None:
    """Start the containers, say where, and wait for the end."""
    async with kind.open(Copies(HELLO)) as service:
        await start_many(service, previews)
        print(home_name(service.settings.data_dir), service.settings.data_dir, flush=True)
        await trio.sleep_forever()


async def killed(kind: Containers, previews: int) -> None:
    command = [sys.executable, __file__, "--engine", kind.engine, "--previews", str(previews), "--be-killed"]
    command += ["--runtime", kind.runtime] if kind.runtime else []
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": folder})
        assert process.stdout is not None
        name, data = process.stdout.readline().split()
        before = await kind.asked.labelled(f"preview.data={name}")
        process.send_signal(signal.SIGKILL)
        start = time.perf_counter()
        process.wait()
        while await running(kind.asked, name):
            await trio.sleep(0.01)
        none_s = time.perf_counter() - start
        ended = await kind.asked.labelled(f"preview.data={name}")
        start = time.perf_counter()
        async with kind.open(None, data_dir=Path(data)):
            started_s = time.perf_counter() - start
        left = await kind.asked.labelled(f"preview.data={name}")
    print(f"kill -9 with {len(before)}: no process left after {none_s * 1000:.0f} ms; {len(ended)} ended containers")
    print(f"next start: {started_s:.2f} s; left: {len(left)}")


async def running(engine: Engine, name: str) -> int:
    states = [await engine.state(one) for one in await engine.labelled(f"preview.data={name}")]
    return sum(state.get("Running") is True for state in states)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", required=True, help="unix:///PATH of the engine's socket")
    parser.add_argument("--runtime", action="append", help="a runtime of the engine, once for each")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--previews", type=int, default=20)
    parser.add_argument("--be-killed", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    kinds = [Containers(options.engine, name) for name in options.runtime or [None]]
    if options.be_killed:
        await be_killed(kinds[0], options.previews)
        return
    await measure_launch(kinds, options.rounds)
    for kind in kinds:
        await many_at_once(kind, options.previews)
        await killed(kind, options.previews)


if __name__ == "__main__":
    trio.run(main)
