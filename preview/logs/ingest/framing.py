r"""Splitting of byte chunks into lines, independent of the chunks' boundaries.

A line ends at ``\n`` or ``\r\n``. A lone ``\r`` also ends a line, so each state of a progress bar becomes a line. But
only ``\n`` makes an empty line.
"""

from __future__ import annotations

import re

from preview.logs.ingest.masking import SecretMask
from preview.logs.model.events import MARK_BYTES, REQUEST_MARK, mark_of_line, marked
from preview.logs.model.frames import to_text

CONTINUES = " …[continues]"
"""Suffix of each part of an overlong line except the last part."""


# A mark within a line: programs write a line in parts, each with its mark.
_INNER_MARK = re.compile(rb"(?<=[^\r\n])" + REQUEST_MARK.encode())
# A mark at the end, or what may become one.
_LAST_MARK = re.compile(rb"\x1b(?:\](?:7(?:4(?:7(?:3(?:;[^\x00-\x20\x7f-\xff]{0,66}(?:\x1b\\?)?)?)?)?)?)?)?\Z")
_LONGEST_MARK = 80


class LineFramer:
    """Framing of one output stream. The same bytes give the same lines, whatever the chunks' boundaries.

    Args:
        max_line_bytes: A longer line is split at this many bytes, at a character boundary. Each part but the last ends
            with ``CONTINUES``. This also bounds the buffered bytes.
        marks: Keep request marks at the start of lines (see ``events``); each part of a line has its mark.
        mask: Secrets to replace; values may be added at any time.

    Attributes:
        has_marks: True once any line had a mark.
    """

    def __init__(self, max_line_bytes: int, *, marks: bool = False, mask: SecretMask | None = None) -> None:
        self.has_marks = False
        self._max = max_line_bytes
        self._marks = marks
        self._mask = SecretMask() if mask is None else mask
        # Request mark of the current physical line.
        self._mark = ""
        # Invariant: contains no \n and no \r, and between calls at most max_line_bytes and one secret.
        self._pending = bytearray()
        # Bytes of ``_pending`` that were kept back at the last flush, as they may be the beginning of a secret.
        self._kept = 0
        # True if a part of the current physical line (up to \n) was already returned.
        self._begun = False

    @property
    def has_pending(self) -> bool:
        """True if an unfinished line is buffered that could be returned now."""
        return len(self._pending) > self._kept

    def feed(self, chunk: bytes) -> list[str]:
        """Return the lines that ``chunk`` completes, as text without line ends."""
        self._kept = 0
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n")
        end = max(chunk.rfind(b"\n"), chunk.rfind(b"\r")) + 1
        if not end:
            self._pending += chunk
            if self._mask.is_active and MARK_BYTES in self._pending:
                self._pending = bytearray(_INNER_MARK.sub(b"", self._pending))
            return self._take_overlong()
        head = bytes(self._pending) + chunk[:end]
        if self._mask.is_active:
            # A secret may come in two parts.
            head = self._mask.masked(_INNER_MARK.sub(b"", head) if MARK_BYTES in head else head)
        self._pending = bytearray(chunk[end:])
        lines = self._split_carefully(head) if b"\r" in head or not self._fits(head) else self._split(head)
        return lines + self._take_overlong() if len(self._pending) > self._max else lines

    def flush(self, *, final: bool = True) -> list[str]:
        """Return the unfinished line, if any.

        Args:
            final: True if no chunk follows. Otherwise a mark without a text, an incomplete character, or a possible
                beginning of a secret or mark, stays in the buffer for the next chunk.
        """
        pending, mask = self._pending, self._mask
        last = b"" if final or not self._marks else _last_mark(pending)
        pending = pending[: len(pending) - len(last)]
        if mask.is_active:
            pending = bytearray(mask.masked(pending, None if final else len(pending) - mask.beginning(pending)))
        keep = 0 if final else max(_unfinished_character(pending), mask.beginning(pending)) + len(last)
        pending += last
        data = pending[: len(pending) - keep]
        self._pending = pending[len(data) :]
        self._kept = keep
        if not data:
            return []
        self._begun = not final
        lines: list[str] = []
        rest = self._parts(data, lines)
        return [*lines, self._part(data[rest:])]

    def _fits(self, head: bytes) -> bool:
        """Return True if each line of ``head`` is within the limit; jumps to the last line end within reach."""
        position = 0
        while len(head) - position > self._max:
            position = head.rfind(b"\n", position, position + self._max + 1) + 1
            if not position:
                return False
        return True

    def _split(self, head: bytes) -> list[str]:
        """Split the common case: no lone carriage return, no overlong line, and a newline at the end."""
        lines = self._text(head).split("\n")
        lines.pop()
        if self._begun:
            # A mark alone ends the line, as it does without one.
            if lines[0] == mark_of_line(lines[0]):
                del lines[0]
            else:
                lines[0] = marked(lines[0], self._mark)
        elif self._mark:
            lines[0] = marked(lines[0], self._mark)
        self._begun = False
        self._mark = ""
        return lines

    def _split_carefully(self, head: bytes) -> list[str]:
        *physical, tail = head.split(b"\n")
        lines: list[str] = []
        for content in physical:
            self._segments(content, lines)
            if not self._begun:
                lines.append("")
            self._begun = False
            self._mark = ""
        self._segments(tail, lines)
        return lines

    def _segments(self, content: bytes, lines: list[str]) -> None:
        segments = content.split(b"\r")
        for number, segment in enumerate(segments, 1):
            if segment:
                rest = self._parts(segment, lines)
                line = self._part(segment[rest:])
                # A progress bar's first state may begin with its return: the mark before it is no line.
                if (number < len(segments) or self._begun) and line and line == mark_of_line(line):
                    continue
                self._begun = True
                lines.append(line)

    def _take_overlong(self) -> list[str]:
        """Take what exceeds a line's length, except for the end, which may be the beginning of a secret."""
        lines: list[str] = []
        reserve = self._reserve()
        if reserve and len(self._pending) > self._max + reserve:
            self._pending = bytearray(self._mask.masked(self._pending, len(self._pending) - reserve))
        taken = self._parts(self._pending, lines, reserve)
        if taken:
            self._begun = True
            del self._pending[:taken]
        return lines

    def _reserve(self) -> int:
        return self._mask.longest if self._mask.is_active else 0

    def _parts(self, data: bytes | bytearray, lines: list[str], reserve: int = 0) -> int:
        """Append the full parts of an overlong line; return the start of the last part, at least ``reserve`` long."""
        start = 0
        while len(data) - start > self._max + reserve:
            end = _character_border(data, start + self._max)
            lines.append(self._part(data[start:end]) + CONTINUES)
            start = end
        return start

    def _part(self, data: bytes | bytearray) -> str:
        """Decode a part of a physical line and prefix it with the line's request mark."""
        text = self._text(data)
        if self.has_marks:
            text = marked(text, self._mark)
            self._mark = mark_of_line(text)
        return text

    def _text(self, data: bytes | bytearray) -> str:
        if self._marks and not self.has_marks and MARK_BYTES in data:
            self.has_marks = True
        return to_text(data, marks=self.has_marks)


def _character_border(data: bytes | bytearray, position: int) -> int:
    """Return the nearest position at or before ``position`` where a UTF-8 character starts (RFC 3629 section 3)."""
    for back in range(4):
        if data[position - back] & 0xC0 != 0x80:
            return position - back
    return position


def _last_mark(data: bytearray) -> bytes:
    """Return the mark at the end, whole or not; empty without one."""
    found = _LAST_MARK.search(bytes(data[-_LONGEST_MARK:]))
    return found.group() if found else b""


def _unfinished_character(data: bytes | bytearray) -> int:
    """Count the bytes of an incomplete character at the end."""
    for back in range(1, min(4, len(data) + 1)):
        byte = data[-back]
        if byte & 0xC0 == 0x80:
            continue
        length = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
        return back if length > back else 0
    return 0
