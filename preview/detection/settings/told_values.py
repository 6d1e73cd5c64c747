"""Values of variables that a project's README gives, in a block of lines ``NAME=value``, and its compose files."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import urlsplit

from dotenv.parser import parse_stream

from preview.detection.settings.example_files import ExampleValue, is_placeholder
from preview.sources import Sources

_README: Final = re.compile(r"readme(?:\.(?:md|markdown|rst|txt))?", re.IGNORECASE)
_FENCE: Final = re.compile(r"[ \t>]{0,16}(?P<fence>`{3,8}|~{3,8})[ \t]{0,4}(?P<language>[\w+-]{0,20})")
_LINE: Final = re.compile(r"(?:export[ \t]{1,4})?[A-Z][A-Z0-9_]{1,80}=(?![=>~]).*")
# In these, `NAME=value` is a statement of a program.
_PROGRAMS: Final = frozenset(
    {"python", "py", "python3", "js", "javascript", "ts", "typescript", "diff", "make", "makefile", "sql", "c", "toml"}
)
# `<host>`, `[user]`, `{password}`, and an ellipsis: parts that a reader is to replace.
_LEFT_OPEN: Final = re.compile(r"<[^<>]{0,80}>|\[[a-z][^\[\]\"']{0,80}\]|\{[^{}\"]{0,80}\}|\.\.\.|…|\*{3}|\$")
_MOST_TEXT: Final = 200_000
_MOST_LINE: Final = 1_000
_MOST: Final = 200

_COMPOSE: Final = re.compile(r"(?:docker-)?compose(?:[.-][\w.-]*)?\.ya?ml")
_VALUE: Final = re.compile(
    r"""^[ \t]*(?:-[ \t]*)?["']?([A-Z][A-Z0-9_]{1,60})["']?[ \t]*[:=][ \t]*(\S[^\n]{0,4000})$""", re.MULTILINE
)
_REFERENCE: Final = re.compile(r"\$\{(\w{1,60})(?::?-([^}]{0,200}))?\}")
_COMMENT: Final = re.compile(r"[ \t]#[^\n]{0,4000}$")
_MAX_BYTES: Final = 200_000
_MAX_FILES: Final = 4


def is_readme(name: str) -> bool:
    """Return whether a file of this name, without its folder, is a README."""
    return _README.fullmatch(name) is not None


def readme_values(sources: Sources, folders: Sequence[str]) -> dict[str, ExampleValue]:
    """Return the values that the READMEs of these folders give; the first folder wins."""
    found: dict[str, ExampleValue] = {}
    for folder in folders:
        prefix = "" if folder == "." else f"{folder}/"
        names = [one for one in sources.all_names if one.startswith(prefix) and is_readme(one[len(prefix) :])]
        for name in sorted(names)[:1]:
            for key, value in written_values(sources.text(name).decode("utf-8-sig", "replace")).items():
                found.setdefault(key, ExampleValue(value, name))
    return found


def written_values(text: str) -> dict[str, str]:
    """Return the values in blocks that have nothing else than lines ``NAME=value`` and comments.

    Placeholders, references to other variables, and addresses with a word for the port are left out.
    """
    found: dict[str, str] = {}
    for block in _blocks(text[:_MOST_TEXT]):
        for item in parse_stream(io.StringIO("\n".join(block))):
            if item.key and item.value is not None and _is_value(item.value) and len(found) < _MOST:
                found.setdefault(item.key, item.value)
    return found


def _blocks(text: str) -> Iterator[list[str]]:
    """Yield the fenced blocks of assignments, each as its lines."""
    fence, is_kept = "", False
    block: list[str] = []
    for line in text.splitlines():
        match = _FENCE.match(line)
        if match is not None and not fence:
            fence, block, is_kept = match["fence"], [], match["language"].lower() not in _PROGRAMS
        elif match is not None and match["fence"].startswith(fence) and not match["language"]:
            if is_kept and block:
                yield block
            fence = ""
        elif fence and is_kept:
            plain = line.strip(" \t>")
            if _LINE.fullmatch(plain) and len(plain) <= _MOST_LINE:
                block.append(plain)
            elif plain and not plain.startswith("#"):
                is_kept = False


def _is_value(value: str) -> bool:
    if is_placeholder(value) or _LEFT_OPEN.search(value) or not (value.isascii() and value.isprintable()):
        return False
    try:
        _ = urlsplit(value).port
    except ValueError:
        return False
    return True


def compose_values(sources: Sources) -> dict[str, ExampleValue]:
    """Return the variables that the project's compose files set, as written; the first file wins."""
    found: dict[str, ExampleValue] = {}
    for key, value, name in _written(sources):
        plain = _REFERENCE.sub(lambda match: match[2] or "preview", value.strip("\"'"))
        found.setdefault(key, ExampleValue(plain, name))
    return found


def composed_constants(sources: Sources) -> dict[str, ExampleValue]:
    """Return those of which the whole value is known: no placeholder, and no reference without a default."""
    found: dict[str, ExampleValue] = {}
    for key, value, name in _written(sources):
        bare = _COMMENT.sub("", value).strip()
        plain = _REFERENCE.sub(lambda match: match[2] or match[0], bare.strip("\"'"))
        is_plain = plain.isascii() and plain.isprintable() and not plain.startswith(("[", "{", "&", "*", "|", ">"))
        if is_plain and "$" not in plain and not is_placeholder(plain):
            found.setdefault(key, ExampleValue(plain, name))
    return found


def _written(sources: Sources) -> Iterator[tuple[str, str, str]]:
    names = [name for name in sources.all_names if _COMPOSE.fullmatch(name.rpartition("/")[2])]
    for name in names[:_MAX_FILES]:
        text = sources.text(name)[:_MAX_BYTES].decode("utf-8", "replace")
        for key, value in _VALUE.findall(text):
            yield key, value.strip(), name
