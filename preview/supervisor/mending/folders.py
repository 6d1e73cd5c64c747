"""Mends of folders that a program writes into and that version control left out. Pure functions."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from preview.detection import Origin, StartPlan, Step, Toolchain, Variable
from preview.supervisor.mending.container_folder import may_be_linked
from preview.supervisor.mending.model import FailedStart, Mend, newest_error, own_line
from preview.supervisor.mending.refusals import OTHER_FAILURE

_ENV: Final = ".env"
EMPTY: Final[Mapping[str, str]] = MappingProxyType({})
_FILE: Final = (
    re.compile(r"FileNotFoundError: \[Errno 2\] [^:]{1,80}: '(?P<path>[^']{1,300})'"),
    re.compile(r"ENOENT: no such file or directory, (?:open|mkdir|scandir|lstat) '(?P<path>[^']{1,300})'"),
)
_FOLDER: Final = (
    re.compile(r"RuntimeError: Directory '(?P<path>[^']{1,300})' does not exist"),
    re.compile(r"ENOENT: no such file or directory, (?:scandir|watch) '(?P<path>[^']{1,300})'"),
)
# pydantic's `DirectoryPath`, below its error.
_NO_FOLDER: Final = re.compile(
    r"\[type=path_not_directory, input_value=(?:\w{1,20}\()?'(?P<path>[^']{1,300})'"
    r"|directory at path \"(?P<old>[^\"]{1,300})\" does not"
)
_CAUSE: Final = "The above exception was the direct cause of the following exception:"
_REFUSED_LINES: Final = 40
# Folders of these names are for what a program writes, or serves if there is any.
_WRITTEN: Final = re.compile(
    r"(?:^|/)(?:logs?|uploads?|uploaded|media|static|staticfiles|tmp|temp|cache|data|storage|instance|db|database|output"
    r"|outputs|reports|downloads|files|images|img|assets|public|var|run|backups?|exports?|sessions?|temp_files)(?:/|$)",
    re.IGNORECASE,
)
_PLAIN: Final = re.compile(r"[\w. @+-]{1,100}(?:/[\w. @+-]{1,100}){0,9}")


def mend_folders(failed: FailedStart) -> Mend | None:
    """Return the folder to make for a file that cannot be written, or for one that is served; None for all others."""
    number = newest_error(failed.lines)
    if number is None:
        return None
    said = [failed.lines[one] for one in _with_causes(failed.lines, number)]
    for patterns, is_file in ((_FOLDER, False), (_FILE, True)):
        match = next((found for line in said for pattern in patterns if (found := pattern.search(line))), None)
        if match is not None:
            folder = _inside(failed, match["path"], is_file=is_file)
            if folder is None or folder in failed.folders:
                return None
            return Mend(f"the folder {folder} is missing: making it", folders=(folder,))
    for line in failed.lines[number : number + _REFUSED_LINES]:
        if (match := _NO_FOLDER.search(line)) is not None:
            folder = _inside(failed, match["path"] or match["old"], is_file=False, is_certain=True)
            # pydantic 1 says the same of a file.
            if folder is not None and folder not in failed.folders and "." not in posixpath.basename(folder):
                return Mend(f"the settings ask for the folder {folder}: making it", folders=(folder,))
    return None


def _with_causes(lines: Sequence[str], number: int) -> Iterator[int]:
    """Yield the numbers of an error and of its causes: ``Unable to configure handler 'file'`` has one."""
    yield number
    while (cause := next((one for one in range(number - 1, -1, -1) if lines[one] == _CAUSE), None)) is not None:
        before = newest_error(lines[:cause])
        if before is None:
            return
        yield (number := before)


# `UPLOAD_DIR`, `LOGS_FOLDER`, `UPLOADS_PUBLIC_PATH`; a plain `BASE_PATH` is often part of an address.
_FOLDER_NAME: Final = re.compile(
    r"(?:^|_)(?:DIR|DIRECTORY|FOLDER)$"
    r"|(?:^|_)(?:LOGS?|UPLOADS?|MEDIA|STORAGE|DATA|FILES?|TE?MP|CACHE|STATIC|BACKUPS?|EXPORTS?|IMAGES?)_(?:\w{1,40}_)?PATH$"
)
_CAPITALS: Final = re.compile(r"\b[A-Z][A-Z0-9_]{2,80}\b")
_NAMED_LINES: Final = 60


def mend_named_folders(failed: FailedStart) -> Mend | None:
    """Return own folders for the variables that the last lines name and whose value is a folder that is not there.

    Values in example files stand for a folder of the reader's machine: ``UPLOAD_DIR=/path/to/uploads``.
    """
    number = newest_error(failed.lines)
    if number is None or OTHER_FAILURE.search(failed.lines[number]):
        return None
    said = failed.lines[max(0, number - _NAMED_LINES) : number + _NAMED_LINES]
    found: dict[str, str] = {}
    for name in dict.fromkeys(name for line in said for name in _CAPITALS.findall(line)):
        variable = failed.plan.variables.get(name)
        if variable is None or not failed.is_free(name) or not _FOLDER_NAME.search(name):
            continue
        value = variable.value.rstrip("/")
        folder = posixpath.normpath(posixpath.basename(value) if value.startswith("/") else value)
        is_plain = _PLAIN.fullmatch(folder) is not None and folder != "." and ".." not in folder.split("/")
        if is_plain and folder not in failed.names and "." not in posixpath.basename(folder):
            found[name] = folder
    if not found:
        return None
    inner = {name: posixpath.normpath(posixpath.join(failed.plan.directory, folder)) for name, folder in found.items()}
    variables = {
        name: replace(
            failed.plan.variables[name],
            value=f"{{directory}}/{folder}",
            origin=Origin.SUPPLIED,
            instead_of=failed.plan.variables[name].value,
        )
        for name, folder in inner.items()
    }
    why = f"{', '.join(found)}: the program does not take the value for a folder: using a folder in the project"
    return Mend(why, variables, folders=tuple(dict.fromkeys(inner.values())))


def _inside(failed: FailedStart, path: str, *, is_file: bool, is_certain: bool = False) -> str | None:
    """Return the folder relative to the project; None for one outside of it, and for one that is not for writing."""
    inner = path.removeprefix(f"{failed.root}/")
    if inner == path:
        inner = posixpath.join(failed.plan.directory, path)
    folder = posixpath.normpath(posixpath.dirname(inner) if is_file else inner)
    is_plain = _PLAIN.fullmatch(folder) is not None and folder != "." and ".." not in folder.split("/")
    # A file of this name is in the way. pydantic cuts the middle out of a long path.
    is_plain = is_plain and folder not in failed.names and "..." not in folder
    return folder if is_plain and not path.startswith("/proc") and (is_certain or _WRITTEN.search(folder)) else None


# An absolute folder of its author's machine or container, into which a program writes.
_ABSOLUTE: Final = (
    re.compile(
        r"(?:Read-only file system|Permission denied|No such file or directory): '(?P<path>/[\w. @+/-]{1,300})'"
    ),
    re.compile(
        r"(?:EROFS|EACCES|ENOENT): [\w -]{1,60}, (?:open|mkdir|scandir|lstat|access) '(?P<path>/[\w. @+/-]{1,300})'"
    ),
    # The project's own words.
    re.compile(
        r"(?:FileNotFound|NotADirectory)Error: (?!\[)[^'\"/]{0,100}\b(?:[Ff]older|[Dd]irectory)\b[^'\"/]{0,60}['\"]?"
        r"(?P<path>/[\w.@+/-]{1,300})(?:['\"]|$)"
    ),
)
_MOST_PARTS: Final = 6


def mend_absolute_folder(failed: FailedStart) -> Mend | None:
    """Return the mend that shows an own folder at an absolute path into which the program writes; None for others.

    Only a sandbox has such a place: the machine's folders stay as they are.
    """
    number = newest_error(failed.lines)
    if number is None or not failed.is_sandboxed or failed.plan.linked_at is not None:
        return None
    path = next((match["path"] for one in _ABSOLUTE if (match := one.search(failed.lines[number]))), "")
    parts = path.split("/")[1:] or [""]
    head = "/".join(parts[: 2 if parts[0] == "var" else 1])
    if (
        not path
        or not {"", ".", ".."}.isdisjoint(parts[:-1])
        or parts[-1] in {".", ".."}
        or not may_be_linked(f"/{head}", failed.root, failed.shown)
    ):
        return None
    is_file = "." in parts[-1]
    is_made = re.search(r"\b(?:mkdir|makedirs|mkdirSync)\b", f"{failed.lines[number]} {own_line(failed, number)}")
    if "No such file" in failed.lines[number] and not (len(parts) > 1 and (is_made or _WRITTEN.search(path))):
        return None
    # What the program makes itself must not be there yet.
    is_above = len(parts) > 1 and (is_file or (is_made and "No such file" in failed.lines[number]))
    inner = "/".join((parts[:-1] if is_above else parts)[:_MOST_PARTS])
    folders = (inner if inner.startswith(head) else head,)
    why = f"{path} is not in the project: the program sees the preview's own folder {head} at /{head}"
    return Mend(why, folders=folders, linked_at=f"/{head}", linked_folder=head)


# The C library looks for locales here, beside each other. Compiled ones of others than C are on few machines.
_LOCALES: Final = ".locales"
_C_LOCALE: Final = "/usr/lib/locale/C.utf8"
_LOCALE: Final = re.compile(
    r"setlocale\([^'\"\n]{0,80}['\"](?P<name>[a-z]{2,3}_[A-Z]{2})(?P<code>\.(?:UTF|utf)-?8)?(?P<rest>@\w{1,12})?['\"]"
)


def mend_locale(failed: FailedStart) -> Mend | None:
    """Return C's locale under the name of the one that the program sets and the machine lacks; None for others."""
    number = newest_error(failed.lines)
    if number is None or not failed.lines[number].startswith("locale.Error: unsupported locale setting"):
        return None
    match = _LOCALE.search(own_line(failed, number))
    if match is None or not failed.is_free("LOCPATH"):
        return None
    name = f"{match['name']}{'.utf8' if match['code'] else ''}{match['rest'] or ''}"
    place = posixpath.relpath(_LOCALES, failed.plan.directory)
    return Mend(
        f"the locale {name} is not on this machine: C.utf8 stands in for it, and formats are those of C",
        {"LOCPATH": Variable("LOCPATH", place, Origin.SUPPLIED)},
        folders=(_LOCALES,),
        links={f"{_LOCALES}/{name}": _C_LOCALE},
    )


