"""The Python of a container's first program: this machine's, in any image, also in one without a Python or a libc.

An image with its own ``/usr`` hides the machine's. So the machine's system folders are shown at another path, and the
interpreter is started by its own loader, with the folders of its libraries (ld.so(8), ``--library-path``). The option
holds for this one program: what it executes gets the image's libraries.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from preview.runtime.container.joining import JOIN
from preview.runtime.sandbox.port_forwarding import bridge_needs
from preview.runtime.sandbox.view import BASE_PYTHON, SYSTEM_FOLDERS, is_system

HOST: Final = "/run/preview-host"
"""Path of this machine's system folders in containers of an operator's image."""

# elf(5): the header of a 64-bit file, and of one segment. PT_INTERP is the path of the loader.
_ELF = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_MAGIC, _64_BIT, _PT_INTERP = b"\x7fELF", 2, 3
_MOST_SEGMENTS = 100
_MOST_PATH = 4096
# Modules of the first program and of the bridge that have libraries of their own.
_MODULES = ("_asyncio", "_ctypes", "_json", "_posixsubprocess", "_socket", "_struct", "resource", "select", "zlib")


class NoInterpreter(Exception):
    """The interpreter cannot be shown in another image; the message is half a sentence."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """Command of this machine's Python in a container.

    Attributes:
        command: Program and arguments before those of Python.
        mounts: Pairs of source and target, read-only.
        root: Folder that shows this machine's paths in the container; empty for the container's own root. A path of the
            service may lie below a folder that the image closes, as ``/root`` is.
    """

    command: Sequence[str]
    mounts: Sequence[tuple[Path, Path]] = ()
    root: str = ""


OWN: Final = Interpreter((str(BASE_PYTHON),))
"""For containers that show the machine's system folders at their own paths."""


@lru_cache(maxsize=1)
def carried_interpreter() -> Interpreter:
    """Return the interpreter for an image of the operator's.

    Raises:
        NoInterpreter: It is no program of the usual kind.
    """
    program = str(BASE_PYTHON)
    loader = os.path.realpath(find_loader(BASE_PYTHON))
    folders = [os.path.dirname(loader), *_library_folders()]  # noqa: PTH120
    shown = ":".join(dict.fromkeys(map(_shown, folders)))
    mounts = [
        (folder, Path(HOST + str(folder)))
        for folder in map(Path, SYSTEM_FOLDERS)
        if folder.is_dir() and not folder.is_symlink()
    ]
    mounts += [(one, Path(_shown(str(one)))) for one in (*bridge_needs(), JOIN.parent) if not is_system(str(one))]
    # The image's cache of libraries is not read.
    return Interpreter((_shown(loader), "--inhibit-cache", "--library-path", shown, _shown(program)), mounts, HOST)


def find_loader(program: Path) -> str:
    """Return the loader that a program names.

    Raises:
        NoInterpreter: The program names none, as a script or a static program does.
    """
    try:
        with program.open("rb") as file:
            head = file.read(_ELF.size)
            if len(head) < _ELF.size or head[:4] != _MAGIC or head[4] != _64_BIT:
                raise NoInterpreter(f"{program} is not a 64-bit program")
            fields = _ELF.unpack(head)
            file.seek(fields[5])
            for _ in range(min(fields[10], _MOST_SEGMENTS)):
                kind, _, offset, _, _, length, _, _ = _SEGMENT.unpack(file.read(_SEGMENT.size))
                if kind == _PT_INTERP:
                    file.seek(offset)
                    return os.fsdecode(file.read(min(length, _MOST_PATH)).rstrip(b"\0"))
    except (OSError, struct.error) as error:
        raise NoInterpreter(f"{program} cannot be read") from error
    raise NoInterpreter(f"{program} is a static program")


def _library_folders() -> list[str]:
    """Return the folders of the libraries that this process has loaded."""
    for name in _MODULES:
        try:
            __import__(name)
        except ImportError:
            continue
    lines = Path("/proc/self/maps").read_text("utf-8", "surrogateescape").splitlines()
    files = {parts[5] for line in lines if len(parts := line.split(maxsplit=5)) > 5 and ".so" in parts[5]}
    return sorted({os.path.dirname(os.path.realpath(one)) for one in files if one.startswith("/")})  # noqa: PTH120


def _shown(path: str) -> str:
    return HOST + path
