"""Start trio for a command, so that a failure has one sentence."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import trio

from preview.errors import PreviewError

T = TypeVar("T")


def run_async(main: Callable[[], Awaitable[T]]) -> T:
    """Run like ``trio.run``, but raise a single failure directly, without the groups that nurseries wrap it in.

    Raises:
        BaseExceptionGroup: There are several failures, and not all of them are ``PreviewError``.
    """
    try:
        return trio.run(main)
    except BaseExceptionGroup as group:
        leaves = list(_leaves(group))
        if len(leaves) == 1 or all(isinstance(leaf, PreviewError) for leaf in leaves):
            raise leaves[0] from group
        raise


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
