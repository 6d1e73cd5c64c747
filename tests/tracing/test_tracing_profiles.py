"""A profile comes from a stranger's process: everything about it has a bound, and nothing about it is believed."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.lowlevel
from hypothesis import given
from hypothesis import strategies as some

from preview.cli.commands.history import profile as command
from preview.core.quoting import visible
from preview.http.contracts.history.profiles import ProfileShape
from preview.runtime.launchers import LAUNCHERS
from preview.supervisor.preview.control import open_control
from preview.tracing import Profile, Profiles, ProfileState, functions_of
from preview.tracing.profile import MOST_DEPTH, MOST_NODES, MOST_PROFILE_BYTES, MOST_PROFILES

END = b"profiles 1 [2000000,400,0]"
HOSTILE = "\x1b[2J\u202e\n"


def node(parent: int = -1, name: str = "books", own_us: int = 5, calls: int = -1, place: str = "main.py:3") -> bytes:
    return b"profile 1 " + json.dumps([parent, name, place, own_us, calls]).encode()


def taken(*lines: bytes) -> Profile:
    profile = Profile(1, 10)
    for line in lines:
        profile.take(line)
    return profile


BAD: list[bytes] = [
    b"profile 1 [",
    b"profile 1 []",
    b"profile 1 " + b"[" * 1900,
    b"profile 1 [" + b"9" * 1900 + b"]",
    node(parent=0),
    node(parent=5),
    node(parent=-2),
    node(own_us=-1),
    node(own_us=10**30),
    node(calls=-2),
    node(name="x" * 3000),
    b'profile 1 [true,"a","b",1,1]',
    b'profile 1 [-1,"a","b",1.5,1]',
    b'profile 1 [-1,["a"],"b",1,1]',
    b'profile 1 [-1,"a","b",1,1,1]',
    b"profiles 1 []",
    b"profiles 1 [1,2,-3]",
    b"profiles 1 [1,2,true]",
    b"profiles 1 [NaN,1,1]",
    node() + b"\xff",
]


@pytest.mark.parametrize("line", BAD, ids=range(len(BAD)))
async def test_what_is_no_profile_ends_it_without_a_result(line: bytes) -> None:
    profile = taken(line, node(), END)
    assert (profile.state, list(profile.nodes)) == (ProfileState.FAILED, [])


async def test_lines_of_other_profiles_and_after_the_end_have_no_effect() -> None:
    profile = taken(b"profile 2 []", b"profiles 0 [1,1,1]", b"profile", node(), END, node(), b"profile 1 []", END)
    assert profile.state is ProfileState.FINISHED
    assert len(profile.nodes) == 1


async def test_too_many_nodes_too_deep_ones_and_too_many_bytes_end_it() -> None:
    for lines in (
        [node()] * (MOST_NODES + 1),
        [node(parent=at - 1) for at in range(MOST_DEPTH + 1)],
        [node(name="x" * 1900)] * (MOST_PROFILE_BYTES // 1900 + 1),
    ):
        assert taken(*lines, END).state is ProfileState.FAILED
    deepest = taken(*[node(parent=at - 1) for at in range(MOST_DEPTH)], END)
    assert (deepest.state, deepest.nodes[-1].depth) == (ProfileState.FINISHED, MOST_DEPTH - 1)


@given(some.lists(some.tuples(some.integers(-1, 30), some.text(), some.integers(0, 10**9)), max_size=30))
def test_any_tree_keeps_its_time_and_has_parents_first(given_nodes: list[tuple[int, str, int]]) -> None:
    async def check() -> None:
        lines = [
            node(min(parent, at - 1), name, own_us, place=name) for at, (parent, name, own_us) in enumerate(given_nodes)
        ]
        if any(len(line) > 2048 for line in lines):
            return
        profile = taken(*lines, END)
        assert profile.state is ProfileState.FINISHED
        assert sum(one.own_us for one in profile.nodes) == sum(own_us for _, _, own_us in given_nodes)
        for at, one in enumerate(profile.nodes):
            assert one.parent < at
            assert one.depth == (0 if one.parent < 0 else profile.nodes[one.parent].depth + 1)
            children = [other.total_us for other in profile.nodes if other.parent == at]
            assert one.total_us == one.own_us + sum(children)
            assert children == sorted(children, reverse=True)
            assert visible(one.name + one.place) == one.name + one.place
        assert sum(one.own_us for one in functions_of(profile.nodes)) == sum(one.own_us for one in profile.nodes)
        ProfileShape.of(profile, "preview_a").dumped()

    trio.run(check)


async def test_a_function_that_calls_itself_counts_its_time_once() -> None:
    profile = taken(node(own_us=1), node(0, own_us=2), node(1, "other", own_us=4), END)
    books, other = sorted(functions_of(profile.nodes), key=lambda one: one.name)
    assert (books.own_us, books.total_us, other.total_us) == (3, 7, 4)


async def test_a_process_that_does_not_answer_has_failed_after_its_time(autojump_clock: trio.testing.MockClock) -> None:
    profiles = Profiles()
    started = profiles.begin(10)
    assert started is not None
    assert started[1] == b"profile 1 10\n"
    await trio.sleep(15)
    assert profiles.is_running
    await trio.sleep(10)
    assert not profiles.is_running
    profiles.take(node())
    assert started[0].state is ProfileState.FAILED


async def test_one_process_is_measured_a_limited_number_of_times() -> None:
    profiles = Profiles()
    assert all(profiles.begin(1) for _ in range(MOST_PROFILES))
    assert profiles.begin(1) is None


async def test_over_the_channel_one_runs_at_a_time_and_a_flood_ends_only_the_profile(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with open_control() as control, trio.fail_after(20):
        theirs = control.theirs.dup()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(control.listen)
            assert control.profile(1) is None
            theirs.send(b"ready\nprofile 1 []\n")
            await control.ready.wait()
            profile = control.profile(1)
            assert profile is not None
            assert control.profile(60) is profile
            assert theirs.recv(100) == b"profile 1 1\n"
            theirs.setblocking(True)
            theirs.send(node() + b"\n" + END + b"\n")
            while profile.state is ProfileState.RUNNING:
                await trio.lowlevel.checkpoint()
            assert [one.name for one in profile.nodes] == ["books"]
            second = control.profile(1)
            theirs.setblocking(False)
            await _flood(theirs, (b"profile 2 []" + b" " * 1000 + b"\n") * 400 + b"closed\n")
            await control.closed.wait()
            theirs.close()
            control.has_started()
        assert second is not None
        assert second.state is ProfileState.FAILED


async def _flood(theirs: Any, message: bytes) -> None:
    while message:
        await trio.lowlevel.wait_writable(theirs)
        with suppress(BlockingIOError):
            message = message[theirs.send(message[:4096]) :]


async def test_a_profile_that_is_too_large_ends_itself_and_not_the_channel(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with open_control() as control, trio.fail_after(60):
        theirs = control.theirs.dup()
        theirs.setblocking(False)
        control.has_started()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(control.listen)
            theirs.send(b"ready\n")
            await control.ready.wait()
            profile = control.profile(1)
            assert profile is not None
            await _flood(theirs, (node(name="x" * 1800) + b"\n") * 400 + b"closed\n")
            await control.closed.wait()
            assert profile.state is ProfileState.FAILED
            assert control.ask_to_drain()
            # Once it drains, a flood ends the channel.
            nursery.start_soon(_flood, theirs, b"profile 1 []\n" * 200_000)
            await control._over.wait()
            nursery.cancel_scope.cancel()
        theirs.close()


LONG = """
import sys
sys.path[:0] = [sys.argv[1] + "/tracing"]
import preview_profile
from types import SimpleNamespace
codes = preview_profile._Codes(["/root"])
tree = preview_profile._Tree(codes)
for at in range(600):
    place = {"co_filename": "/root/%d\U0001f4da" % at * 99, "co_firstlineno": at}
    code = type("Code", (), {"co_name": "\u4e66" * 200, **place})
    tree._add(SimpleNamespace(f_code=code, f_back=None, f_globals={}), 7)
