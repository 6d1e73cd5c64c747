"""Lines to the bytes that are sent: the innermost loop of the service.

``json.encoder.encode_basestring`` is the C function behind ``json.dumps``; calling it directly is 2.5 times as fast.

Bytes of a child's output to text that cannot act on a terminal: colours stay, everything else is disarmed.

Kept: tab and SGR sequences (``ESC [ … m``, ECMA-48 8.3.117). Removed: other control sequences (cursor moves, erasing,
window titles, hyperlinks, device strings). Single control characters become their visible pictures (U+2400 and on),
so that a reader sees that something was there.

One sequence is for the service itself and stays where it is asked for: a request's mark at the beginning of a line, see
``requests``.

All patterns are linear: no run can be scanned from two starting points.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring

from preview.core.clock import rfc3339_ms
from preview.core.escapes import SGR
from preview.logs.model.encoding import Format
from preview.logs.model.events import MARKS, REQUEST_MARK, Contract, Requests

_REQUEST = {Contract.PLAN: "requestId", Contract.V1: "request_id"}


@dataclass(frozen=True, slots=True)
class _Pieces:
    """Constant text around a line's values, in this order: number, time, level, message, source.

    Attributes:
        number: Before the number.
        time: Before the time.
        levels: By mark: the level, and what stands before the message.
        sources: By mark: the source with what stands around it, and the end of the frame.
        request: Before a request's id, where there is one.
        close: The end of the frame.
    """

    number: str
    time: str
    levels: list[str]
    sources: list[str]
    request: str
    close: str


def _pieces(contract: Contract, form: Format) -> _Pieces:
    is_sse = form is Format.SSE
    close = "}\n\n" if is_sse else "}\n"
    return _Pieces(
        # An SSE frame is ``id``, one ``data`` line of JSON, and an empty line.
        number="id: " if is_sse else '{"type": "line", "seq": ',
        time='\ndata: {"timestamp": "' if is_sse else ', "timestamp": "',
        levels=[f'", "level": "{level.word(contract)}", "message": ' for level, _ in MARKS],
        sources=[f', "source": "{source.word(contract)}"{close}' for _, source in MARKS],
        request=f', "{_REQUEST[contract]}": "',
        close=close,
    )


_PIECES = {(contract, form): _pieces(contract, form) for contract in Contract for form in Format}


def encode_lines(
    seqs: Iterable[int],
    timestamps: Iterable[int],
    marks: bytes,
    messages: Sequence[str],
    contract: Contract,
    form: Format = Format.SSE,
    requests: Requests | None = None,
) -> bytes:
    """Return the lines in the words of ``contract``.

    Args:
        seqs: Numbers, one per line.
        timestamps: Milliseconds since the epoch, one per line.
        marks: One mark per line (see ``marks``).
        messages: Text without line ends and without lone surrogates.
        contract: Whose words are used for level and source.
        form: Which bytes.
        requests: The ids of requests, by position: one more key.
    """
    pieces = _PIECES[contract, form]
    number, levels, sources = pieces.number, pieces.levels, pieces.sources
    frames: list[str] = []
    stamp, head = -1, ""
    for seq, timestamp, mark, message in zip(seqs, timestamps, marks, messages, strict=True):
        if timestamp != stamp:
            stamp = timestamp
            head = f"{pieces.time}{rfc3339_ms(stamp)}"
        frames.append(f"{number}{seq}{head}{levels[mark]}{encode_basestring(message)}{sources[mark]}")
    if requests is not None:
        for position, request in requests.items():
            frames[position] = f'{frames[position].removesuffix(pieces.close)}{pieces.request}{request}"{pieces.close}'
    text = "".join(frames)
    if not text.isascii():
        # Legal in JSON and in SSE, but line ends to clients that split with str.splitlines().
        text = text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return text.encode()


# C0 without tab, newline and escape, and DEL. C1 begins with 0xC2 in UTF-8 (as do a few harmless letters).
_CONTROL_BYTES = bytes(code for code in (*range(0x20), 0x7F) if code not in (0x09, 0x0A, 0x1B))
_C1_LEAD = b"\xc2"

_CONTROLS = "\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f"
_NOT_A_COLOUR = re.compile(r"\x1b(?!\[[0-9;:]{0,64}m)")
_SEQUENCE = re.compile(
    rf"(?P<colour>{SGR})"
    r"|\x1b\[[0-?]{0,256}[ -/]{0,16}[@-~]"  # CSI
    r"|\x1b[\]PX^_][^\x07\x1b\n\r]*(?:\x07|\x1b\\)"  # OSC, DCS, SOS, PM, APC with their text
    r"|\x1b[ -/]{0,16}[0-~]"  # two-character escapes; also the head of a sequence that was never finished
    rf"|(?P<control>[{_CONTROLS}]|\x1b)"
)
# Line ends are those of the text: nothing else begins a line.
_SEQUENCE_OR_MARK = re.compile(rf"(?P<mark>^{REQUEST_MARK})|{_SEQUENCE.pattern}", re.MULTILINE)

_KEPT = ("colour", "mark")
_PICTURES = {code: chr(0x2400 + code) for code in range(0x20)} | {0x7F: "\u2421"}
_REPLACEMENT = "\ufffd"


def to_text(data: bytes | bytearray, *, marks: bool = False) -> str:
    """Decode UTF-8, bad bytes replaced by U+FFFD, and disarm control sequences.

    Args:
        data: One or more lines; newlines stay as they are.
        marks: Keep the marks of requests at the beginning of lines: nothing else is left there that begins as they do.
    """
    controls = len(data.translate(None, _CONTROL_BYTES)) != len(data) or _C1_LEAD in data
    text = data.decode("utf-8", "replace")
    if controls or ("\x1b" in text and _NOT_A_COLOUR.search(text)):
        return (_SEQUENCE_OR_MARK if marks else _SEQUENCE).sub(_disarm, text)
    return text


def _disarm(match: re.Match[str]) -> str:
    if match.lastgroup in _KEPT:
        return match.group()
    if match.lastgroup == "control":
        return _PICTURES.get(ord(match.group()), _REPLACEMENT)
    return ""
