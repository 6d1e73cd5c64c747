"""Removing a folder that somebody else's program has written in: protected, linked and nested as it pleased."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import structlog

__all__ = ["remove_folder"]

log = structlog.get_logger(__name__)

# Two programs over a tree that was made to be in the way; the caller's own bound is shorter.
_PROGRAM_TIMEOUT_S = 60


def remove_folder(directory: Path) -> None:
    """Remove a folder and all below it; links are removed, never followed. Nothing happens where there is none.

    What cannot be removed is logged and left. Blocks: call it in a thread.
    """
    try:
        shutil.rmtree(directory, onerror=_make_writable_and_retry)
    except RecursionError:
        # Deeper than Python's stack goes; fts(3), which these two walk by, has no such bound.
        _remove_by_program(directory)


def _make_writable_and_retry(
    function: Callable[..., object], path: str, info: tuple[object, BaseException, object]
) -> None:
    """A child may have taken away its own folders' permissions; they are ours to give back. Missing is fine."""
    error = info[1]
    if isinstance(error, FileNotFoundError):
        return
    if not isinstance(error, PermissionError):
        log.warning("not removed", path=path, error=str(error))
        return
    try:
        parent = Path(path).parent
        parent.chmod(stat.S_IRWXU)
        if function in (os.open, os.scandir, os.listdir, os.lstat):
            Path(path).chmod(stat.S_IRWXU)
            shutil.rmtree(path)
        else:
            function(path)
    except FileNotFoundError:
        return
    except OSError as problem:
        log.warning("not removed", path=path, error=str(problem))


def _remove_by_program(directory: Path) -> None:
    for command in (["chmod", "-R", "u+rwX"], ["rm", "-rf"]):
        try:
            subprocess.run(
                [*command, "--", str(directory)], capture_output=True, timeout=_PROGRAM_TIMEOUT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            log.warning("not removed", path=str(directory), error=str(error))
            return
    if directory.exists():
        log.warning("not removed", path=str(directory), error="rm -rf left it")
