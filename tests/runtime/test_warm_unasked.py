"""What a template says unasked: packages run in it, and may say anything on its socket."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing
from runtime_kit import open_descriptors

from preview.runtime import inbound
from preview.runtime.warm.origin import TemplateOrigin
from preview.runtime.warm.packets import open_pair
from preview.runtime.warm.pool import Bounds, TemplatePool
from preview.runtime.warm.template_process import Template, Told
from preview.runtime.warm.wanted import RememberedTemplates, Wanted


# Seventy are more than there is room for, upon which the kernel cuts them off.
@pytest.mark.parametrize("descriptors", [0, 3, 70])
async def test_a_template_that_speaks_unasked_is_used_no_more_and_harms_nobody(
    tmp_path: Path, descriptors: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As on a kernel that cannot refuse descriptors at the sender.
    monkeypatch.setattr(inbound, "_SO_PASSRIGHTS", 9999)
    theirs: list[socket.socket] = []

    @asynccontextmanager
    async def open_template(_wanted: Wanted) -> AsyncIterator[Template]:
        with open_pair() as (ours, other):
            theirs.append(other)
            yield Template(ours, Told(1, frozenset(), {}, 1), TemplateOrigin(None, 0, frozenset()))

    before = open_descriptors()
    async with trio.open_nursery() as nursery:
        bounds = Bounds(templates=1, memory_bytes=1, max_age_s=60)
        pool = TemplatePool(nursery, open_template, bounds, RememberedTemplates(tmp_path))
        pool.want(Wanted("key", tmp_path / "python", tmp_path, (), frozenset(), ()))
        await trio.testing.wait_all_tasks_blocked()
        assert pool.ready == ["key"]
        socket.send_fds(theirs[0], [b"hello"], [0] * descriptors)
        with trio.fail_after(60):
            while pool.ready:
                await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    with trio.fail_after(60):
        # They are closed in a thread.
        while not open_descriptors() <= before:  # noqa: ASYNC110  nobody tells
            await trio.sleep(0.001)
