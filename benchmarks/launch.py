"""How long does a launch take, beside starting the same server by hand?

``uv run python benchmarks/launch.py [--rounds N] [--many N] [--python INTERPRETER] [--save FILE]``

``examples/hello`` and ``examples/bookshop``, their environments built beforehand, previews in the sandbox where this
machine has it. Floor: ``python -m uvicorn --fd`` by hand with the environment's interpreter, on a copy of the project
that lies there already, without any isolation, asked by the same probe until the health route answers 200.

* *new code*: from the request to the first good answer, of code that the service has never seen: each round is the
  project's next generation, with other files; half a second after the launch before;
* *new code, pushed before*: the same for the code of a generation that was pushed half a second ago, to another service
  with a store of its own; it, too, was never launched;
* *restart*: of the same code in place, from the request to an answer of the new process; after some restarts, as the
  first one is what makes the service keep the imported application;
* *first line*: from the request to the first line at a subscriber, in-process; and for a client that posts the launch
  and then opens the stream, over real HTTP;
* *many at once*: until all are healthy, and the memory (PSS) of each, beside as many by hand.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import psutil
import trio
from _measure import Figure, compare, interleave_async, percentile, report, save
from _service import USER, Server, launch, open_bench, open_server, open_sse

from preview.core.clock import utc_now
from preview.environments import EnvironmentCache, EnvironmentRequest, find_jail
from preview.generations import Generation
from preview.logs import Batch
from preview.runtime import Refusal, bind_in_range, probe_sandbox
from preview.service import Service
from preview.supervisor import LaunchRequest
from preview.supervisor.process.probe import wait_until_ready

EXAMPLES = Path(__file__).parents[1] / "examples"
TARGETS = {"hello": "main:app", "bookshop": "app.main:app"}
FLOOR = "floor: uvicorn by hand, to healthy"
NEW = "new code, launch to healthy"
PUSHED = "new code, pushed before, launch to healthy"
RESTART = "restart of the same code, to its answer"
FIRST_LINE = "launch to first line, in-process"
FIRST_LINE_HTTP = "POST launch to first line, over HTTP"


# Ahead of each launch, but those at once: what the one before it has left to do (its files, the place of the next one)
# is done.
QUIET_S = 0.5


class Fresh:
    """Generations that nobody has seen: ``hello-17`` is the example with a line of its own in each file."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._files: dict[str, dict[str, bytes]] = {}

    def new(self, example: str) -> str:
        name = f"{example}-{next(self._numbers)}"
        # Writing the code is whoever generates it's; to put it where it is to run is the launch's.
        self._files[name] = self.files(example)
        return name

    def files(self, example: str) -> dict[str, bytes]:
        return read_project(EXAMPLES / example, str(next(self._numbers)))

    async def get(self, generation_id: str) -> Generation:
        await trio.lowlevel.checkpoint()
        return Generation(generation_id, "benchmark", USER.id, utc_now())

    async def write_files(self, generation_id: str, directory: Path) -> None:
        await trio.to_thread.run_sync(write_project, self._files[generation_id], directory)


def read_project(example: Path, number: str) -> dict[str, bytes]:
    """The example's files, with a line of its own in each."""
    files = [file for file in sorted(example.rglob("*")) if file.is_file() and not is_left(file)]
    return {
        str(file.relative_to(example)): file.read_bytes()
        + (f"\n# {number}\n".encode() if file.suffix == ".py" else b"")
        for file in files
    }


def is_left(file: Path) -> bool:
    """Whether it is what a run has left there."""
    return "__pycache__" in file.parts or file.suffix == ".db"


def write_project(files: Mapping[str, bytes], directory: Path) -> None:
    for name, content in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(content)


@asynccontextmanager
async def by_hand(example: str, python: Path) -> AsyncIterator[tuple[subprocess.Popen[bytes], tuple[str, int]]]:
    """Uvicorn on a copy of the project; the files are there, the port is bound, nobody reads what is printed."""
    with tempfile.TemporaryDirectory(prefix="preview-benchmark-") as folder:
        project = Path(folder) / "project"
        write_project(read_project(EXAMPLES / example, "0"), project)
        with bind_in_range("127.0.0.1", 30_000, 32_000) as listener:
            variables = {
                "PATH": "/usr/bin:/bin", "HOME": folder, "TMPDIR": folder, "LOG_LEVEL": "ERROR",
                "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", "DATABASE_URL": f"sqlite:///{folder}/preview.db",
            }  # fmt: skip
            process = subprocess.Popen(
                [str(python), "-m", "uvicorn", TARGETS[example], "--fd", str(listener.fileno())],
                cwd=project, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, start_new_session=True, pass_fds=(listener.fileno(),),
            )  # fmt: skip
            try:
                yield process, listener.getsockname()
            finally:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