sent = []
preview_profile._report(1, (1000, tree, preview_profile._Calls(codes)), lambda message: not sent.append(message))
sys.stdout.buffer.write(b"".join(sent))
"""
LONG_IN_NODE = """
const { report } = require(process.argv[1] + "/tracing/profile.cjs");
const nodes = [{ id: 0, callFrame: { url: "" } }];
for (let at = 1; at <= 600; at += 1) {
  const url = `/root/${at}` + "\\u4e66\\ud83d".repeat(99);
  nodes.push({ id: at, callFrame: { url, lineNumber: at, functionName: "\u4e66".repeat(200) } });
}
const profile = { nodes, startTime: 0, endTime: 9, samples: nodes.map(({ id }) => id), timeDeltas: nodes.map(() => 7) };
report(1, profile, "/root", process.stdout);
"""


@pytest.mark.parametrize("words", [(sys.executable, "-c", LONG), ("node", "-e", LONG_IN_NODE)], ids=["python", "node"])
async def test_senders_leave_out_what_the_service_would_not_take(words: tuple[str, ...]) -> None:
    done = await trio.run_process([*words, str(LAUNCHERS)], capture_stdout=True)
    profile = taken(*done.stdout.splitlines())
    assert profile.state is ProfileState.FINISHED, len(done.stdout)
    assert 100 < len(profile.nodes) < MOST_NODES
    assert profile.left_out == 600 - len(profile.nodes)
    assert profile.nodes[0].name.startswith("\u4e66")


def test_hostile_names_have_no_effect_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    one = {"name": HOSTILE, "place": HOSTILE * 99, "calls": None, "own_ms": 9.0, "total_ms": 9.0, "depth": 0}
    found = {"nodes": [one], "functions": [one], "elapsed_ms": 1000.0, "samples": 3, "left_out": 1}
    for by_function in (False, True):
        command._print(found, by_function=by_function, whole=False)
        said = capsys.readouterr()
        assert "\x1b" not in said.out + said.err
        assert "\u202e" not in said.out + said.err
        assert "Python 3.12" in said.err


PROJECT = """
import json, threading, time
def busy(until):
    while time.monotonic() < until: sum(range(200))
