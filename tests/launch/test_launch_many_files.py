"""A service with very many open files still launches: numbers of descriptors are no limit of a preview."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from launch_kit import Rig, ask, story
from test_launch_delays import KINDS

from preview.core.lifecycle import State

# select(2) takes no descriptor from this number on (FD_SETSIZE).
_SELECTABLE = 1024


@contextmanager
def many_open_files() -> Iterator[None]:
    """Use up all numbers of descriptors that select(2) takes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2 * _SELECTABLE:
        pytest.skip("this process may not open so many files")
    with ExitStack() as stack:
        if soft != resource.RLIM_INFINITY and soft < 2 * _SELECTABLE:
            resource.setrlimit(resource.RLIMIT_NOFILE, (2 * _SELECTABLE, hard))
            stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        number = 0
        while number <= _SELECTABLE:
            number = os.open(os.devnull, os.O_RDONLY)
            stack.callback(os.close, number)
        yield


@pytest.mark.long
async def test_a_preview_starts_beside_a_thousand_open_files(rig: Rig) -> None:
    with many_open_files():
        preview = await rig.start(*KINDS["waitress"])
        assert preview.record.state is State.RUNNING, story(preview)
        assert (await ask(preview)).text == "hello"
