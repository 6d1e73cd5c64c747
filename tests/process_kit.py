"""What the kernel says of a process, for tests."""

from __future__ import annotations

from preview.runtime.kernel.proctree import read_stat


def is_zombie(pid: int) -> bool:
    """Whether a process has ended and waits to be reaped."""
    stat = read_stat(pid)
    return stat is not None and stat.has_ended
