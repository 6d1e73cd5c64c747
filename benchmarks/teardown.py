"""How long until nothing of a stopped preview is left?

``uv run python benchmarks/teardown.py [--previews N] [--rounds N] [--save FILE]``

One idle preview, and many stopped at once: from asking until processes, port and files are gone, all lines are stored
and the row says ``stopped``. Floor: signal the groups, reap, close the sockets, remove the folders, with as many
children of the same program; no log, no database.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import trio
from _measure import Figure, compare, interleave_async, report, save
from _service import CHILD, LightRuntime, Programs, launch, open_bench

from preview.service import Service
from preview.supervisor import LivePreview

PROGRAM = CHILD.format(extra="")
FLOOR, STOP = "floor: killpg, waitpid, rmtree", "stop"


def by_hand_ready(folder: Path) -> tuple[subprocess.Popen[bytes], socket.socket, Path]:
    """A child that listens and has said so."""
    folder.mkdir()
    for name in ("main.py", "requirements.txt", "behave.py"):
        (folder / name).write_text(PROGRAM)
    listener = socket.create_server(("127.0.0.1", 0))
    child = subprocess.Popen(
        [sys.executable, "-I", "-S", str(folder / "behave.py"), str(listener.fileno())],
        stdout=subprocess.PIPE, start_new_session=True, pass_fds=(listener.fileno(),),
    )  # fmt: skip
    assert child.stdout is not None
    child.stdout.readline()
    return child, listener, folder


async def by_hand(previews: int) -> Mapping[str, float]:
    with tempfile.TemporaryDirectory(prefix="preview-benchmark-") as root:
        ready = [by_hand_ready(Path(root) / str(number)) for number in range(previews)]
        start = time.perf_counter()
        for child, _, _ in ready:
            os.killpg(child.pid, signal.SIGTERM)
        for child, listener, folder in ready:
            child.wait()
            listener.close()
            shutil.rmtree(folder)
        elapsed = time.perf_counter() - start
        for child, _, _ in ready:
            assert child.stdout is not None
            child.stdout.close()
    await trio.lowlevel.checkpoint()
    return {FLOOR: elapsed * 1000}


async def stopped(service: Service, source: Programs, previews: int) -> Mapping[str, float]:
    running: list[LivePreview] = []

    async def start_one(generation_id: str) -> None:
        running.append(await launch(service, generation_id))

    async with trio.open_nursery() as nursery:
        for number in range(previews):
            source.programs[f"idle{number}"] = PROGRAM
            nursery.start_soon(start_one, f"idle{number}")
    held = [(one.record.pid, one.socket_address, one.directory) for one in running]
    start = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for preview in running:
            nursery.start_soon(service.previews.stop, preview.record.generation_id)
    elapsed = time.perf_counter() - start
    for pid, address, directory in held:
        assert directory is not None
        assert not Path(f"/proc/{pid}").exists()
        assert not directory.exists()
        socket.create_server(address).close()
    return {STOP: elapsed * 1000}


async def measure(previews: int, rounds: int) -> dict[str, list[Figure]]:
    tables: dict[str, list[Figure]] = {}
    source = Programs()
    async with open_bench(source, LightRuntime(), startup_timeout_s=60) as service:
        for count, times in ((1, 3 * rounds), (previews, rounds)):
            variants = [partial(by_hand, count), partial(stopped, service, source, count)]
            values = await interleave_async(variants, rounds=times)
            title = f"{count} preview{'s at once' if count > 1 else ''} until all is gone"
            tables[title] = compare(values, floor=FLOOR, unit="ms")
            report(title, tables[title])
    return tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--previews", type=int, default=50, help="stopped at once")
    parser.add_argument("--rounds", type=int, default=5, help="of the many; one alone is measured three times as often")
    parser.add_argument("--save", type=Path, default=None, help="the figures as JSON")
    options = parser.parse_args()
    save(options.save, trio.run(measure, options.previews, options.rounds))


if __name__ == "__main__":
    main()
