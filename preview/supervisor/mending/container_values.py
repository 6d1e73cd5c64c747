"""Facts about a project's variables that only other files tell.

Values that its Dockerfile or example files give them, the variables that one function reads, and the keys of a
dictionary that is looked up with one.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Collection, Iterable
from itertools import islice
from pathlib import Path
from typing import Final

from preview.core.descriptors import raise_want
from preview.detection.settings import (
    files_of_tests,
    is_example_name,
    is_placeholder,
    is_readme,
    local_address,
    values_of_tests,
    written_values,
)
from preview.supervisor.mending.container_folder import dockerfile_text, plain_text

_JOINED: Final = re.compile(r"\\[ \t]{0,8}\r?\n")
_ENV: Final = re.compile(r"^[ \t]{0,8}ENV[ \t]{1,8}(?P<rest>[^\r\n]{1,4000})$", re.MULTILINE | re.IGNORECASE)
_ARG: Final = re.compile(
    r"^[ \t]{0,8}ARG[ \t]{1,8}(?P<name>[A-Za-z_]\w{0,80})=(?P<value>\S{1,500})[ \t]{0,8}\r?$",
    re.MULTILINE | re.IGNORECASE,
)
_REFERENCE: Final = re.compile(r"\$(?:\{([A-Za-z_]\w{0,80})\}|([A-Za-z_]\w{0,80}))")
_SPACED: Final = re.compile(r"(?P<name>[A-Za-z_]\w{0,80})[ \t]{1,8}(?P<value>\S.{0,500})")
_PAIR: Final = re.compile(r"(?P<name>[A-Za-z_]\w{0,80})=(?P<value>.{1,500})")
_LINE: Final = re.compile(
    r"^[ \t]{0,4}(?:export[ \t]{1,4})?(?P<name>[A-Za-z_]\w{0,80})[ \t]{0,4}="
    r"[ \t]{0,4}(?P<value>[^#\r\n]{1,300}?)[ \t]{0,20}\r?$",
    re.MULTILINE,
)
# `need("SHOP_KEY")`, `Config.getString('SHOP_KEY')`, and functions that need no variable.
_CALL: Final = re.compile(
    r"(?<![\w$.])(?P<helper>(?:[A-Za-z_$][\w$]{0,60}\.){0,3}[A-Za-z_$][\w$]{0,60})"
    r"\(\s{0,8}['\"](?P<name>[A-Z][A-Z0-9_]{1,80})['\"]\s{0,8}\)"
)
_OTHERS: Final = re.compile(
    r"(?:^|\.)(?:getenv|print|log|error|warn|append|push|execute|pop)$|(?:environ|env|headers)\.get$"
)
# Texts, brackets and names before `=` of a dictionary.
_TOKEN: Final = re.compile(
    r"""(?P<text>"[^"\n]{0,80}"|'[^'\n]{0,80}')(?P<colon>\s{0,8}:)?|(?P<open>[\[({])|(?P<close>[\])}])"""
    r"""|\b(?P<name>[A-Za-z_]\w{0,80})\s{0,8}=(?!=)|#[^\n]{0,1000}"""
)
_MOST_OF_TABLE: Final = 20_000
_MOST_KEYS: Final = 20
_MOST_TABLES: Final = 20
_MOST_FILES: Final = 4
_MOST_CODE: Final = 500
_MOST_READ: Final = 8_000_000
_MOST_TOGETHER: Final = 40
_MOST: Final = 200


def find_container_values(project: Path) -> dict[str, str]:
    """Return the variables that the project's Dockerfile sets to a text of its own, or to the default of an argument.

    Values of other variables, and those that no variable can have, are left out.

    Reads files, but follows no links.
    """
    text = _JOINED.sub(" ", dockerfile_text(project))
    defaults = {match["name"]: match["value"].strip("\"'") for match in islice(_ARG.finditer(text), _MOST)}
    found: dict[str, str] = {}
    for match in _ENV.finditer(text):
        for name, given in _pairs(match["rest"].strip()):
            reference = _REFERENCE.fullmatch(given)
            value = given if reference is None else defaults.get(reference[1] or reference[2], given)
            if not {"$", "\0"}.intersection(value) and len(found) < _MOST:
                found[name] = value
    return found


