"""Escape sequences of terminals (ECMA-48) in text: how they are taken out of it.

All patterns are linear: the classes of a sequence's parts have no character in common, no part is scanned again
(possessive), and no text of a string sequence holds the character that begins another one.
"""

from __future__ import annotations

import re

SGR = r"\x1b\[[0-9;:]{0,64}m"
"""The pattern of a colour or a weight (Select Graphic Rendition, ECMA-48 8.3.117). Log lines hold nothing else."""

_COLOUR = re.compile(SGR)
_C1 = re.compile(r"[\x80-\x9f]")
_ESCAPE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*+[ -/]*+[@-~]"  # CSI with its parameters
    # OSC, DCS, SOS, PM, APC with their text, up to BEL or ST.
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x80-\x9f\n\r]*+(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*+[0-~]"  # two-character escapes; also the head of a sequence that was never finished
    r"|[\x1b\x80-\x9f]"  # what is left of one, and single C1 controls
)


def has_escapes(text: str) -> bool:
    """Return whether the text has an ESC or a C1 control (U+0080 to U+009F)."""
    return "\x1b" in text or not (text.isascii() or _C1.search(text) is None)


def without_escapes(text: str) -> str:
    """Return the text without its escape sequences: neither ESC nor a C1 control is left.

    Of a sequence that was never finished only the head is taken out. The time is linear in the text's length.
    """
    return _ESCAPE.sub("", text) if has_escapes(text) else text


def without_colours(text: str) -> str:
    """Return the text without its SGR sequences."""
    return _COLOUR.sub("", text)
