"""What a preview holds on this machine, and whether it is gone afterwards: looked at, not believed."""

from __future__ import annotations

from pathlib import Path

import psutil

from preview.cli.local.ports import can_bind
from preview.cli.local.story import Freed

# What makes a sandbox, and waits outside of it and in it.
_SANDBOX = "bwrap"


class Holdings:
    """The processes, port and folder of one preview, noted while it runs.

    Args:
        pid: Its leader, if it has one.
        host: The address it listens on.
        port: Its port, if it has one.
        folder: Its working folder, if it has one.
    """

    def __init__(self, *, pid: int | None, host: str, port: int | None, folder: Path | None) -> None:
        self._host = host
        self._port = port
        self._folder = folder
        self._processes = _tree(pid) if pid is not None else []
        # All are looked at afterwards; the person counts their own.
        self._count = sum(_name(one) != _SANDBOX for one in self._processes)

    def freed(self) -> Freed:
        """Look again. Blocks for a moment (system calls only)."""
        left = [f"process {one.pid} ({_name(one)})" for one in self._processes if _runs(one)]
        if self._port is not None and not can_bind(self._host, self._port):
            left.append(f"a listener on port {self._port}")
        if self._folder is not None and self._folder.exists():
            left.append(f"the folder {self._folder}")
        return Freed(self._count, self._port, int(self._folder is not None), left)


def _tree(pid: int) -> list[psutil.Process]:
    try:
        leader = psutil.Process(pid)
        return [leader, *leader.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _runs(process: psutil.Process) -> bool:
    """Whether this very process (pid and start time) is there; one that only waits to be reaped is gone."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return "?"
