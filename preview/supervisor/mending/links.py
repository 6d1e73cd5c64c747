"""Mends of a missing file that the project has under another name: in other capitals, or as an example. Pure.

Windows and macOS take ``./User`` and ``./user`` for the same file. An example stands in for a configuration file that
version control leaves out.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import Final

from preview.detection import Toolchain
from preview.supervisor.mending.model import FailedStart, Mend, newest_error

_FILE: Final = (
    re.compile(r"FileNotFoundError: \[Errno 2\] [^:]{1,80}: '(?P<path>[^']{1,300})'"),
    re.compile(r"ENOENT: no such file or directory, (?:open|scandir|stat|lstat) '(?P<path>[^']{1,300})'"),
    re.compile(r"RuntimeError: Directory '(?P<path>[^']{1,300})' does not exist"),
    # Raised by the project itself: `FileNotFoundError: no settings at /…/config/config.toml`.
    re.compile(r"FileNotFoundError: (?!\[Errno)[^'/\n]{0,200}['\"]?(?P<path>/[\w./@+-]{1,300}\.\w{1,10})(?![\w/])"),
)
_MODULE: Final = re.compile(r"ModuleNotFoundError: No module named '(?P<name>[A-Za-z_][\w.]{0,200})'")
_NODE: Final = re.compile(
    r"Cannot find module '(?P<name>(?:\.{1,2})?/[^']{1,300})'(?: imported from '?(?P<by>/[^']{1,400}?)'?)?$"
)
_REQUIRED_BY: Final = re.compile(r"- (?P<path>/.{1,400})")
_SUFFIXES: Final = ("", ".js", ".ts", ".mjs", ".cjs", ".mts", ".cts", ".jsx", ".tsx", ".json")
_PLAIN: Final = re.compile(r"[\w.@+][\w. @+-]{0,99}(?:/[\w.@+][\w. @+-]{0,99}){0,9}")
# Words by which a project marks the file to copy: `config.example.json`, `sample.config.py`, `settings.py.dist`.
_WORDS: Final = ("example", "sample", "template", "dist", "default", "tmpl")
_SETTINGS: Final = re.compile(r"\.env(?:\.\w{1,30})?")
# The file of settings that stands in for another one, the most telling first.
_SETTINGS_ENDS: Final = (
    ".example", ".sample", ".template", ".dist", ".local", ".development", ".dev", ".docker", ".default", ".test", ""
)  # fmt: skip
_STACK_LINES: Final = 3
_SAID_LINES: Final = 8
_MISSING: Final = re.compile(
    r"not found|missing|not exist|no such|cannot find|could not find|unable to find", re.IGNORECASE
)
_ENDING: Final = r"\.(?:ya?ml|json|toml|ini|cfg|conf|properties)"
_FILE_NAME: Final = re.compile(rf"(?<![\w/.-])[\w./@+-]{{1,200}}{_ENDING}(?![\w/])")
_CONFIGURATION: Final = re.compile(rf"{_ENDING}$")
_EXAMPLE: Final = re.compile(r"(?P<stem>[\w-]{1,80}(?:\.\w{1,10})?)[._-](?:example|sample|dist)(?P<end>\.\w{1,10})?")


def mend_links(failed: FailedStart) -> Mend | None:
    """Return the link to the file that the project has under another name; None if it has none."""
    number = newest_error(failed.lines)
    if failed.plan.toolchain is Toolchain.IMAGE:
        return None
    for path in (*(() if number is None else _wanted(failed, number)), *_called_missing(failed)):
        if not _PLAIN.fullmatch(path) or ".." in path.split("/"):
            continue
        if (found := _in_other_case(failed, path)) is not None:
            name, target = found
            return Mend(f"{name} is written {target} in the project: linking it", links={name: target})
        if (example := _example_of(failed, path)) is not None:
            return Mend(f"{path} is missing: linking it to {example}", links={path: example})
    return None


def mend_examples(failed: FailedStart) -> Mend | None:
    """Return the link from a configuration file that the project reads to its example; None without one.

    Some libraries read a file that is not there as an empty one, so the error is about what it lacks.
    """
    if failed.plan.toolchain is Toolchain.IMAGE:
        return None
    folders = {".", failed.plan.directory}
    missing: dict[str, str] = {}
    for example in sorted(failed.names):
        folder, name = posixpath.split(example)
        match = _EXAMPLE.fullmatch(name)
        path = posixpath.join(folder, f"{match['stem']}{match['end'] or ''}") if match is not None else ""
        if (folder or ".") in folders and _CONFIGURATION.search(path) and path not in failed.names:
            missing.setdefault(path, example)
    read = failed.mentioned([posixpath.basename(path) for path in missing])
    for path, example in missing.items():
        if posixpath.basename(path) in read:
            return Mend(f"{path} is missing: linking it to {example}", links={path: example})
    return None


def _called_missing(failed: FailedStart) -> Iterator[str]:
    """Yield the files that the last lines call missing, in the words of the project: ``config.yaml not found``."""
    for line in failed.lines[-_SAID_LINES:]:
        if _MISSING.search(line):
            for match in _FILE_NAME.finditer(line):
                yield _relative(failed, match[0], failed.plan.directory)


def _wanted(failed: FailedStart, number: int) -> Iterator[str]:
    """Yield paths of the missing file, relative to the project."""
    line = failed.lines[number]
    for pattern in _FILE:
        if match := pattern.search(line):
            yield _relative(failed, match["path"], failed.plan.directory)
    if failed.plan.toolchain is Toolchain.PYTHON and (match := _MODULE.match(line)):
        # Python tells capitals apart on every system, so only an example counts.
        path = f"{match['name'].replace('.', '/')}.py"
        yield from (posixpath.normpath(posixpath.join(root, path)) for root in failed.plan.python_path)
    if failed.plan.toolchain is Toolchain.NODE and (match := _NODE.search(line)):
        near = failed.lines[number + 1 : number + 1 + _STACK_LINES]
        by = match["by"] or next((one["path"] for text in near if (one := _REQUIRED_BY.fullmatch(text))), None)
        folder = posixpath.dirname(_relative(failed, by, ".")) if by is not None else "."
        path = _relative(failed, match["name"], folder)
        stem = re.sub(r"\.[cm]?jsx?$", "", path)
        yield from dict.fromkeys([f"{path}{suffix}" for suffix in _SUFFIXES] + [f"{stem}.ts", f"{stem}.tsx"])


def _relative(failed: FailedStart, path: str, folder: str) -> str:
    inner = path.removeprefix(f"{failed.root}/")
    return posixpath.normpath(inner if inner != path else posixpath.join(folder, path))


def _in_other_case(failed: FailedStart, path: str) -> tuple[str, str] | None:
    """Return the first part of the path that is there in other capitals alone, and what it is called there."""
    there = failed.names | failed.folders
    if path in there:
        return None
    written = {one.casefold(): one for one in sorted(there, reverse=True)}
    if path.casefold() not in written:
        return None
    parts = path.split("/")
    for end in range(1, len(parts) + 1):
        name = "/".join(parts[:end])
        if name not in there:
            # The parts above are there in these capitals; of the parts below, the next attempt tells.
            same = [one for one in there if one.casefold() == name.casefold()]
            beside = [one for one in same if posixpath.dirname(one) == posixpath.dirname(name)]
            return (name, beside[0]) if len(beside) == 1 else None
    return None


def _example_of(failed: FailedStart, path: str) -> str | None:
    """Return the example of a missing configuration file; None for a file that is there, or without one example."""
    folder, name = posixpath.split(path)
    if _SETTINGS.fullmatch(name) and path not in failed.names:
        others = (posixpath.join(folder, f".env{end}") for end in _SETTINGS_ENDS)
        return next((one for one in others if one in failed.names), None)
    stem, ending = posixpath.splitext(name)
    if path in failed.names or not stem or name.startswith("."):
        return None
    names = [
        one
        for word in _WORDS
        for one in (
            f"{name}.{word}", f"{stem}.{word}{ending}", f"{stem}_{word}{ending}", f"{stem}-{word}{ending}",
            f"{word}.{name}", f"{word}_{name}", f"{word}-{name}", f"{name}-{word}", f"{name}_{word}",
        )
    ]  # fmt: skip
    return next((there for one in names if (there := posixpath.join(folder, one)) in failed.names), None)
