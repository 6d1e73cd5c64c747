"""Texts in a Dockerfile ("heredocs"): find their markers in an instruction, and read the lines up to their ends.

The rules are BuildKit's: a marker is a whole word of ``RUN``, ``COPY`` or ``ADD``, such as ``<<EOF``, ``<<-EOF`` or
``3<<"EOF"``. Source: docs.docker.com/reference/dockerfile, "Here-Documents"; moby/buildkit, ``parser.ParseHeredoc``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

_MOST_TEXTS: Final = 20
_TAKES_TEXTS: Final = re.compile(r"(?:RUN|COPY|ADD)[ \t]+", re.IGNORECASE)
_FLAG: Final = re.compile(r"--\S*+[ \t]*+")
# Words of a shell: quotes and escapes hold blanks together.
_WORD: Final = re.compile(r"""(?:[^\s'"\\]|\\.|'[^']*+'|"(?:[^"\\]|\\.)*+")++""")
# Words of the engine's own parser, by its escape character, which counts in any quotes. These may have no end.
_ARGUMENTS: Final = {
    "\\": re.compile(r"""(?:[^\s'"\\]|\\.|\\$|'(?:[^'\\]|\\.|\\$)*+(?:'|$)|"(?:[^"\\]|\\.|\\$)*+(?:"|$))++"""),
    "`": re.compile(r"""(?:[^\s'"`]|`.|`$|'(?:[^'`]|`.|`$)*+(?:'|$)|"(?:[^"`]|`.|`$)*+(?:"|$))++"""),
}
_MARKER: Final = re.compile(r"[0-9]*+<<-?[^<]+")
_NAME: Final = re.compile(r"""[0-9]{0,3}<<(-?)(["']?)([A-Za-z0-9_.][\w.-]{0,100})\2""", re.ASCII)
_LEADING_TABS: Final = re.compile(r"(?m)^\t+")


@dataclass(frozen=True, slots=True)
class InlineText:
    """A text in the Dockerfile.

    Attributes:
        marker: The word that announces it.
        name: Its name, which is the line that ends it.
        lines: Its lines, each with its end.
        is_plain: Whether variables in it are not filled in, as its name has quotes.
        content: The text without the leading tabs that ``<<-`` leaves out.
    """

    marker: str
    name: str
    lines: str
    is_plain: bool

    @property
    def content(self) -> str:
        """The text as a file has it."""
        return _LEADING_TABS.sub("", self.lines) if self.strips_tabs else self.lines

    @property
    def strips_tabs(self) -> bool:
        """True if its marker is ``<<-``."""
        return "<<-" in self.marker


class NoText(Exception):
    """The sentence for the person."""


def words_of(text: str) -> list[str]:
    """Return the words of a line, with their quotes, as a shell reads them."""
    return _WORD.findall(text)


def arguments_of(text: str, escape: str) -> list[str]:
    """Return the words of ``ARG``, with their quotes, as the engine reads them.

    Args:
        text: The instruction without its first word.
        escape: The Dockerfile's escape character.
    """
    return _ARGUMENTS[escape].findall(text)


def change_arguments(text: str, escape: str, change: Callable[[str], str]) -> str:
    """Return ``ARG`` with each of its words changed, and its blanks as they are; see ``arguments_of``."""
    return _ARGUMENTS[escape].sub(lambda found: change(found[0]), text)


def as_json(text: str) -> list[str] | None:
    """Return the words of the JSON form of an instruction; None if it has another form."""
    try:
        found = json.loads(text) if text.startswith("[") else None
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) and all(isinstance(one, str) for one in found) else None


def is_marker(word: str) -> bool:
    """Return whether a word announces a text."""
    return _MARKER.fullmatch(word) is not None


def read_texts(line: str, following: Iterator[tuple[int, str]]) -> tuple[InlineText, ...]:
    """Return the texts of an instruction.

    Args:
        line: The instruction as one line.
        following: Numbers and content of the lines after it, without their ends; those of the texts are taken.

    Raises:
        NoText: A marker is not supported, or its text has no end.
    """
    found = _TAKES_TEXTS.match(line)
    if found is None or "<<" not in line:
        return ()
    at = found.end()
    while flag := _FLAG.match(line, at):
        at = flag.end()
    if as_json(line[at:]) is not None:
        return ()
    markers = [one for one in words_of(line[at:]) if is_marker(one)]
    if len(markers) > _MOST_TEXTS:
        raise NoText(f"an instruction has more than {_MOST_TEXTS} texts; use several instructions")
    return tuple(_read_text(one, following) for one in markers)


def _read_text(marker: str, following: Iterator[tuple[int, str]]) -> InlineText:
    found = _NAME.fullmatch(marker)
    if found is None or found[3] in (".", ".."):
        raise NoText(f"write {marker[:40]!r} as <<NAME, with only letters, digits, dots and lines in the name")
    lines: list[str] = []
    for _, line in following:
        end = line.removesuffix("\r")
        if (end.lstrip("\t") if found[1] else end) == found[3]:
            return InlineText(marker, found[3], "".join(f"{one}\n" for one in lines), bool(found[2]))
        lines.append(line)
    raise NoText(f"the text after {marker} has no end; write {found[3]} alone in a line after it")
