"""One look at the service's children for all who want one, and who gives way."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import child_programs as programs
import trio
from runtime_fixtures import starter
from runtime_kit import read_line, zombies

from preview.runtime import Exit, PlainRuntime, child_subreaper
from preview.runtime.kernel import proctree
from preview.runtime.process.adopted import Adopted, Look
from preview.runtime.process.ending import give_way

MARK = "preview_marked"
# Forks a child in its session, says its pid, and ends ahead of it; the child ends when its input does.
ORPHAN = """
import os, sys
pid = os.fork()
if pid == 0:
    sys.stdin.read()
    os._exit(0)
print(pid, flush=True)
"""


class Counted(Adopted):
    looks = 0

    def take(self) -> Look:
        self.looks += 1
        return super().take()


@contextmanager
def child(program: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", program],
        env={proctree.MARKER: MARK},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def pids(look: Look, marker: str = MARK) -> list[int]:
    return [one.identity.pid for one in look.candidates(marker) if one.marker == marker]


async def test_who_asks_at_the_same_moment_shares_a_look() -> None:
    adopted = Counted()
    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(adopted.look)
    assert adopted.looks == 1


async def test_a_look_is_never_older_than_the_question() -> None:
    adopted = Adopted()
    await adopted.look()
    with child(programs.SLEEP) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert pids(await adopted.look()) == [process.pid]
        assert pids(adopted.recent(60)) == [process.pid]


async def test_a_recent_look_is_taken_as_it_was() -> None:
    adopted = Counted()
    first = await adopted.look()
    assert adopted.recent(60) is first
    assert adopted.recent(0) is not first
    assert adopted.looks == 2


async def test_an_orphan_that_has_ended_is_reaped_and_a_child_that_somebody_waits_for_is_not() -> None:
    adopted = Adopted()
    with child_subreaper(), child(ORPHAN) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        orphan = proctree.identify(int(parent.stdout.readline()))
        leader = proctree.identify(parent.pid)
        assert orphan is not None
        assert leader is not None
        with trio.fail_after(60):
            await proctree.wait_ended(leader)
            parent.stdin.close()
            await proctree.wait_ended(orphan)
        look = await adopted.look()
        assert leader in look.ended
        assert orphan not in look.ended
        assert proctree.identify(orphan.pid) != orphan
        assert parent.wait() == 0


async def test_many_that_stop_at_once_take_few_looks(listener: socket.socket, tmp_path: Path) -> None:
    runtime = PlainRuntime()
    runtime._adopted = adopted = Counted()
    async with AsyncExitStack() as stack:
        processes = []
        for number in range(20):
            folder = tmp_path / str(number)
            folder.mkdir()
            process = await stack.enter_async_context(starter(runtime, listener, folder)(programs.ON_TERM_SAY_BYE))
            assert await read_line(process) == "up"
            processes.append(process)
        ended: list[Exit] = []

        async def stop(number: int) -> None:
            ended.append(await processes[number].stop(10))

        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(stop, number)
        assert ended == [Exit(code=0)] * 20
        # Each of them looks four times.
        assert adopted.looks < 60
    assert zombies() == []


async def test_what_ends_with_the_service_gives_way_and_no_other_process_does() -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    with child(programs.SLEEP) as told, child(programs.SLEEP) as other:
        one, another = proctree.identify(told.pid), proctree.identify(other.pid)
        assert one is not None
        assert another is not None
        give_way([one, replace(another, start_ticks=1)])
        assert os.getpriority(os.PRIO_PROCESS, told.pid) > before
        assert os.getpriority(os.PRIO_PROCESS, other.pid) == before
