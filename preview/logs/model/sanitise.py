"""Bytes of a child's output to text that cannot act on a terminal: colours stay, everything else is disarmed.

Kept: tab and SGR sequences (``ESC [ … m``, ECMA-48 8.3.117). Removed: other control sequences (cursor moves, erasing,
window titles, hyperlinks, device strings). Single control characters become their visible pictures (U+2400 and on),
so that a reader sees that something was there.

One sequence is for the service itself and stays where it is asked for: a request's mark at the beginning of a line, see
``requests``.

All patterns are linear: no run can be scanned from two starting points.
"""

from __future__ import annotations

import re

from preview.core.escapes import SGR
from preview.logs.model.requests import REQUEST_MARK

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
