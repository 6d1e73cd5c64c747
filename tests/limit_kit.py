"""A process that is short of file descriptors, or of what else the kernel limits."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import trio

__all__ = ["limited", "no_descriptor_for_a_moment", "no_descriptor_free"]

_MOMENT_S = 0.05
# Standard input, output and error; what is open beside them stays open.
_NONE_FURTHER = 3


@contextmanager
def limited(what: int, most: int) -> Iterator[None]:
    """This process has a lower soft limit of one of ``RLIMIT_*``."""
    before = resource.getrlimit(what)
    resource.setrlimit(what, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(what, before)


def no_descriptor_free() -> AbstractContextManager[None]:
    """Nothing can be opened in this process."""
    return limited(resource.RLIMIT_NOFILE, _NONE_FURTHER)


async def no_descriptor_for_a_moment(*, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """A task that has begun when nothing can be opened any more. Cancellation: it can be again."""
    with no_descriptor_free():
        task_status.started()
        await trio.sleep(_MOMENT_S)
