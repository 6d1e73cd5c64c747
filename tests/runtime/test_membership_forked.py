"""A process that is forked for a preview while its old one is being ended is not taken for one of the old one's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from preview.runtime import proctree
from preview.runtime.adopted import Child, Look
from preview.runtime.membership import Membership


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
        assert found == ([forked.pid] if is_of_the_first else [])
