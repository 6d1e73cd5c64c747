"""The commands that a project's README, Makefile, compose files, Dockerfiles and scripts name, as written."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from preview.sources.commands import MAX_BYTES, command_files
from preview.sources.files import Sources
from preview.sources.written_documents import runnable_code

_DOCUMENT: Final = re.compile(r"\.(?:md|rst|txt|markdown)$", re.IGNORECASE)
_PROMPT: Final = re.compile(r"^\s*(?:[$>%]\s+|\(\w+\)\s*[$>]\s*|PS[^>\n]{0,60}>\s*|@|-(?=\w))")
_CONTINUED: Final = re.compile(r"\\\r?\n\s*")
_SEPARATOR: Final = re.compile(r"\s*(?:&&|\|\||;|\||(?<=\s)&(?=\s|$))\s*")
_YAML_LIST: Final = re.compile(r"\n\s*-\s+(?=\S*[^\s:]\s*(?:\n|$))")
_QUOTED_LIST: Final = re.compile(r"[\[\],\"']+")
_COMMENT: Final = re.compile(r"(?:^|\s)#.*$")
# Splitting a line into words takes most of the time, so other lines are not split.
_PROGRAM: Final = re.compile(
    r"python|\.py\b|\bpy\b|flask|django-admin|\b(?:npm|npx|yarn|pnpm|bun|node|nodejs|tsx|ts-node|babel-node|swc-node|esno"
    r"|prisma|knex|sequelize|typeorm)\b",
    re.IGNORECASE,
)
_CHANGES_FOLDER: Final = re.compile(r"\bcd\s+\S")
_BACKSLASH: Final = re.compile(r"(?<=\w)\\(?=\w)")
_MAX_COMMANDS: Final = 400
# Programs that print the command, or run it on another machine.
_ELSEWHERE: Final = frozenset(
    {"echo", "printf", "cat", "grep", "ssh", "scp", "heroku", "fly", "flyctl", "kubectl", "oc", "helm", "gcloud", "aws",
     "az", "eb", "railway", "vercel", "dokku", "ansible", "fab", "git", "pytest", "crontab"}
)  # fmt: skip
_NAME: Final = r"(?:deploy\w*|prod|production|staging|release|tests?|e2e|ci|backup|restore)"
_ELSEWHERE_FILE: Final = re.compile(rf"(?:^|[/._-]){_NAME}(?=[/._-])", re.IGNORECASE)
_TARGET: Final = re.compile(r"^([\w./ -]{1,200}):(?!=)")
_ELSEWHERE_TARGET: Final = re.compile(rf"(?:^|[/._-]){_NAME}(?:[/._ -]|$)", re.IGNORECASE)
_PRODUCTION: Final = re.compile(r"\w+=['\"]?prod(?:uction)?\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class WrittenCommand:
    """One command as a file names it.

    Attributes:
        words: The words, without the prompt; a word may still be a placeholder such as ``<name>``.
    """

    words: tuple[str, ...]
    file: str


def written_commands(sources: Sources) -> list[WrittenCommand]:
    """Return the commands of Python and Node in documents and scripts, in the order of the files and their lines."""
    found: dict[WrittenCommand, None] = {}
    for file in command_files(sources):
        if _ELSEWHERE_FILE.search(file):
            continue
        text = sources.text(file)[:MAX_BYTES].decode("utf-8", "replace")
        for line in _lines(text, file):
            if not _PROGRAM.search(line):
                continue
            for piece in _SEPARATOR.split(line):
                words = _words(piece)
                if words:
                    found[WrittenCommand(words, file)] = None
            if len(found) >= _MAX_COMMANDS:
                return list(found)
    return list(found)


def commands_in_folders(sources: Sources, program: re.Pattern[str]) -> Iterator[tuple[WrittenCommand, str]]:
    """Yield the commands that match ``program``, each with the folder that it runs in, relative to the project.

    The folder follows each ``cd`` of the same file; it begins at the project's root, and is never outside.
    """
    count = 0
    for file in command_files(sources):
        text = sources.text(file)[:MAX_BYTES].decode("utf-8", "replace")
        if _ELSEWHERE_FILE.search(file) or not program.search(text):
            continue
        folder = "."
        for line in _lines(text, file):
            if not program.search(line) and not _CHANGES_FOLDER.search(line):
                continue
            for piece in _SEPARATOR.split(line):
                words = _words(piece)
                if words[:1] == ("cd",) and len(words) == 2:
                    folder = _entered(folder, words[1])
                elif words and program.search(piece):
                    yield WrittenCommand(words, file), folder
                    count += 1
            if count >= _MAX_COMMANDS:
                return


def _entered(folder: str, name: str) -> str:
    """Return the folder after ``cd name``; the root if it is outside."""
    path = posixpath.normpath(posixpath.join(folder, name))
    return "." if path.startswith(("..", "/")) else path


def _lines(text: str, file: str) -> Iterator[str]:
    """Yield lines that may be commands; of a document only its code."""
    text = _CONTINUED.sub(" ", text)
    if _DOCUMENT.search(file) or file.lower().rpartition("/")[2].startswith("readme"):
        yield from runnable_code(text)
        return
    if file.lower().endswith(("makefile", "justfile")):
        yield from _recipes(text)
        return
    if file.endswith((".yml", ".yaml", ".json")) or "ockerfile" in file:
        text = _QUOTED_LIST.sub(" ", _YAML_LIST.sub(" ", text))
    yield from (line for line in text.splitlines() if not line.lstrip().startswith(("#", "//")))


def _recipes(text: str) -> Iterator[str]:
    """Yield the lines of a Makefile's recipes, without those of targets for tests, production and deployment."""
    is_elsewhere = False
    for line in text.splitlines():
        target = _TARGET.match(line)
        if target:
            is_elsewhere = bool(_ELSEWHERE_TARGET.search(target[1]))
        elif not is_elsewhere and not line.lstrip().startswith("#"):
            yield line


def _words(piece: str) -> tuple[str, ...]:
    piece = _COMMENT.sub("", _PROMPT.sub("", piece)).strip()
    if not piece or len(piece) > 500:
        return ()
    try:
        # Windows separates folders with a backslash.
        piece = _BACKSLASH.sub("/", piece)
        words = tuple(filter(None, shlex.split(piece)))
    except ValueError:  # unclosed quote
        return ()
    if not words or words[0] in _ELSEWHERE or any(_PRODUCTION.match(word) for word in words[:8]):
        return ()
    return words
