"""The sandbox's file system, as arguments of bubblewrap (bwrap(1)).

The system's programs and libraries, read-only; of ``/etc`` what libraries look up; a user list, host names and such of
its own; empty file systems in memory for ``/tmp`` and ``/dev/shm``, with a size; and the folders that the process is
given, at the paths they have outside. Nothing else is there at all.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from preview.core.isolation import Network
from preview.runtime.sandbox.etc import etc_mounts

# Where a distribution keeps programs and libraries. Links among them (``/bin -> usr/bin``) stay links.
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
# Parts of an installation's prefix that an interpreter needs; the prefix itself may be somebody's ``~/.local``.
_PREFIX_PARTS = ("bin", "lib", "lib64", "libexec")
_MOST_LINKS = 16
_TEMP, _SHARED = "/tmp", "/dev/shm"  # noqa: S108  the sandbox's own, not the machine's


@dataclass(frozen=True, slots=True)
class View:
    """Visible parts of the file system.

    Attributes:
        readable: Shown read-only.
        writable: Shown as they are.
        etc: The folder that ``write_etc`` has filled.
        network: With the machine's network its names are shown too.
        temp_bytes: Size of each file system in memory.
        placed: Shown read-only at another path: where, and what.
        covered: Folders of which nothing is shown but what is named here and lies in them.
    """

    readable: Sequence[Path]
    writable: Sequence[Path]
    etc: Path
    network: Network
    temp_bytes: int
    placed: Mapping[Path, Path] = field(default_factory=dict)
    covered: Sequence[Path] = ()


def view_arguments(view: View) -> list[str]:
    """Return the arguments in bubblewrap's order of execution, without ``/proc``."""
    size = str(view.temp_bytes)
    shown = _shown(view)
    arguments: list[str] = []
    for path in _SYSTEM:
        arguments += _system(path)
    # Only in a folder in memory can bubblewrap make the place for one more file.
    whole = not any(path.startswith("/etc/") for path in shown)
    arguments += [] if whole else ["--perms", "0755", "--dir", "/etc"]
    for source, where in etc_mounts(view.etc, view.network, whole=whole):
        arguments += ["--ro-bind-try", source, where]
    arguments += ["--dev", "/dev", "--size", size, "--perms", "1777", "--tmpfs", _SHARED, "--remount-ro", "/dev"]
    arguments += ["--size", size, "--perms", "1777", "--tmpfs", _TEMP, "--dir", "/run", "--dir", "/var"]
    # Where something is shown below it, it has to be a folder.
    if not any(path.startswith(f"/var{_TEMP}/") for path in shown):
        arguments += ["--symlink", _TEMP, f"/var{_TEMP}"]
    made: set[str] = set()
    # A folder's own place comes before what lies in it.
    for path in sorted(shown):
        for parent in _parents(path):
            if parent not in made and not any(parent == one or parent.startswith(f"{one}/") for one in shown):
                made.add(parent)
                arguments += ["--perms", "0755", "--dir", parent]
        arguments += shown[path]
    return arguments


def _shown(view: View) -> dict[str, list[str]]:
    """Return the visible folders, and how each is shown."""
    size = str(view.temp_bytes)
    shown = {path: ["--ro-bind", path, path] for path in map(os.fspath, view.readable) if not _is_system(path)}
    shown |= {path: ["--bind", path, path] for path in map(os.fspath, view.writable)}
    shown |= {os.fspath(where): ["--ro-bind", os.fspath(what), os.fspath(where)] for where, what in view.placed.items()}
    shown |= {path: ["--size", size, "--tmpfs", path] for path in map(os.fspath, view.covered)}
    return {path: how for path, how in shown.items() if not _is_shown_by_another(path, shown)}


def _system(path: str) -> list[str]:
    if os.path.islink(path):  # noqa: PTH114
        return ["--symlink", os.readlink(path), path]  # noqa: PTH115
    return ["--ro-bind-try", path, path]


def _is_system(path: str) -> bool:
    return any(path == root or path.startswith(f"{root}/") for root in _SYSTEM)


def _is_shown_by_another(path: str, shown: Mapping[str, list[str]]) -> bool:
    """Return whether another read-only folder shows it anyway: each mount takes a quarter of a millisecond."""
    above = max((one for one in shown if path.startswith(f"{one}/")), key=len, default=None)
    if above is None or any(shown[one] != ["--ro-bind", one, one] for one in (path, above)):
        return False
    return os.path.realpath(path).startswith(f"{os.path.realpath(above)}/")


def _parents(path: str) -> list[str]:
    parts = path.strip("/").split("/")[:-1]
    return ["/" + "/".join(parts[: end + 1]) for end in range(len(parts))]


def interpreter_paths(program: Path) -> list[Path]:
    """Return an interpreter's paths outside the system's folders, to be shown read-only.

    An environment's ``bin/python`` is a link to it, maybe over further links, each of which has to be there.

    Args:
        program: Absolute; a link or the program itself.
    """
    # Texts: asked for some times in each launch, before its process.
    found: dict[str, None] = {}
    for link in _links(str(program)):
        prefix = link.rsplit("/", 2)[0]
        if prefix:
            parts = (f"{prefix}/{name}" for name in _PREFIX_PARTS)
            found.update(dict.fromkeys(part for part in parts if os.path.isdir(part)))  # noqa: PTH112
    return [Path(one) for one in found]


def _links(program: str) -> Iterable[str]:
    """Return the program, and each place its links lead to."""
    for _ in range(_MOST_LINKS):
        yield program
        try:
            link = os.readlink(program)  # noqa: PTH115
        except OSError:
            # It is none.
            return
        program = os.path.normpath(f"{program.rpartition('/')[0]}/{link}" if link[0] != "/" else link)
