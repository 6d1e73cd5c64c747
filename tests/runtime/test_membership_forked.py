"""A process that is forked for a preview while its old one is being ended is not taken for one of the old one's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import child_programs as programs
import pytest
import trio
from runtime_kit import LIMITS, PYTHON

from preview.runtime import PlainRuntime, ProcessSpec, child_subreaper
from preview.runtime.kernel import proctree
from preview.runtime.kernel.verified import as_known
from preview.runtime.process.adopted import Child, Look
from preview.runtime.process.membership import Membership


@pytest.fixture
def pipe() -> Iterator[int]:
    ends = os.pipe()
    yield ends[0]
    for end in ends:
        os.close(end)


@contextmanager
def process(folder: Path, marker: str) -> Iterator[subprocess.Popen[bytes]]:
    program = [sys.executable, "-I", "-S", "-c", "input()"]
    environment = {proctree.MARKER: marker}
    with subprocess.Popen(
        program, cwd=folder, env=environment, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ) as started:
        try:
            yield started
        finally:
            started.kill()


@pytest.mark.parametrize(("marker", "is_of_the_first"), [("preview_a", True), ("preview_a-2", False)])
def test_a_process_that_had_no_mark_yet_belongs_to_whom_its_mark_says(
    tmp_path: Path, pipe: int, marker: str, is_of_the_first: bool
) -> None:
    with process(tmp_path, "preview_a") as leader, process(tmp_path, marker) as forked:
        # The kernel tells of the exec, by closing what is not inherited, a moment before the variables are there.
        while not Path(f"/proc/{forked.pid}/environ").read_bytes():
            pass
        first, other = proctree.identify(leader.pid), proctree.identify(forked.pid)
        assert first is not None
        assert other is not None
        # As it is seen between fork and exec: in the folder already, in a session of its own.
        look = Look([Child(other, forked.pid, None)], frozenset())
        found = Membership(first, "preview_a", tmp_path, pipe).orphans(look)
        assert [one.identity for one in found] == ([other] if is_of_the_first else [])


@pytest.mark.parametrize("is_started_here", [True, False])
def test_a_process_that_was_started_here_is_no_other_tree_s_orphan_while_its_exec_has_no_variables_yet(
    tmp_path: Path, pipe: int, monkeypatch: pytest.MonkeyPatch, is_started_here: bool
) -> None:
    """Between the moment that its exec lets go on whoever has forked it, and the one that its mark can be read."""
    with process(tmp_path, "preview_a") as leader, process(tmp_path, "preview_a-2") as forked:
        monkeypatch.setattr(proctree, "read_marker", lambda _pid: None)
        first, other = proctree.identify(leader.pid), proctree.identify(forked.pid)
        assert first is not None
        assert other is not None
        leaders = {first, other} if is_started_here else {first}
        look = Look([Child(first, leader.pid, None), Child(other, forked.pid, None)], frozenset())
        found = Membership(first, "preview_a", tmp_path, pipe, leaders)
        assert found.orphans(look) == ([] if is_started_here else as_known([other]))
        found.look(look)
        assert (as_known([other])[0] in found.known) == (not is_started_here)


async def test_a_tree_that_ends_leaves_the_one_alone_that_has_just_been_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = [*PYTHON, programs.SLEEP]
    spec = ProcessSpec("preview_test", argv, tmp_path, environment={}, listener=None, limits=LIMITS)
    runtime = PlainRuntime()
    with trio.fail_after(60), child_subreaper():
        async with runtime.open_process(replace(spec, number=2)) as follows:
            monkeypatch.setattr(proctree, "read_marker", lambda _pid: None)
            async with runtime.open_process(spec) as ends:
                await ends.stop(0)
            monkeypatch.undo()
            assert proctree.is_alive(follows.identity)
        assert runtime._adopted.leaders == set()
