"""The sandbox's file system, as arguments of bubblewrap (bwrap(1)).

A sandbox sees the system's programs and libraries, read-only; the files of ``/etc`` that libraries look up; its own
user list and host names; empty file systems in memory of limited size for ``/tmp`` and ``/dev/shm``; and the process's
own folders, at the same paths as outside. It sees nothing else.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from preview.core.isolation import Network
from preview.runtime.sandbox.etc import etc_mounts

# Folders of a distribution's programs and libraries. Links among them (``/bin -> usr/bin``) stay links.
SYSTEM_FOLDERS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
# Parts of an installation's prefix that an interpreter needs. The whole prefix may be a user's ``~/.local``.
_PREFIX_PARTS = ("bin", "lib", "lib64", "libexec")
# Headers, for compilers of extension modules.
_HEADERS = ("include",)
_MOST_LINKS = 16
# There is no public name. It differs from ``sys.executable`` in a virtual environment.
BASE_PYTHON: Final = Path(os.path.realpath(sys._base_executable))  # type: ignore[attr-defined]  # noqa: SLF001
"""The service's interpreter, outside of the service's environment: for programs that need none of its packages."""
_OWN_FOLDERS = (*SYSTEM_FOLDERS, "/etc", "/dev", "/proc", "/run", "/tmp", "/var/tmp")  # noqa: S108  the sandbox's own
_TEMP, _SHARED = "/tmp", "/dev/shm"  # noqa: S108  the sandbox's own, not the machine's


@dataclass(frozen=True, slots=True)
class View:
    """Visible parts of the file system.

    Attributes:
        readable: Paths shown read-only.
        writable: Paths shown with write access.
        etc: The folder that ``write_etc`` has filled.
        network: The host's network adds its name resolution files.
        temp_bytes: Size of each file system in memory.
        placed: Files shown read-only at another path: maps the shown path to the source.
        shown_at: Folders shown with write access at another path: maps the shown path to the source.
        links: Links, where nothing else is shown at, above or below the path: maps the path to its target.
        covered: Folders that appear empty, except for other paths of this view inside them.
        around: Likewise, and writable by every user inside.
    """

    readable: Sequence[Path]
    writable: Sequence[Path]
    etc: Path
    network: Network
    temp_bytes: int
    placed: Mapping[Path, Path] = field(default_factory=dict)
    shown_at: Mapping[Path, Path] = field(default_factory=dict)
    links: Mapping[Path, Path] = field(default_factory=dict)
    covered: Sequence[Path] = ()
    around: Path | None = None


def view_arguments(view: View) -> list[str]:
    """Return the arguments in bubblewrap's order of execution, without ``/proc``."""
    size = str(view.temp_bytes)
    shown = _shown(view)
    arguments: list[str] = []
    for path in SYSTEM_FOLDERS:
        arguments += _system(path)
    # Bubblewrap can create a mount point for another file in /etc only if /etc is a folder in memory.
    whole = not any(path.startswith("/etc/") for path in shown)
    arguments += [] if whole else ["--perms", "0755", "--dir", "/etc"]
    for source, where in etc_mounts(view.etc, view.network, whole=whole):
        arguments += ["--ro-bind-try", source, where]
    arguments += ["--dev", "/dev", "--size", size, "--perms", "1777", "--tmpfs", _SHARED, "--remount-ro", "/dev"]
    arguments += ["--size", size, "--perms", "1777", "--tmpfs", _TEMP, "--dir", "/run", "--dir", "/var"]
    # /var/tmp must be a folder if something is shown inside it; otherwise it is a link.
    if not any(path.startswith(f"/var{_TEMP}/") for path in shown):
        arguments += ["--symlink", _TEMP, f"/var{_TEMP}"]
    made: set[str] = set()
    # Sorted, so that a folder comes before its content.
    for path in sorted(shown):
        for parent in _parents(path):
            if parent not in made and not any(_has(one, how, parent) for one, how in shown.items()):
                made.add(parent)
                arguments += ["--perms", "0755", "--dir", parent]
        arguments += shown[path]
    return arguments


