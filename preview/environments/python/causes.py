"""Cause of a failed build in a few words, found in the output of compilers and install scripts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

LONGEST_SENTENCE: Final = 300
"""Maximum length of a sentence that explains a failed build."""
_LONGEST_CAUSE: Final = 100
_LONGEST_LINE: Final = 1000

_INSTALL: Final = "ask the operator to install it on the service's machine"
_REACH: Final = "let builds reach it (PREVIEW_BUILD_HOSTS)"
_HOST: Final = r"(?:[\w-]{1,63}\.){1,6}[a-z]{2,20}"


@dataclass(frozen=True, slots=True)
class Cause:
    """Cause of a failed build.

    Attributes:
        said: The cause in a few words.
        remedy: What helps beside another version of the package; empty if nothing is known.
    """

    said: str
    remedy: str = ""


# Signs of a cause, the most telling first. The names go into a sentence, so they are short and plain.
_SIGNS: Final = tuple(
    (re.compile(pattern, re.MULTILINE), said, remedy)
    for pattern, said, remedy in (
        (r"fatal error: Killed signal", "the compiler ran out of memory", ""),
        (r"fatal error: (?P<name>[\w./+-]{1,60}): No such file or directory", "the header {} is missing", _INSTALL),
        (r"cannot find -l(?P<name>[\w.+-]{1,60})", "the library {} is missing", _INSTALL),
        (r"No package '(?P<name>[\w.+-]{1,60})' found", "the library {} is missing", _INSTALL),
        (r"Package '?(?P<name>[\w.+-]{1,60})'? was not found in the pkg-config", "the library {} is missing", _INSTALL),
        (r"could not be found for (?P<name>\w{1,60}),$", "the library {} is missing", _INSTALL),
        (r"find valid pkg-config name", "the client library of MySQL or MariaDB is missing", _INSTALL),
        (r"libxml2 and libxslt development packages", "the libraries libxml2 and libxslt are missing", _INSTALL),
        (
            r"(?P<name>\b(?:[A-Za-z]\w{0,40}[_-]config|[Cc][Mm]ake|[Cc]argo|rustc|meson|ninja|swig))\b.{0,40}not found",
            "the program {} is missing",
            _INSTALL,
        ),
        (r"can't find Rust compiler|Cargo, the Rust package manager, is not", "a Rust compiler is missing", _INSTALL),
        (
            r"command '(?:[\w./-]*/)?(?P<name>[\w.+-]{1,60})' failed: No such file or directory",
            "the program {} is missing",
            _INSTALL,
        ),
        (
            r"\bsh: (?:line )?(?:\d{1,6}: )?(?P<name>[\w.+-]{1,60}): (?:command )?not found",
            "the program {} is missing",
            _INSTALL,
        ),
        (r"Error: not found: (?P<name>[\w.+-]{1,60})$", "the program {} is missing", _INSTALL),
        (r"find any Python installation to use", "a Python for its build is missing", _INSTALL),
        (
            r"SyntaxError: (?:Missing parentheses in call to 'print'|leading zeros in decimal integer)",
            "its build is written for Python 2",
            "",
        ),
        (r"Can't find Python executable|python2: command not found", "its build needs Python 2", ""),
        (r"TOML parse error", "its pyproject.toml is not valid", ""),
        (
            r"use_2to3 is invalid|module 'setuptools[\w.]{0,40}' has no attribute",
            "its build is written for an older setuptools",
            "",
        ),
        (r"^[\w./-]+:\d+:\d+: error: ", "its C or C++ code does not compile here", ""),
        (
            rf"(?:ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|urlopen|https?://)\b.{{0,20}}?(?P<name>{_HOST})\b",
            "its script cannot download from {}",
            _REACH,
        ),
        (
            r"^ModuleNotFoundError: No module named '(?P<name>[\w.]{1,60})'",
            "its build needs the module {}, which is missing",
            "",
        ),
        (r"Cannot find module '(?P<name>[@\w./-]{1,60})'", "its script needs {}, which is missing", ""),
        (r"command '(?:[\w./-]*/)?(?P<name>[\w.+-]{1,60})' failed with exit", "the program {} failed", ""),
    )
)
_RAISED: Final = re.compile(
    r"^(?P<kind>(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w{0,80}(?:Error|Exception|Exit)|Exception)(?:: (?P<said>.*))?"
)
# Parts of commands, paths and data, which mean nothing to a reader.
_UNREADABLE: Final = re.compile(r"[/\\\[\]{}<>|`$]|\bCommand\b|(?:^|\s)-\w")
# An absolute path, not in a URL: only its last part is shown.
_ABSOLUTE: Final = re.compile(r"(?<![\w:/.~@-])(?:file://)?/(?:[^\s/'\"`(),]+/)+(?P<last>[^\s/'\"`(),:]*)")


def cause_of(printed: str) -> Cause | None:
    """Return why a build failed; None if its output has no plain reason."""
    lines = [line.strip()[:_LONGEST_LINE] for line in printed.splitlines()]
    lines = [line for line in lines if line and not line.startswith("hint:")]
    block = "\n".join(lines)
    for pattern, said, remedy in _SIGNS:
        if match := pattern.search(block):
            return Cause(said.format(match.groupdict().get("name", "")), remedy)
    match = next((match for line in reversed(lines) if (match := _RAISED.fullmatch(line))), None)
    if match is None:
        return None
    said, kind = (match["said"] or "").rstrip(".;"), match["kind"].rpartition(".")[2]
    return Cause(f"{kind}: {said}" if is_readable(said) else kind)


def is_readable(said: str) -> bool:
    """Return whether a program's words mean something to a reader: no command, no path, no data, and not too long."""
    return 0 < len(said) <= _LONGEST_CAUSE and not _UNREADABLE.search(said)


def without_paths(sentence: str) -> str:
    """Return the sentence with absolute paths shortened to their last part: they are the service's own."""
    return _ABSOLUTE.sub(lambda match: match["last"], sentence)
