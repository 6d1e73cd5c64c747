"""Two process trees of one preview, as there are while one takes over from the other: each ends alone."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from runtime_kit import INTERPRETER, LIMITS, PYTHON, read_line

from preview.core.isolation import Network
from preview.runtime import CONTROL_PLACEHOLDER, FD_PLACEHOLDER, Exit, ProcessSpec, Runtime
from preview.runtime.kernel import proctree

pytestmark = pytest.mark.usefixtures("nothing_left_of_it")

# A daemon that outlives its parent: in plain trees the service adopts it, and knows it by its marks.
FORKS_AWAY = """
import os, time
reading, writing = os.pipe()
if os.fork() == 0:
    if os.fork() == 0:
        os.setsid()
        os.write(writing, b'.')
        time.sleep(600)
    os._exit(0)
os.wait()
os.read(reading, 1)
print('away', flush=True)
time.sleep(600)
"""
TALKS = """
import os, sys
os.write(int(sys.argv[1]), b'ready\\n')
print(os.read(int(sys.argv[1]), 64).decode(), end='', flush=True)
"""
# Answers with its number; once it has SIGTERM it accepts nothing more, and ends.
ANSWERS = """
import select, signal, socket, sys
listener = socket.socket(fileno=int(sys.argv[1]))
listener.setblocking(False)
over = []
signal.signal(signal.SIGTERM, lambda *_: over.append(True))
print('up', flush=True)
while not over:
    if not select.select([listener], [], [], 0.02)[0]:
        continue
    try:
        connection, _ = listener.accept()
    except BlockingIOError:
        continue
    with connection:
        connection.recv(16)
        connection.sendall(sys.argv[2].encode())
"""


def tree(listener: socket.socket, project: Path, number: int, program: str) -> ProcessSpec:
    return ProcessSpec(
        preview_id="preview_test",
        argv=[*PYTHON, program],
        directory=project,
        environment={},
        listener=listener,
        limits=LIMITS,
        readable=INTERPRETER,
        writable=(project,),
        slot=listener.getsockname()[1],
        number=number,
    )


@pytest.mark.parametrize("first_ends", [True, False])
async def test_the_end_of_one_tree_is_not_the_others(
    runtime: Runtime, inherited: socket.socket, project: Path, first_ends: bool
) -> None:
    first, second = (tree(inherited, project, number, FORKS_AWAY) for number in (1, 2))
    ends, stays = (first, second) if first_ends else (second, first)
    with trio.fail_after(60):
        async with runtime.open_process(stays) as living:
            assert await read_line(living) == "away"
            before = (await living.usage()).processes
            async with runtime.open_process(ends) as ending:
                assert await read_line(ending) == "away"
                await ending.usage()
                await ending.stop(0.1)
            assert (await living.usage()).processes == before
            assert proctree.is_alive(living.identity)


async def test_a_tree_that_follows_is_found_by_the_previews_id(
    runtime: Runtime, listener: socket.socket, project: Path
) -> None:
    with trio.fail_after(60):
        async with runtime.open_process(tree(listener, project, 2, FORKS_AWAY)) as process:
            assert await read_line(process) == "away"
            if proctree.read_marker(process.identity.pid) is None:
                pytest.skip("what is forked from a template shows the template's environment")
            assert process.identity.pid in proctree.marked(["preview_test"])
            assert process.identity.pid not in proctree.marked(["preview_tes"])


async def test_the_control_channel_is_inherited(runtime: Runtime, listener: socket.socket, project: Path) -> None:
    ours, theirs = socket.socketpair()
    spec = tree(listener, project, 1, TALKS)
    with ours, theirs, trio.fail_after(60):
        with_channel = replace(spec, argv=[*spec.argv, CONTROL_PLACEHOLDER], control=theirs)
        async with runtime.open_process(with_channel) as process:
            ours.setblocking(False)
            await trio.lowlevel.wait_readable(ours)
            assert ours.recv(64) == b"ready\n"
            ours.send(b"drain\n")
            assert await read_line(process) == "drain"


@pytest.mark.long
async def test_no_connection_is_lost_while_one_tree_follows_the_other(
    runtime: Runtime, listener: socket.socket, inherited: socket.socket, project: Path
) -> None:
    if not runtime.shares_listener(Network.NONE):
        pytest.skip("a bridge keeps accepting for a program that has ended: one tree follows the other later")
    first, second = (tree(inherited, project, number, ANSWERS) for number in (1, 2))
    answers: list[str] = []
    is_over = False

    async def ask() -> None:
        while not is_over:
            async with await trio.open_tcp_stream(*listener.getsockname()) as stream:
                await stream.send_all(b"who?")
                answers.append((await stream.receive_some()).decode())

    async def answered(further: int) -> None:
        wanted = len(answers) + further
        while len(answers) < wanted:  # noqa: ASYNC110  the clients tell nobody
            await trio.sleep(0.002)

    with trio.fail_after(60):
        async with runtime.open_process(replace(first, argv=[*first.argv, FD_PLACEHOLDER, "1"])) as before:
            assert await read_line(before) == "up"
            async with (
                runtime.open_process(replace(second, argv=[*second.argv, FD_PLACEHOLDER, "2"])) as after,
                trio.open_nursery() as nursery,
            ):
                for _ in range(4):
                    nursery.start_soon(ask)
                await answered(50)
                assert await read_line(after) == "up"
                assert await before.stop(10) == Exit(code=0)
                await answered(50)
                is_over = True
    assert set(answers) == {"1", "2"}
    assert answers[-20:] == ["2"] * 20
