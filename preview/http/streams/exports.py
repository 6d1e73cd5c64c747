"""Export a log as a file (text, JSON Lines or CSV), page by page."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from io import StringIO
from types import MappingProxyType

from preview.core.clock import rfc3339_ms
from preview.core.escapes import without_escapes
from preview.core.quoting import visible
from preview.errors import ServiceStopping
from preview.http.core.piecewise import PiecewiseBody
from preview.http.streams.log_streams import Waits
from preview.logs import (
    Contract,
    Encoding,
    Format,
    Gap,
    LineFilter,
    LogLine,
    LogPager,
    LogSlice,
    Range,
    encode,
    encode_found,
)

_PAGE_LINES = 1000
_COLUMNS = ("seq", "timestamp", "level", "source", "request_id", "message", "stream")
# OWASP, "CSV Injection": a cell with one of these first characters, also in full width, is a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


class ExportKind(StrEnum):
    """Format of the file."""

    TEXT = "text"
    JSONL = "jsonl"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class ExportStyle:
    """Form of exported lines.

    Attributes:
        contract: Defines the words for level and source.
        colours: Whether to keep ANSI colours.
    """

    contract: Contract
    colours: bool


def _message(line: LogLine, style: ExportStyle) -> str:
    """Return the message with escapes for people; programs use JSON Lines."""
    return visible(line.message, colours=True) if style.colours else visible(without_escapes(line.message))


def _gone(gap: Gap) -> str:
    return f"lines {gap.first_seq} to {gap.last_seq} are not kept any more ({gap.reason})"


def _as_text(items: Iterable[LogLine | Gap], style: ExportStyle) -> bytes:
    said = [
        f"# {_gone(one)}\n"
        if isinstance(one, Gap)
        else f"{rfc3339_ms(one.timestamp_ms)} {one.level.word(style.contract):<7} {_message(one, style)}\n"
        for one in items
    ]
    return "".join(said).encode()


def _as_jsonl(items: Iterable[LogLine | Gap], style: ExportStyle) -> bytes:
    encoding = Encoding(style.contract, Format.NDJSON)
    said = b"".join(
        encode([one], encoding)
        if isinstance(one, Gap)
        else encode_found(
            [one if style.colours else replace(one, message=without_escapes(one.message))], style.contract
        )
        for one in items
    )
    # Still the same JSON: characters that control a terminal are written as JSON escapes.
    return visible(said.decode()).encode()


def _safe(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def _as_csv(items: Iterable[LogLine | Gap], style: ExportStyle) -> bytes:
    made = StringIO()
    # RFC 4180. All cells are quoted, so that no message can start a new cell.
    rows = csv.writer(made, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    for one in items:
        if isinstance(one, Gap):
            rows.writerow((one.first_seq, "", "", "gap", "", _gone(one), ""))
            continue
        level, source = one.level.word(style.contract), one.source.word(style.contract)
        rows.writerow(
            (
                one.seq,
                rfc3339_ms(one.timestamp_ms),
                level,
                source,
                _safe(one.request_id or ""),
                _safe(_message(one, style)),
                "stderr" if one.is_stderr else "",
            )
        )
    return made.getvalue().encode()


@dataclass(frozen=True, slots=True)
class _Export:
    """One file format.

    Attributes:
        media_type: Value of ``Content-Type``.
        suffix: Suffix of the file's name.
        head: Bytes before the first line.
        write: Formats lines and gaps.
    """

    media_type: str
    suffix: str
    head: bytes
    write: Callable[[Iterable[LogLine | Gap], ExportStyle], bytes]


EXPORTS: Mapping[ExportKind, _Export] = MappingProxyType(
    {
        ExportKind.TEXT: _Export("text/plain", "log", b"", _as_text),
        ExportKind.JSONL: _Export("application/x-ndjson", "jsonl", b"", _as_jsonl),
        ExportKind.CSV: _Export("text/csv", "csv", ",".join(_COLUMNS).encode() + b"\r\n", _as_csv),
    }
)


class ExportBody(PiecewiseBody):
    """The body of an export. Only one page is in memory at a time.

    It ends with the line that was the newest at its start. If the database fails meanwhile, the connection is broken
    off, so that a partial file cannot look complete.

    Args:
        look_back: Source of the lines.
        kind: The file format.
        style: Form of the lines.
        asked: Range of the lines; its limit is ignored if ``whole`` is set.
        chosen: Filter of the lines.
        whole: Whether to export all lines in the range, page by page.
        waits: Knows whether the service is shutting down.
    """

    def __init__(
        self,
        look_back: LogPager,
        kind: ExportKind,
        style: ExportStyle,
        *,
        asked: Range,
        chosen: LineFilter,
        whole: bool,
        waits: Waits,
    ) -> None:
        self._look_back = look_back
        self._export = EXPORTS[kind]
        self._style = style
        self._asked = replace(asked, limit=_PAGE_LINES, newest=False) if whole else asked
        self._chosen = chosen
        self._whole = whole
        self._waits = waits
        self._head = EXPORTS[kind].head

    async def __anext__(self) -> bytes:
        """Return the next page. Cancellation: the export is cut off."""
        chunk, self._head = self._head, b""
        while not chunk:
            if self._over:
                raise StopAsyncIteration
            if self._waits.draining:
                raise ServiceStopping("The service is shutting down; export the log again in a moment.")
            chunk = await self._next_page()
        return chunk

    async def _next_page(self) -> bytes:
        page = await self._look_back.page(self._asked, self._chosen)
        # Later lines are not part of the export.
        before = min(self._asked.before or page.last_seq + 1, page.last_seq + 1)
        # A page may contain fewer lines than requested. The newest lines are one page, exported in order.
        left = _PAGE_LINES if self._whole else self._asked.limit - len(page.lines)
        self._over = self._asked.newest or not left or page.last >= before - 1
        self._asked = replace(self._asked, after=page.last, before=before, limit=left)
        return self._export.write(_in_order(page), self._style)


def _in_order(page: LogSlice) -> list[LogLine | Gap]:
    return sorted([*page.lines, *page.gaps], key=lambda one: one.first_seq if isinstance(one, Gap) else one.seq)
