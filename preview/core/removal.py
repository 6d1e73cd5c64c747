"""Remove a folder in which an untrusted program has written: protected files, links, mounts, deep nesting."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import structlog

from preview.core.descriptors import is_want_of_descriptors

log = structlog.get_logger(__name__)

# Limit for each of the two programs; the caller's own limit is shorter.
_PROGRAM_TIMEOUT_S = 60
# linux/fs.h, sys/mount.h
_MNT_DETACH, _UMOUNT_NOFOLLOW = 2, 8
# mountinfo writes blanks, line feeds and backslashes as octal numbers.
_ESCAPED = re.compile(rb"\\([0-7]{3})")
_libc = ctypes.CDLL(None, use_errno=True)


def remove_folder(directory: Path) -> None:
    """Remove a folder with its content; links are removed, never followed. Does nothing if the folder does not exist.

    Mounts in the folder are unmounted first; if that fails, nothing is removed. Anything that cannot be removed is
    logged and stays. Blocks: call this in a thread.
    """
    if not _let_go_of_mounts(directory):
        return
    try:
        shutil.rmtree(directory, onerror=_make_writable_and_retry)
    except RecursionError:
        # Deeper than Python's recursion limit. fts(3), which chmod and rm use, has no such limit.
        _remove_by_program(directory)
    except OSError as error:
        if not is_want_of_descriptors(error):
            raise
        # ``rmtree`` needs a descriptor per level; fts(3) needs only a few in all.
        _remove_by_program(directory)


def _let_go_of_mounts(directory: Path) -> bool:
    """Unmount everything at or below the folder; return True if no mount is left.

    An unconfined program of root can mount another folder here. Removing the mount point's content would remove that
    other folder's content.
    """
    try:
        mounts = _mounts_in(directory)
    except OSError as error:
        # For instance out of descriptors: the caller tries again later.
        log.warning("not removed", path=str(directory), error=str(error))
        return False
    for path in reversed(mounts):
        if _libc.umount2(path, _MNT_DETACH | _UMOUNT_NOFOLLOW) != 0:
            why = os.strerror(ctypes.get_errno())
            log.error("mount not removed", path=os.fsdecode(path), error=why)
            return False
    return True


def _mounts_in(directory: Path) -> list[bytes]:
    """Return the mount points at or below the folder, the outer ones first (proc(5), mountinfo, field 5)."""
    folder = os.fsencode(directory.absolute())
    with open("/proc/self/mountinfo", "rb") as file:  # noqa: PTH123  bytes: names need not be valid text
        points = [_ESCAPED.sub(_unescape, line.split(b" ", 5)[4]) for line in file]
    return [point for point in points if point == folder or point.startswith(folder + b"/")]


def _unescape(match: re.Match[bytes]) -> bytes:
    return bytes([int(match[1], 8)])


def _make_writable_and_retry(
    function: Callable[..., object], path: str, info: tuple[object, BaseException, object]
) -> None:
    """Restore permissions that a preview removed from its own folders, and retry. Ignores missing files."""
    error = info[1]
    if isinstance(error, FileNotFoundError):
        return
    if is_want_of_descriptors(error):
        raise error
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