async def floor(example: str, python: Path) -> Mapping[str, float]:
    start = time.perf_counter()
    async with by_hand(example, python) as (_, address):
        start = time.perf_counter()
        await wait_until_ready(address, "/health", any_answer=False)
        return {FLOOR: (time.perf_counter() - start) * 1000}


async def launched(example: str, service: Service, fresh: Fresh) -> Mapping[str, float]:
    """One launch of new code, watched by one subscriber."""
    generation, first_line_at = fresh.new(example), 0.0
    await trio.sleep(QUIET_S)
    start = time.perf_counter()
    answer = await service.previews.launch(LaunchRequest(USER, generation))
    preview = service.previews.find(answer.record.id)
    assert preview is not None
    with preview.log.subscribe() as subscription:
        while not first_line_at:
            if any(isinstance(event, Batch) for event in await subscription.receive()):
                first_line_at = time.perf_counter()
    await preview.settled.wait()
    healthy_at = time.perf_counter()
    assert preview.address is not None, preview.outcome
    await service.previews.stop(generation)
    return {NEW: (healthy_at - start) * 1000, FIRST_LINE: (first_line_at - start) * 1000}


async def pushed(example: str, service: Service, fresh: Fresh) -> Mapping[str, float]:
    """A push to the service's own store, and the launch half a second later; that code has never been launched."""
    library = service.library
    assert library is not None
    made = await library.create(user_id=USER.id, project_id=None, name="", files=fresh.files(example))
    await trio.sleep(QUIET_S)
    start = time.perf_counter()
    preview = await launch(service, made.id)
    elapsed = time.perf_counter() - start
    assert preview.address is not None
    await service.previews.stop(made.id)
    await library.delete(made.id)
    return {PUSHED: elapsed * 1000}


async def launched_over_http(example: str, service: Service, server: Server, fresh: Fresh) -> Mapping[str, float]:
    """A client that opens the stream as soon as it has the answer."""
    generation = fresh.new(example)
    start = time.perf_counter()
    async with await trio.open_tcp_stream(*server.address) as stream:
        await stream.send_all(server.request("POST", f"/api/v1/generations/{generation}/preview/launch", b"{}"))
        answer = await stream.receive_some()
        assert answer.startswith(b"HTTP/1.1 201"), answer
        async with open_sse(server, generation) as messages:
            await anext(messages)
            elapsed = time.perf_counter() - start
    await service.previews.stop(generation)
    return {FIRST_LINE_HTTP: elapsed * 1000}


async def restarted(generation: str, service: Service) -> Mapping[str, float]:
    """One restart of a preview that runs; the old process drains meanwhile."""
    preview = service.previews.require(generation)
    start = time.perf_counter()
    await service.previews.restart(USER, generation)
    await wait_until_ready(preview.socket_address, "/health", any_answer=False)
    return {RESTART: (time.perf_counter() - start) * 1000}


def pss_bytes(pids: list[int]) -> int:
    total = 0
    for pid in pids:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()
        total += next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


async def many(example: str, service: Service, python: Path, fresh: Fresh, count: int) -> Mapping[str, float]:
    """So many at once: until all are healthy, and what each takes."""
    generations = [fresh.new(example) for _ in range(count)]
    start = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for one in generations:
            nursery.start_soon(launch, service, one)
    healthy_s = time.perf_counter() - start
    pids = [service.previews.require(one).record.pid or 0 for one in generations]
    trees = [process.pid for pid in pids for process in (psutil.Process(pid), *psutil.Process(pid).children(True))]
    pss = pss_bytes(trees) / count
    async with trio.open_nursery() as nursery:
        for one in generations:
            nursery.start_soon(service.previews.stop, one)
    return {f"{count} at once, sandboxed": healthy_s * 1000, "memory of each (PSS), sandboxed, MiB": pss / (1 << 20)}


