r"""Which request a line belongs to, as the program's launcher says it.

The launchers of Python projects know which request is being handled when something is printed
(``runtime/launchers/preview_requests.py``), and write its id in front of the line as an operating system command
(ECMA-48 8.3.89) that means nothing to a terminal: ``ESC ] 7473 ; id ESC \``. Here it is taken off again. What a program
forges can only name a request of its own preview's lines wrongly; what is not written exactly so is disarmed like any
other sequence.
"""

from __future__ import annotations

from preview.core.ids import REQUEST_ID

_BEGIN, _END = "\x1b]7473;", "\x1b\\"

REQUEST_MARK = rf"\x1b\]7473;{REQUEST_ID}\x1b\\"
"""The pattern of a mark."""

MARK_BYTES = _BEGIN.encode()
"""How a mark begins."""

Requests = dict[int, str]
"""Position of a line in its batch to the request's id; only those that have one."""


def mark_of_line(line: str) -> str:
    """The mark in front of a line, which a framer has kept; empty where there is none."""
    return line[: line.index(_END) + len(_END)] if line.startswith(_BEGIN) else ""


def marked(line: str, mark: str) -> str:
    """The line behind the mark; with its own one, if it has one."""
    return line if line.startswith(_BEGIN) else mark + line


def take_requests(lines: list[str]) -> Requests | None:
    """Take the marks off the lines, in their places; None where no line has one.

    Args:
        lines: From a framer that keeps marks.
    """
    found: Requests = {}
    for position, line in enumerate(lines):
        if line.startswith(_BEGIN):
            found[position], _, lines[position] = line[len(_BEGIN) :].partition(_END)
    return found or None
