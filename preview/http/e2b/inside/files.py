"""One operation on files, in a process of its own inside a sandbox, as its user.

The first line of its output is a JSON object; for ``read``, the content follows.
The kernel confines it, so a path or a link leads nowhere that the sandbox's commands do not reach by themselves.
"""

import json
import os
import shutil
import stat
from contextlib import suppress
from typing import Any

HOME = "/home/user"
PIECE = 65536
KINDS = ((stat.S_ISDIR, "FILE_TYPE_DIRECTORY"), (stat.S_ISREG, "FILE_TYPE_FILE"), (stat.S_ISLNK, "FILE_TYPE_SYMLINK"))


class Refused(Exception):
    """The operation is impossible: a code, and a sentence."""


def entry(path: str) -> dict[str, Any]:
    """Describe a file; of a link, the file that it leads to."""
    found = os.lstat(path)
    made: dict[str, Any] = {}
    if stat.S_ISLNK(found.st_mode):
        made["symlinkTarget"] = os.path.realpath(path)
        with suppress(OSError):
            found = os.stat(path)
    kind = next((name for test, name in KINDS if test(found.st_mode)), "FILE_TYPE_UNSPECIFIED")
    made.update(
        name=os.path.basename(path) or "/",
        path=path,
        type=kind,
        size=str(found.st_size),
        mode=found.st_mode & 0o7777,
        permissions=stat.filemode(found.st_mode),
        owner="user",
        group="user",
        modified=found.st_mtime,
    )
    return made


def listed(path: str, depth: int, most: int) -> list[dict[str, Any]]:
    """Describe the entries of a folder, to a depth."""
    if not os.path.isdir(path):
        os.lstat(path)
        raise Refused("invalid_argument", "path is not a directory")
    made: list[dict[str, Any]] = []
    waiting = [(path, depth)]
    while waiting:
        folder, left = waiting.pop()
        with os.scandir(folder) as found:
            for one in found:
                if len(made) >= most:
                    raise Refused("resource_exhausted", f"the folder has more than {most} entries; list a part of it")
                made.append(entry(os.path.join(folder, one.name)))
                if left > 1 and one.is_dir(follow_symlinks=False):
                    waiting.append((one.path, left - 1))
    return sorted(made, key=lambda one: one["path"])


def read(path: str, most: int, out: int) -> None:
    """Write the content of a regular file."""
    opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    found = os.fstat(opened)
    if stat.S_ISDIR(found.st_mode):
        raise Refused("invalid_argument", f"path '{path}' is a directory")
    if not stat.S_ISREG(found.st_mode):
        raise Refused("invalid_argument", f"path '{path}' is not a regular file")
    if found.st_size > most:
        raise Refused("too_large", f"the file has {found.st_size} bytes, and {most} can be read")
    say({"ok": {"size": found.st_size}}, out)
    left = found.st_size
    while left and (piece := os.read(opened, min(PIECE, left))):
        left -= len(piece)
        put(piece, out)


def write(path: str, most: int, source: int) -> dict[str, Any]:
    """Write the bytes of a descriptor to a file, whose folders are made."""
    if os.path.isdir(path):
        raise Refused("invalid_argument", f"path '{path}' is a directory")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.exists(path) and not os.path.isfile(path):
        raise Refused("invalid_argument", f"path '{path}' is not a regular file")
    size = 0
    with open(path, "wb") as file:
        while piece := os.read(source, PIECE):
            size += len(piece)
            if size > most:
                raise Refused("too_large", f"the file has more than {most} bytes")
            file.write(piece)
    return {"name": os.path.basename(path), "type": "file", "path": path}


def run(asked: dict[str, Any], source: int) -> dict[str, Any]:
    """Do the operation; return the object of the first line."""
    name, most = asked["name"], asked["most"]
    path = os.path.normpath(os.path.join(HOME, asked["path"]))
    if name == "stat":
        return {"entry": entry(path)}
    if name == "list":
        return {"entries": listed(path, asked["depth"], most)}
    if name == "write":
        return write(path, most, source)
    if name == "make":
        if os.path.isdir(path):
            raise Refused("already_exists", f"directory already exists: {path}")
        os.makedirs(path)
        return {"entry": entry(path)}
    if name == "remove":
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.remove(path)
        return {}
    if name == "move":
        target = os.path.normpath(os.path.join(HOME, asked["to"]))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.rename(path, target)
        return {"entry": entry(target)}
    raise Refused("unimplemented", "no such operation")


def put(piece: bytes, out: int) -> None:
    """Write all bytes to a pipe."""
    left = memoryview(piece)
    while left:
        left = left[os.write(out, left) :]


def say(line: dict[str, Any], out: int) -> None:
    """Write a JSON object as a line."""
    put(json.dumps(line).encode() + b"\n", out)


def answer(asked: dict[str, Any], out: int, source: int) -> None:
    """Do an operation.

    Args:
        asked: Its name, its path, the largest size, and what else it needs.
        out: Descriptor for the first line and the content.
        source: Descriptor with the content to write.
    """
    try:
        if asked["name"] == "read":
            read(os.path.normpath(os.path.join(HOME, asked["path"])), asked["most"], out)
        else:
            say({"ok": run(asked, source)}, out)
    except Refused as error:
        say({"refused": error.args[0], "message": error.args[1]}, out)
    except FileNotFoundError:
        say({"refused": "not_found", "message": f"path '{asked['path']}' does not exist"}, out)
    except PermissionError:
        say({"refused": "permission_denied", "message": f"permission denied for '{asked['path']}'"}, out)
    except BrokenPipeError:
        return
    except OSError as error:
        full = error.errno in (28, 122, 27)
        code = "disk_full" if full else "invalid_argument"
        say({"refused": code, "message": f"{asked['path']}: {error.strerror}"}, out)
    except (ValueError, RecursionError):
        say({"refused": "invalid_argument", "message": "the path cannot be used"}, out)
