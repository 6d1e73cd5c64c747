"""How long does a launch take, beside starting the same server by hand?

``uv run python benchmarks/launch.py [--rounds N] [--save FILE]``

``examples/hello`` and ``examples/bookshop``, their environments built beforehand. Floor: ``uvicorn --fd`` with the same
interpreter, arguments and variables on a copy of the project that lies there already, asked by the same probe.

* *healthy*: from the request to the first good answer of the project's own health route; the floor has this too.
* *process started*: from the request to the start of the child: all that the service does before.
* *first line*: from the request to the first line at a subscriber, in-process; and for a client that posts the launch
  and then opens the stream, over real HTTP.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import trio
from _measure import Figure, compare, interleave_async, report, save
from _service import USER, Folders, Server, open_bench, open_server, open_sse

from preview.logs import Batch
from preview.runtime import FD_PLACEHOLDER, PlainRuntime, ProcessSpec, RunningProcess, bind_in_range
from preview.service import Service
from preview.supervisor import LaunchRequest
from preview.supervisor.probe import wait_until_ready

EXAMPLES = Path(__file__).parents[1] / "examples"
FLOOR = "floor: uvicorn --fd by hand, to healthy"
HEALTHY = "launch to healthy"
STARTED = "launch to process started"
FIRST_LINE = "launch to first line, in-process"
FIRST_LINE_HTTP = "POST launch to first line, over HTTP"


class TimedRuntime:
    """The plain runtime; notes what is started, and when."""

    name = "plain"

    def __init__(self) -> None:
        self._inner = PlainRuntime()
        self.spec: ProcessSpec | None = None
        self.started_at = 0.0

    def describe(self) -> Mapping[str, str]:
        return self._inner.describe()

    def open_process(self, spec: ProcessSpec) -> AbstractAsyncContextManager[RunningProcess]:
        self.spec, self.started_at = spec, time.perf_counter()
        return self._inner.open_process(spec)


async def by_hand(example: str, runtime: TimedRuntime) -> Mapping[str, float]:
    """The floor: the files are there, the port is bound, nobody reads what is printed."""
    spec = runtime.spec
    assert spec is not None
    with tempfile.TemporaryDirectory(prefix="preview-benchmark-") as folder:
        project = Path(folder) / "project"
        shutil.copytree(EXAMPLES / example, project, ignore=shutil.ignore_patterns("__pycache__"))
        listener = bind_in_range("127.0.0.1", 30_000, 32_000)
        number = str(listener.fileno())
        argv = [part.replace(FD_PLACEHOLDER, number).replace(str(spec.directory), str(project)) for part in spec.argv]
        variables = {**spec.environment, "HOME": folder, "TMPDIR": folder}
        if "DATABASE_URL" in variables:
            variables["DATABASE_URL"] = f"sqlite:///{folder}/preview.db"
        start = time.perf_counter()
        process = subprocess.Popen(
            argv, cwd=project, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True, pass_fds=(listener.fileno(),),
        )  # fmt: skip
        try:
            await wait_until_ready(listener.getsockname(), "/health", any_answer=False)
            elapsed = time.perf_counter() - start
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            listener.close()
    return {FLOOR: elapsed * 1000}


async def launched(example: str, service: Service, runtime: TimedRuntime) -> Mapping[str, float]:
    """One launch, watched by one subscriber."""
    first_line_at = 0.0
    start = time.perf_counter()
    answer = await service.previews.launch(LaunchRequest(USER, example))
    preview = service.previews.find(answer.record.id)
    assert preview is not None
    with preview.log.subscribe() as subscription:
        while not first_line_at:
            if any(isinstance(event, Batch) for event in await subscription.receive()):
                first_line_at = time.perf_counter()
    await preview.settled.wait()
    healthy_at = time.perf_counter()
    assert preview.address is not None, preview.outcome
    await service.previews.stop(example)
    return {
        HEALTHY: (healthy_at - start) * 1000,
        STARTED: (runtime.started_at - start) * 1000,
        FIRST_LINE: (first_line_at - start) * 1000,
    }


async def launched_over_http(example: str, service: Service, server: Server) -> Mapping[str, float]:
    """A client that opens the stream as soon as it has the answer."""
    start = time.perf_counter()
    async with await trio.open_tcp_stream(*server.address) as stream:
        await stream.send_all(server.request("POST", f"/api/v1/generations/{example}/preview/launch", b"{}"))
        answer = await stream.receive_some()
        assert answer.startswith(b"HTTP/1.1 201"), answer
        async with open_sse(server, example) as messages:
            await anext(messages)
            elapsed = time.perf_counter() - start
    await service.previews.stop(example)
    return {FIRST_LINE_HTTP: elapsed * 1000}


async def measure(rounds: int) -> dict[str, list[Figure]]:
    tables: dict[str, list[Figure]] = {}
    runtime = TimedRuntime()
    async with (
        open_bench(Folders(EXAMPLES / "hello", EXAMPLES / "bookshop"), runtime) as service,
        open_server(service) as server,
    ):
        for example in ("hello", "bookshop"):
            await launched(example, service, runtime)  # builds the environment
            values = await interleave_async(
                [
                    partial(by_hand, example, runtime),
                    partial(launched, example, service, runtime),
                    partial(launched_over_http, example, service, server),
                ],
                rounds=rounds,
            )
            compared = compare({name: values[name] for name in (FLOOR, HEALTHY)}, floor=FLOOR, unit="ms")
            alone = {name: values[name] for name in (STARTED, FIRST_LINE, FIRST_LINE_HTTP)}
            tables[f"examples/{example}, environment cached"] = compared + compare(alone, floor=None, unit="ms")
            report(f"examples/{example}, environment cached", tables[f"examples/{example}, environment cached"])
    return tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--save", type=Path, default=None, help="raw values as JSON")
    options = parser.parse_args()
    save(options.save, "launch", trio.run(measure, options.rounds))


if __name__ == "__main__":
    main()