_MAKE: Final = {
    Toolchain.PYTHON: ("python", "-c", "import os,sys;[os.makedirs(name,exist_ok=True) for name in sys.argv[1:]]"),
    Toolchain.NODE: ("node", "-e", "for (const n of process.argv.slice(1)) fs.mkdirSync(n, { recursive: true })", "--"),
}
_LINK: Final = {
    Toolchain.PYTHON: (
        *("python", "-c"),
        "import os,sys;a=sys.argv[1:];[os.path.lexists(n) or os.symlink(t,n) for n,t in zip(a[::2],a[1::2])]",
    ),
    Toolchain.NODE: (
        *("node", "-e"),
        "for (let a = process.argv.slice(1); a[0]; a = a.slice(2)) fs.existsSync(a[0]) || fs.symlinkSync(a[1], a[0])",
        "--",
    ),
}


# python-dotenv reads such a file for pydantic, so it is installed; a value may have several lines.
_LEAVE_OUT: Final = """
import os, sys
from dotenv.parser import parse_stream
for name in sys.argv[1:3]:
    try:
        with open(name, encoding="utf-8", newline="") as file:
            kept = [one.original.string for one in parse_stream(file) if (one.key or "").lower() not in sys.argv[3:]]
    except FileNotFoundError:
        continue
    # Not through a link: only the preview's copy is changed.
    os.remove(name)
    with open(name, "w", encoding="utf-8", newline="") as file:
        file.write("".join(kept))
"""


