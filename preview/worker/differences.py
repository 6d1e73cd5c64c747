"""Unified diffs of files. Runs in a worker: ``difflib`` takes quadratic time or more on hostile files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from typing import Final, Literal

MOST_FILES: Final = 200
"""Files of one comparison that get a diff."""
MOST_FILE_BYTES: Final = 512 * 1024
"""Size of a file, on each side, that gets a diff."""
MOST_TOTAL_BYTES: Final = 4 * 1024 * 1024
"""Size of all files, on both sides, that get a diff."""
TOO_LARGE: Final = "The file is too large to be compared line by line; download both versions to compare it."
TOO_MANY: Final = "Too many files differ to show them all; compare with a version that is nearer."
_BINARY: Final = "The file is binary."
_CUT: Final = "The diff is cut: it is too long to be shown as a whole."
_MOST_LINE: Final = 1000
# Of one file and of all, as bytes of JSON: less than the most that a worker answers.
_MOST_DIFF: Final = 200_000
_MOST_DIFFS: Final = 1_000_000
# Files of two sides with more pairs of lines that differ get one hunk that replaces all.
_MOST_PAIRS: Final = 4_000_000

Text = tuple[str | None, str | None]


@dataclass(frozen=True, slots=True)
class FilePair:
    """Content of one file in two versions; None: the version does not have it."""

    path: str
    before: bytes | None
    after: bytes | None


@dataclass(frozen=True, slots=True)
class FileDifference:
    """Difference of one file between two versions.

    Attributes:
        size_before: Size in bytes in the older version; None: it is not there.
        size_after: Size in bytes in the newer version; None: it is not there.
        diff: Unified diff; None if it is left out.
        left_out: Reason why there is no diff, or why it is cut.
    """

    path: str
    change: Literal["added", "removed", "changed"]
    size_before: int | None
    size_after: int | None
    diff: str | None
    left_out: str | None


def compare_files(pairs: Iterable[FilePair]) -> list[Text]:
    """Return the unified diff of each file, and the reason if it is left out or cut, in the same order."""
    found: list[Text] = []
    left = _MOST_DIFFS
    for pair in pairs:
        if left <= 0:
            found.append((None, TOO_MANY))
            continue
        text, reason = _diff(pair, min(left, _MOST_DIFF))
        left -= _cost(text or "")
        found.append((text, reason))
    return found


def pack(pairs: Sequence[FilePair]) -> tuple[list[tuple[str, int | None, int | None]], bytes]:
    """Return path and sizes of each pair, and all contents in one piece; ``unpacked`` is the inverse."""
    sizes = [(one.path, _size(one.before), _size(one.after)) for one in pairs]
    return sizes, b"".join(content for one in pairs for content in (one.before, one.after) if content is not None)


def unpacked(sizes: Sequence[tuple[str, int | None, int | None]], contents: bytes) -> Iterator[FilePair]:
    """Yield the pairs again."""
    at = 0

    def take(size: int | None) -> bytes | None:
        nonlocal at
        if size is None:
            return None
        at += size
        return contents[at - size : at]

    for path, before, after in sizes:
        yield FilePair(path, take(before), take(after))


def _size(content: bytes | None) -> int | None:
    return None if content is None else len(content)


def _cost(text: str) -> int:
    return len(json.dumps(text))


def _diff(pair: FilePair, most: int) -> Text:
    before, after = _lines(pair.before), _lines(pair.after)
    if before is None or after is None:
        return None, _BINARY
    names = (
        "/dev/null" if pair.before is None else f"a/{pair.path}",
        "/dev/null" if pair.after is None else f"b/{pair.path}",
    )
    parts: list[str] = []
    left, is_cut = most, False
    for line in _unified(before, after, names):
        if len(line) > _MOST_LINE:
            shown, is_cut = line[:_MOST_LINE] + "…\n", True
        elif not line.endswith("\n"):
            shown = f"{line}\n\\ No newline at end of file\n"
        else:
            shown = line
        left -= _cost(shown)
        if left < 0:
            is_cut = True
            break
        parts.append(shown)
    return "".join(parts), _CUT if is_cut else None


def _unified(before: list[str], after: list[str], names: tuple[str, str]) -> Iterator[str]:
    """Yield the lines of the diff. Equal lines at the start and end are left out of the search."""
    first = 0
    while first < min(len(before), len(after)) and before[first] == after[first]:
        first += 1
    last = 0
    while last < min(len(before), len(after)) - first and before[-1 - last] == after[-1 - last]:
        last += 1
    # Three lines of context on each side stay.
    start, end = max(0, first - 3), max(0, last - 3)
    old, new = before[start : len(before) - end], after[start : len(after) - end]
    if (len(old) - first + start) * (len(new) - first + start) > _MOST_PAIRS:
        yield from _replaced(old, new, start, names)
        return
    for line in unified_diff(old, new, *names):
        yield _moved(line, start) if line.startswith("@@ ") else line


def _replaced(old: list[str], new: list[str], start: int, names: tuple[str, str]) -> Iterator[str]:
    yield f"--- {names[0]}\n"
    yield f"+++ {names[1]}\n"
    yield f"@@ -{start + 1},{len(old)} +{start + 1},{len(new)} @@\n"
    yield from (f"-{line}" for line in old)
    yield from (f"+{line}" for line in new)


def _moved(head: str, start: int) -> str:
    """Return the head of a hunk with line numbers ``start`` higher."""
    _, old, new, _ = head.split(" ", 3)
    return f"@@ -{_higher(old[1:], start)} +{_higher(new[1:], start)} @@\n"


def _higher(place: str, start: int) -> str:
    line, comma, count = place.partition(",")
    return f"{int(line) + start}{comma}{count}"


def _lines(content: bytes | None) -> list[str] | None:
    """Return the lines with their ends, which are line feeds; None for a binary file."""
    if content is None:
        return []
    if b"\0" in content:
        return None
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    lines = text.split("\n")
    return [f"{line}\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