def find_example_values(project: Path, names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return the values in the project's example files, README, tests and workflows, each with its file.

    Placeholders and references are left out.

    Reads files, but follows no links.

    Args:
        project: The project's folder.
        names: Its files, relative to it.
    """
    found: dict[str, tuple[str, str]] = {}
    files = (name for name in names if name.isprintable() and is_example_name(name.rpartition("/")[2]))
    # The names come in no order. A container's hosts are in no preview.
    for file in sorted(files, key=lambda name: (name.count("/"), "docker" in name, name))[:_MOST_FILES]:
        for match in _LINE.finditer(plain_text(project / file)):
            value = match["value"].strip().strip("\"'")
            is_plain = value.isascii() and value.isprintable() and "$" not in value
            if is_plain and not is_placeholder(value) and len(found) < _MOST:
                found.setdefault(match["name"], (value, file))
    for file in sorted(name for name in names if is_readme(name))[:1]:
        for name, value in written_values(plain_text(project / file)).items():
            found.setdefault(name, (value, file))
    for file in files_of_tests((*names, *_workflows(project))):
        for name, value in values_of_tests(file, plain_text(project / file)).items():
            found.setdefault(name, (local_address(name, value), file))
    return found


def _workflows(project: Path) -> list[str]:
    """Return the workflows of GitHub, whose folder is hidden; those that run tests first."""
    folder = project / ".github" / "workflows"
    if folder.is_symlink() or folder.parent.is_symlink():
        return []
    try:
        with os.scandir(folder) as entries:
            found = [one.name for one in islice(entries, _MOST) if one.name.isprintable()]
    except OSError as error:
        raise_want(error)
        return []
    return [f".github/workflows/{name}" for name in sorted(found)]


def find_read_together(project: Path, files: Iterable[str], name: str) -> list[str]:
    """Return the variables that the project's files read with the same function as this one, without a default.

    Reads files, but follows no links.

    Args:
        project: The project's folder.
        files: Its modules, relative to it.
        name: A variable that has no value: ``need("SHOP_KEY")``.
    """
    found: dict[str, dict[str, None]] = {}
    left = _MOST_READ
    for _, file in zip(range(_MOST_CODE), files, strict=False):
        text = plain_text(project / file)
        for match in _CALL.finditer(text):
            if not _OTHERS.search(match["helper"]):
                # Many objects have a `get`.
                last = match["helper"].rpartition(".")[2]
                found.setdefault(match["helper"] if last == "get" else last, {})[match["name"]] = None
        left -= len(text)
        if left <= 0:
            break
    together = [names for names in found.values() if name in names]
    return list(dict.fromkeys(one for names in together for one in names if one != name))[:_MOST_TOGETHER]


def find_mentioned(project: Path, files: Iterable[str], names: Collection[str]) -> frozenset[str]:
    """Return those of the names that the project's files have: the others are a package's own.

    A name that is made of a prefix and a quoted rest counts too, if the file has both. Of a project that is too large
    to read, all count.
    Reads files, but follows no links.

    Args:
        project: The project's folder.
        files: Its modules, relative to it.
        names: Variables that the program has read.
    """
    found: set[str] = set()
    left = _MOST_READ
    for number, file in enumerate(files):
        if number >= _MOST_CODE or left <= 0:
            return frozenset(names)
        text = plain_text(project / file)
        found.update(name for name in names if name not in found and _is_in(text, name))
        left -= len(text)
    return frozenset(found)


def _is_in(text: str, name: str) -> bool:
    # Any word may be quoted (`"OPTIONS"`), so the prefix must be there as well.
    parts = ((name[:at], name[at + 1 :]) for at, character in enumerate(name) if character == "_")
    made = (start in text and f"{quote}{rest}{quote}" in text for start, rest in parts if rest for quote in "'\"`")
    return name in text or any(made)


def find_keys(project: Path, files: Iterable[str], table: str) -> list[str]:
    """Return the keys of the dictionary of a name, which one of the project's Python files makes; empty without one.

    Reads files, but follows no links.

    Args:
        project: The project's folder.
        files: Its modules, relative to it.
        table: The dictionary's name: ``configs = {"dev": DevConfig}``.
    """
    made = re.compile(rf"\b{re.escape(table)}\b(?:\s{{0,4}}:[^=\n]{{1,80}})?\s{{0,4}}=\s{{0,4}}(?:dict\(|\{{)")
    left, tables = _MOST_READ, iter(range(_MOST_TABLES))
    for _, file in zip(range(_MOST_CODE), files, strict=False):
        text = plain_text(project / file) if file.endswith(".py") and left > 0 else ""
        left -= len(text)
        for match, _ in zip(made.finditer(text), tables, strict=False):
            if keys := _keys(text[match.end() - 1 : match.end() + _MOST_OF_TABLE]):
                return keys
    return []


def _keys(text: str) -> list[str]:
    """Return the keys of a dictionary whose opening bracket is the first character; those of printable characters."""
    found: dict[str, None] = {}
    depth = 0
    for match in _TOKEN.finditer(text):
        depth += 1 if match["open"] else -1 if match["close"] else 0
        if depth <= 0 or len(found) >= _MOST_KEYS:
            break
        if depth == 1 and match["colon"]:
            found[match["text"][1:-1]] = None
        elif depth == 1 and match["name"] and text[0] == "(":
            found[match["name"]] = None
    return list(filter(str.isprintable, found))


def _pairs(text: str) -> list[tuple[str, str]]:
    """Read ``A=1 B="two words"``, or the old form ``A two words``."""
    if (spaced := _SPACED.fullmatch(text)) is not None:
        return [(spaced["name"], spaced["value"].strip("\"' "))]
    try:
        words = shlex.split(text)
    except ValueError:
        return []
    return [(pair["name"], pair["value"]) for word in words if (pair := _PAIR.fullmatch(word)) is not None]
