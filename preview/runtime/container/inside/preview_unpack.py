"""Copies the image's working folder into the folder in memory that the container has at its path.

The archive comes from the engine, and belongs to the preview: this runs as the preview's user, in its container, so it
can write nothing that the program could not write. Standard library only.
"""

from __future__ import annotations

import os
import stat
import tarfile
from contextlib import suppress

# The user owns all copies, and changes them.
_OWNER_FILE, _OWNER_FOLDER = 0o600, 0o700


def unpack(descriptor: int, folder: str) -> None:
    """Copy a tar archive, whose names begin with the folder's last part, into the folder. Devices are left out."""
    folders = []
    with os.fdopen(descriptor, "rb") as file, tarfile.open(fileobj=file, mode="r:") as archive:
        for one in archive:
            parts = [part for part in one.name.split("/") if part not in ("", ".", "..")][1:]
            path = os.path.join(folder, *parts)  # noqa: PTH118
            if one.isdir():
                os.makedirs(path, exist_ok=True)  # noqa: PTH103
                folders.append((path, one))
            elif one.issym():
                os.symlink(one.linkname, path)  # noqa: PTH211
            elif one.islnk():
                target = [part for part in one.linkname.split("/") if part not in ("", ".", "..")][1:]
                link(os.path.join(folder, *target), path)  # noqa: PTH118
            elif one.isreg():
                copy(archive, one, path)
    for path, one in reversed(folders):
        finish(path, one, _OWNER_FOLDER)


def link(target: str, path: str) -> None:
    """Make a second name of a file; a copy, if the two lie on different file systems, such as a volume."""
    try:
        os.link(target, path)
    except OSError:
        with suppress(OSError), open(target, "rb") as source, open(path, "wb") as file:  # noqa: PTH123
            while piece := source.read(1 << 20):
                file.write(piece)


def copy(archive: tarfile.TarFile, one: tarfile.TarInfo, path: str) -> None:
    """Copy one file with its mode and time."""
    content = archive.extractfile(one)
    assert content is not None  # noqa: S101
    with open(path, "wb") as file:  # noqa: PTH123
        while piece := content.read(1 << 20):
            file.write(piece)
    finish(path, one, _OWNER_FILE)


def finish(path: str, one: tarfile.TarInfo, least: int) -> None:
    """Set mode and time; compiled files of Python name the time of their source."""
    # A folder in memory of another kind, such as a volume, may belong to root.
    with suppress(PermissionError):
        os.chmod(path, stat.S_IMODE(one.mode) & 0o777 | least)  # noqa: PTH101
        os.utime(path, (one.mtime, one.mtime))