async def many_by_hand(example: str, python: Path, count: int) -> Mapping[str, float]:
    up, over, pids = [], trio.Event(), []

    async def one() -> None:
        async with by_hand(example, python) as (process, address):
            pids.append(process.pid)
            await wait_until_ready(address, "/health", any_answer=False)
            up.append(time.perf_counter())
            if len(up) == count:
                memory.append(pss_bytes(pids) / count)
                over.set()
            await over.wait()

    memory: list[float] = []
    start = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(one)
    return {
        f"floor: {count} at once by hand": (max(up) - start) * 1000,
        "memory of each (PSS), by hand, MiB": memory[0] / (1 << 20),
    }


async def measure(rounds: int, count: int, interpreter: str | None) -> dict[str, list[Figure]]:
    tables: dict[str, list[Figure]] = {}
    fresh = Fresh()
    async with (
        open_bench(fresh, environment_python=interpreter) as service,
        open_server(service) as server,
        open_bench(None, environment_python=interpreter, port_min=26_000, port_max=26_199) as keeping,
    ):
        pythons = {}
        etc = service.settings.data_dir / "sandbox"
        jail = None if isinstance(await probe_sandbox(etc), Refusal) else await find_jail(service.settings, etc)
        for example, target in TARGETS.items():
            entry = f"{target.partition(':')[0].replace('.', '/')}.py"
            async with EnvironmentCache(service.settings, jail).open_environment(
                EnvironmentRequest(EXAMPLES / example, entry=entry), lambda _line, _level: None
            ) as environment:
                pythons[example] = environment.program
        for example, python in pythons.items():
            asked = await trio.run_process([python, "--version"], capture_stdout=True)
            title = f"examples/{example}, environment cached, {asked.stdout.decode().strip()}"
            for _ in range(3):
                await launched(example, service, fresh)  # has its template made
                await pushed(example, keeping, fresh)
                await trio.sleep(1)
            kept = fresh.new(example)
            await launch(service, kept)
            for _ in range(3):
                await restarted(kept, service)
                await trio.sleep(1)
            values = await interleave_async(
                [
                    partial(floor, example, python),
                    partial(launched, example, service, fresh),
                    partial(pushed, example, keeping, fresh),
                    partial(restarted, kept, service),
                    partial(launched_over_http, example, service, server, fresh),
                ],
                rounds=rounds,
            )
            await service.previews.stop(kept)
            compared = compare({name: values[name] for name in (FLOOR, NEW, PUSHED, RESTART)}, floor=FLOOR, unit="ms")
            alone = {name: values[name] for name in (FIRST_LINE, FIRST_LINE_HTTP)}
            tables[title] = compared + compare(alone, floor=None, unit="ms")
            p95 = ", ".join(f"{percentile(values[name], 95):.0f} ms" for name in (FLOOR, NEW, PUSHED, RESTART))
            report(title, tables[title], note=f"95th percentiles of the first four: {p95}")
            if count:
                values = await interleave_async(
                    [
                        partial(many_by_hand, example, python, count),
                        partial(many, example, service, python, fresh, count),
                    ],
                    rounds=max(2, rounds // 10),
                    warm_up=0,
                )
                names = list(values)
                times = {name: values[name] for name in names if "MiB" not in name}
                floor_name = next(name for name in times if name.startswith("floor"))
                ordered = {floor_name: times.pop(floor_name), **times}
                rows = compare(ordered, floor=floor_name, unit="ms")
                rows += compare({name: values[name] for name in names if "MiB" in name}, floor=None, unit="MiB")
                tables[f"examples/{example}, {count} at once"] = rows
                report(f"examples/{example}, {count} at once", rows)
    return tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--many", type=int, default=0, help="how many to launch at once; 0 leaves that out")
    parser.add_argument("--python", default=None, help="the environments' interpreter, as PREVIEW_ENVIRONMENT_PYTHON")
    parser.add_argument("--save", type=Path, default=None, help="the figures as JSON")
    options = parser.parse_args()
    save(options.save, trio.run(measure, options.rounds, options.many, options.python))


if __name__ == "__main__":
    main()
