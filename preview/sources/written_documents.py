"""The code of a document that a reader is meant to run: no comment, no negated command, no section on production."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_FENCE: Final = re.compile(r"^\s*(`{3,}|~{3,})\s*\{?\.?([\w+-]*)")
_INLINE: Final = re.compile(r"`([^`\n]{3,300})`")
_COMMENT: Final = re.compile(r"<!--[\s\S]*?(?:-->|\Z)")
_HEADING: Final = re.compile(r"^(#{1,6})\s+(\S.*)$")
_UNDERLINE: Final = re.compile(r"^([=~^\"*-])\1*\s*$")
_LEVELS: Final = {"=": 1, "-": 2}
_SHELLS: Final = frozenset(
    {"", "sh", "bash", "shell", "zsh", "fish", "console", "terminal", "text", "txt", "plaintext", "none", "cmd", "bat",
     "batch", "dos", "powershell", "pwsh", "ps1", "shell-session", "shellsession", "sh-session", "bash-session"}
)  # fmt: skip
# RST: a comment or a block of code; other directives (`.. note::`) are text.
_RST_CODE: Final = re.compile(r"^\.\.\s+(?:code-block|code|sourcecode)::\s*([\w+-]*)")
_RST_DIRECTIVE: Final = re.compile(r"^\.\.\s+[\w-]+::")
_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+|\n[ \t]*(?:[-*+]|\d{1,3}[.)])[ \t]+")
_RUN: Final = r"(?:run|use|execute|call|start|try|type|running|using|executing|calling)\b"
_NEGATED: Final = re.compile(
    rf"\b(?:never|do not|don['\u2019]t|must not|should not|avoid)[ \n]+(?:\w{{1,20}}[ \n]+){{0,2}}{_RUN}"
    r"|\b(?:never|not)[ \n]+be[ \n]+(?:run|used|executed|called)\b"
    r"|\bto[ \n]+(?:undo|revert|roll[ \n]?back|remove|delete|uninstall|wipe)\b",
    re.IGNORECASE,
)
_PRODUCTION: Final = re.compile(r"\b(?:prod|production|deploy\w*|staging|heroku|kubernetes)\b", re.IGNORECASE)
_LOCAL: Final = re.compile(r"\b(?:local\w*|dev|development|install\w*|quick\w*|getting started)\b", re.IGNORECASE)
_TESTS: Final = re.compile(r"\b(?:tests?|testing|ci|benchmarks?|uninstall\w*)\b", re.IGNORECASE)
_DATA: Final = re.compile(r"\b(?:data|database|db|seed\w*|fixtures?|set ?up|run(?:ning)? the app\w*)\b", re.IGNORECASE)


def runnable_code(text: str) -> Iterator[str]:
    """Yield the lines of a document's code, and its code within sentences, that name commands to run here."""
    yield from _Reader().read(_COMMENT.sub("", text))


class _Reader:
    """Reads one document line by line.

    Attributes:
        paragraph: Lines of prose since the last empty line.
        is_negated: The last sentence before a block of code forbids it.
        refused: Level of the heading of a section on elsewhere; 0 outside such a section.
        is_titled: The title has been read; it describes the project, not a section.
        fence: Characters that close the block of code; empty outside one.
        is_shell: The block of code is one of commands.
        is_hidden: Indented lines belong to a comment or to code of another language (RST).
    """

    def __init__(self) -> None:
        self.paragraph: list[str] = []
        self.is_negated = self.is_titled = self.is_hidden = False
        self.refused = 0
        self.fence, self.is_shell = "", True

    def read(self, text: str) -> Iterator[str]:
        for line in text.splitlines():
            opened = _FENCE.match(line)
            if self.fence:
                if opened and opened[1].startswith(self.fence) and not opened[2]:
                    self.fence = ""
                elif self.is_shell and self._is_here():
                    yield line
            elif opened:
                yield from self._end_paragraph()
                self.fence, self.is_shell = opened[1], opened[2].lower() in _SHELLS
            else:
                yield from self._plain(line)
        yield from self._end_paragraph()

    def _plain(self, line: str) -> Iterator[str]:
        """Read a line outside fences."""
        heading = _HEADING.match(line)
        underline = _UNDERLINE.match(line)
        if not line.strip():
            yield from self._end_paragraph()
        elif line.startswith(("    ", "\t", "$ ")) or (self.is_hidden and line[0].isspace()):
            yield from self._end_paragraph()
            if self._is_here() and not self.is_hidden:
                yield line
        elif heading:
            yield from self._end_paragraph()
            self._enter(len(heading[1]), heading[2])
        elif underline and self.paragraph:
            title = self.paragraph.pop()
            yield from self._end_paragraph()
            self._enter(_LEVELS.get(underline[1], 3), title)
        elif line.startswith(".."):
            yield from self._end_paragraph()
            code = _RST_CODE.match(line)
            self.is_hidden = code[1].lower() not in _SHELLS if code else not _RST_DIRECTIVE.match(line)
        else:
            self.is_hidden = False
            self.paragraph.append(line)

    def _enter(self, level: int, title: str) -> None:
        self.is_negated = self.is_hidden = False
        if self.refused and level > self.refused:
            return
        self.refused = level if (self.is_titled or level > 1) and _is_elsewhere(title) else 0
        self.is_titled = True

    def _is_here(self) -> bool:
        return not self.refused and not self.is_negated

    def _end_paragraph(self) -> Iterator[str]:
        if not self.paragraph:
            return
        sentences = _SENTENCE.split("\n".join(self.paragraph).strip())
        self.paragraph = []
        self.is_negated = False
        for sentence in sentences:
            self.is_negated = bool(_NEGATED.search(sentence))
            if self._is_here():
                yield from _INLINE.findall(sentence)


def _is_elsewhere(title: str) -> bool:
    if _PRODUCTION.search(title):
        return not _LOCAL.search(title)
    return bool(_TESTS.search(title)) and not _DATA.search(title)
