"""Removal of terminal escape sequences (ECMA-48) from text.

All patterns run in linear time: the character classes of a sequence's parts are disjoint, and no part is scanned twice
(possessive quantifiers). The text of a string sequence cannot contain the start of another one.
"""

from __future__ import annotations

import re

SGR = r"\x1b\[[0-9;:]{0,64}m"
"""Pattern of a colour or weight (Select Graphic Rendition, ECMA-48 8.3.117), the only sequences kept in log lines."""

_COLOUR = re.compile(SGR)
_C1 = re.compile(r"[\x80-\x9f]")
_ESCAPE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*+[ -/]*+[@-~]"  # CSI with its parameters
    # OSC, DCS, SOS, PM, APC with their text, up to BEL or ST.
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x80-\x9f\n\r]*+(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*+[0-~]"  # two-character escapes; also the head of an unfinished sequence
    r"|[\x1b\x80-\x9f]"  # the rest of an unfinished sequence, and single C1 controls
)


def has_escapes(text: str) -> bool:
    """Return True if the text has an ESC or a C1 control (U+0080 to U+009F)."""
    return "\x1b" in text or not (text.isascii() or _C1.search(text) is None)


def without_escapes(text: str) -> str:
    """Return the text without its escape sequences; the result has no ESC and no C1 control.

    Only the head of an unfinished sequence is removed. The time is linear in the text's length.
    """
    return _ESCAPE.sub("", text) if has_escapes(text) else text


def without_colours(text: str) -> str:
    """Return the text without its SGR sequences."""
    return _COLOUR.sub("", text)
