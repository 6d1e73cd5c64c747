"""Resolution of a script's name to the project's file; a build output resolves to its source."""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from typing import Final

from preview.core.descriptors import file_of
from preview.sources.files import Sources
from preview.sources.javascript import SCRIPT_SUFFIXES
from preview.sources.tsconfig import TsConfig, read_tsconfig

_BUILT: Final = frozenset(
    {"dist", "build", "lib", "out", "output", "bin", ".build", "built", "target", "release", "prod"}
)
_SOURCE_FOLDERS: Final = ("src", "", "server", "app", "lib", "source", "api")


def resolve_script_file(sources: Sources, folder: str, name: str) -> str | None:
    """Return the project's file for a name in a command or a ``main``; for a built file, its source.

    Args:
        sources: The project's files.
        folder: The folder that the name is relative to, itself relative to the project.
        name: As written: ``server``, ``./src/index.js``, ``dist/main.js``, ``.``.
    """
    path = posixpath.normpath(posixpath.join(folder, name))
    if path.startswith(".."):
        return None
    return existing_script(sources, path) or _built_from(sources, folder, path, read_tsconfig(sources, folder))


def built_path(folder: str, name: str) -> str | None:
    """Return the name's path relative to the project if builds write to its folder, else None."""
    path = posixpath.normpath(posixpath.join(folder, name))
    first, _, rest = posixpath.relpath(path, folder).partition("/")
    if path.startswith("..") or first not in _BUILT:
        return None
    # `node dist`
    return path if rest else f"{path}/index.js"


def existing_script(sources: Sources, path: str) -> str | None:
    """Return the file that Node or a compiler finds for a path: as written, with a suffix, or a folder's ``index``."""
    if sources.has_file(path):
        return path
    stem, _, suffix = path.rpartition(".")
    ends = [path + end for end in SCRIPT_SUFFIXES]
    if f".{suffix}" in SCRIPT_SUFFIXES:
        ends += [stem + end for end in SCRIPT_SUFFIXES]
    base = "" if path == "." else f"{path}/"
    ends += [f"{base}index{end}" for end in SCRIPT_SUFFIXES]
    return next((name for name in ends if sources.has_file(name)), None)


def _built_from(sources: Sources, folder: str, path: str, config: TsConfig) -> str | None:
    inside = posixpath.relpath(path, folder)
    tails = []
    if config.out_dir is not None and path.startswith(f"{config.out_dir}/"):
        tails.append(posixpath.relpath(path, config.out_dir))
    first, _, rest = inside.partition("/")
    if rest and first in _BUILT:
        # Nx compiles `apps/api/src/main.ts` to `dist/apps/api/main.js`; tsc may produce `dist/src/main.js`.
        tails += [rest, rest.partition("/")[2]]
        # So does `nest build` in a monorepo.
        tails.append(posixpath.join(posixpath.dirname(rest), "src", posixpath.basename(rest)))
    roots = [config.root_dir] if config.root_dir is not None else []
    roots += [posixpath.normpath(posixpath.join(folder, name)) for name in _SOURCE_FOLDERS]
    for tail in filter(None, tails):
        for root in roots:
            found = existing_script(sources, posixpath.normpath(posixpath.join(root, tail)))
            if found is not None:
                return found
    return None


def read_plain(path: str, most_bytes: int) -> bytes:
    """Return the first bytes of a regular file. Blocks only on the disk.

    Raises:
        OSError: The file cannot be read, or is a link, a pipe, a device or a socket.
    """
    # A pipe without a writer would block the thread for ever, and there are only forty threads.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with file_of(descriptor) as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a plain file", path)
        return file.read(most_bytes)