def with_folders(
    plan: StartPlan, folders: Sequence[str], links: Mapping[str, str] = EMPTY, left_out: Sequence[str] = ()
) -> StartPlan:
    """Return the plan with steps that make folders and links; they run where the application does, in its isolation.

    Args:
        plan: The start plan.
        folders: Folders to make, relative to the project.
        links: Path of each link, relative to the project, and of its target: relative to it, too, or absolute.
        left_out: Names that ``.env`` loses, in small letters.
    """
    make, link = _MAKE.get(plan.toolchain), _LINK.get(plan.toolchain)
    steps = []
    if folders and make is not None:
        steps.append(Step("missing folders", (*make, *folders), ".", "an attempt without them failed"))
    if links and link is not None:
        pairs = [
            part
            for name, target in links.items()
            for part in (
                name,
                target if target.startswith("/") else posixpath.relpath(target, posixpath.dirname(name) or "."),
            )
        ]
        steps.append(Step("missing names", (*link, *pairs), ".", "an attempt without them failed"))
    if left_out:
        files = posixpath.normpath(f"{plan.directory}/{_ENV}"), _ENV
        argv = ("python", "-c", _LEAVE_OUT, *files, *left_out)
        steps.append(Step("left out", argv, ".", f"an attempt with all names of {_ENV} failed"))
    return replace(plan, steps=(*steps, *plan.steps))
