"""A process that is short of file descriptors."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager

import trio

__all__ = ["no_descriptor_for_a_moment", "no_descriptor_free"]

_MOMENT_S = 0.05
# Standard input, output and error; what is open beside them stays open.
_NONE_FURTHER = 3


@contextmanager
def no_descriptor_free() -> Iterator[None]:
    """Nothing can be opened in this process."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_NONE_FURTHER, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def no_descriptor_for_a_moment(*, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """A task that has begun when nothing can be opened any more. Cancellation: it can be again."""
    with no_descriptor_free():
        task_status.started()
        await trio.sleep(_MOMENT_S)