def _has(path: str, how: Sequence[str], folder: str) -> bool:
    """Return whether a shown path is the folder, or has it: a file system in memory has nothing yet."""
    return folder == path or (folder.startswith(f"{path}/") and "--tmpfs" not in how)


def _shown(view: View) -> dict[str, list[str]]:
    """Return the visible paths, each with its arguments."""
    size = str(view.temp_bytes)
    shown = {path: ["--ro-bind", path, path] for path in map(os.fspath, view.readable) if not is_system(path)}
    shown |= {path: ["--bind", path, path] for path in map(os.fspath, view.writable)}
    shown |= {os.fspath(where): ["--ro-bind", os.fspath(what), os.fspath(where)] for where, what in view.placed.items()}
    shown |= {os.fspath(where): ["--bind", os.fspath(what), os.fspath(where)] for where, what in view.shown_at.items()}
    shown |= {path: ["--size", size, "--tmpfs", path] for path in map(os.fspath, view.covered)}
    if view.around is not None:
        shown[os.fspath(view.around)] = ["--size", size, "--perms", "1777", "--tmpfs", os.fspath(view.around)]
    shown = {path: how for path, how in shown.items() if not _is_shown_by_another(path, shown)}
    return shown | {
        path: ["--symlink", os.fspath(target), path]
        for path, target in ((os.fspath(where), target) for where, target in view.links.items())
        if not any(
            f"{one}/".startswith(f"{path.rstrip('/')}/") or path.startswith(f"{one}/")
            for one in (*shown, *_OWN_FOLDERS)
        )
    }


def _system(path: str) -> list[str]:
    if os.path.islink(path):  # noqa: PTH114
        return ["--symlink", os.readlink(path), path]  # noqa: PTH115
    return ["--ro-bind-try", path, path]


def is_system(path: str) -> bool:
    """Return whether a path is in a folder that each sandbox shows in any case."""
    return any(path == root or path.startswith(f"{root}/") for root in SYSTEM_FOLDERS)


def _is_shown_by_another(path: str, shown: Mapping[str, list[str]]) -> bool:
    """Return whether another read-only folder already shows the path; each mount takes a quarter of a millisecond."""
    above = max((one for one in shown if path.startswith(f"{one}/")), key=len, default=None)
    if above is None or any(shown[one] != ["--ro-bind", one, one] for one in (path, above)):
        return False
    return os.path.realpath(path).startswith(f"{os.path.realpath(above)}/")


def _parents(path: str) -> list[str]:
    parts = path.strip("/").split("/")[:-1]
    return ["/" + "/".join(parts[: end + 1]) for end in range(len(parts))]


def interpreter_paths(program: Path, *, builds: bool = False) -> list[Path]:
    """Return an interpreter's paths outside of the system's folders, to be shown read-only.

    An environment's ``bin/python`` is a link to the interpreter, maybe through further links; all of them are needed.

    Args:
        program: Absolute path of the program, or of a link to it.
        builds: Whether extension modules may be compiled, which needs the interpreter's headers too.
    """
    names = (*_PREFIX_PARTS, *_HEADERS) if builds else _PREFIX_PARTS
    # Plain strings, because each launch calls this several times.
    found: dict[str, None] = {}
    for link in _links(str(program)):
        prefix = link.rsplit("/", 2)[0]
        if prefix:
            parts = (f"{prefix}/{name}" for name in names)
            found.update(dict.fromkeys(part for part in parts if os.path.isdir(part)))  # noqa: PTH112
    return [Path(one) for one in found]


def _links(program: str) -> Iterable[str]:
    """Yield the program's path, and the target of each link in turn."""
    for _ in range(_MOST_LINKS):
        yield program
        try:
            link = os.readlink(program)  # noqa: PTH115
        except OSError:
            # Not a link.
            return
        program = os.path.normpath(f"{program.rpartition('/')[0]}/{link}" if link[0] != "/" else link)