def asks(until):
    while time.monotonic() < until: wait()
def wait():
    time.sleep(0.002)
def counted():
    pass
def main():
    until = time.monotonic() + 1.1
    other = threading.Thread(target=asks, args=(until,))
    other.start()
    for _ in range(50): counted()
    import os, sys
    child = os.fork()
    if child == 0:
        # Nothing is measured in a fork.
        tools = [sys.monitoring.get_tool(one) for one in (2, 3, 4)] if hasattr(sys, "monitoring") else []
        os._exit(sys.getswitchinterval() < 0.004 or any(tools))
    assert os.waitpid(child, 0)[1] == 0
    busy(until)
    other.join()
"""
MEASURED = """
import sys, threading
sys.path[:0] = [sys.argv[1] + "/tracing", sys.argv[2]]
import preview_profile, project
sent, over = [], threading.Event()
def send(message):
    sent.append(message)
    if b"profiles " in message: over.set()
    return True
preview_profile.start(1, 1, [sys.argv[2]], send)
preview_profile.start(2, 1, [sys.argv[2]], send)
interval = sys.getswitchinterval()
project.main()
assert over.wait(20)
assert max(map(len, sent)) <= 4096
sys.stdout.buffer.write(b"".join(sent))
"""


def pythons() -> list[str]:
    """Return this interpreter, and one from 3.12 on if the machine has it."""
    later = [*Path("/root/.pyenv/versions").glob("3.1[2-9]*/bin/python3"), *Path("/usr/bin").glob("python3.1[2-9]")]
    return [sys.executable, *map(str, later[:1])]


@pytest.mark.parametrize("python", pythons())
def test_time_and_calls_of_the_projects_functions_are_measured(python: str, tmp_path: Path) -> None:
    (tmp_path / "project.py").write_text(PROJECT)
    words = [python, "-c", MEASURED, str(LAUNCHERS), str(tmp_path)]
    done = subprocess.run(words, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr

    async def read() -> Profile:
        return taken(*done.stdout.splitlines())

    profile = trio.run(read)
    assert profile.state is ProfileState.FINISHED
    found = {one.name: one for one in functions_of(profile.nodes)}
    assert found["busy"].place == "project.py:3"
    assert found["busy"].own_us > 300_000
    assert found["wait"].own_us > 300_000
    assert found["asks"].total_us >= found["wait"].total_us
    assert all(one.total_us <= profile.elapsed_us for one in profile.nodes)
    counts = python != sys.executable or sys.version_info >= (3, 12)
    # 400 on a quiet machine.
    assert (found["wait"].calls or 0) > 10 if counts else found["wait"].calls is None
