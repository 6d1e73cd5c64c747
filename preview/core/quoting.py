"""Escape other people's text for messages, so that no invisible character has an effect.

A control character may move the cursor, change the window's title or write to the clipboard (ECMA-48; C1 is its 8-bit
form). A bidirectional control may reorder text on the screen (Unicode UAX #9; "Trojan Source"). U+2028 and U+2029 start
a new line. A lone surrogate cannot be encoded.

The escapes are those of JSON (``\u009b``), so a JSON text keeps its meaning. ``frontend/src/lib/ui/visible.ts`` has the
same set; ``tests/visible_characters.json`` is the table that both are tested against.
"""

from __future__ import annotations

import re

# Long enough to recognise the text; three of these leave space for a sentence.
_MAX_CHARS = 60


def quoted(value: object, max_chars: int = _MAX_CHARS) -> str:
    r"""Return the value in quotes, of bounded length, on one line.

    Escapes control characters, line breaks and lone surrogates, as ``repr`` does.

    Args:
        value: Text; any other value is shown by its ``repr``.
        max_chars: Maximum number of characters between the quotes; a cut is shown as ``…``.
    """
    # Cut before escaping, because a text may be very long, and after, because an escape is longer than its character.
    text = _written(value[: max_chars + 1] if isinstance(value, str) else value)
    if len(text) <= max_chars + 2:
        return text
    return f"{text[: max_chars + 1]}…{text[0] if isinstance(value, str) else ''}"


def _written(value: object) -> str:
    try:
        return repr(value)
    except (ValueError, RecursionError):  # integers of thousands of digits, endlessly nested lists
        return f"<{type(value).__name__}>"


# Where the words of a message end, and data or a command begins.
_NO_WORDS = re.compile(r"[{}]|\[['\"]|\$\(|(?<=\s)--?[A-Za-z]\S{0,200} --?[A-Za-z]")
_COMMAND = re.compile(r"(?:[Cc]ommand )?(?:'\[[^\n]{0,2000}\]'|\[[^\n\]]{0,2000}\]) returned non-zero exit status")
_MAX_WORDS = 200
_MAX_READ = 2_000


def clipped(text: str, max_chars: int) -> str:
    """Return the text, of bounded length; a cut is shown as ``…``."""
    return text if len(text) <= max_chars else f"{text[: max_chars - 1].rstrip()}…"


def in_words(said: str, max_chars: int = _MAX_WORDS) -> str:
    """Return the words of a program's message for a sentence, up to its data or its command; empty if it has none."""
    text = _COMMAND.sub("a command returned non-zero exit status", " ".join(said[:_MAX_READ].split()))
    words, *rest = _NO_WORDS.split(text, maxsplit=1)
    words = clipped(words.rstrip(" :;,('\"`") if rest else words, max_chars).rstrip(" .:;,")
    return words if any(letter.isalpha() for letter in words) else ""


# Colours and weight (Select Graphic Rendition, ECMA-48 section 8.3.117).
SGR = r"\x1b\[[0-9;:]*m"
# C0 but tab and line feed, DEL, C1; U+061C, U+200E, U+200F, U+2028 to U+202E, U+2066 to U+2069; surrogates.
_UNSEEN = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
_ANY = re.compile(_UNSEEN)
_ANY_OR_COLOUR = re.compile(f"({SGR})|{_UNSEEN}")


def visible(text: str, *, colours: bool = False) -> str:
    r"""Return the text with each character of ``_UNSEEN`` as ``\uXXXX``; tabs and line feeds stay.

    Args:
        text: Any text; a JSON text keeps its meaning.
        colours: Keep SGR sequences too.
    """
    return (_ANY_OR_COLOUR if colours else _ANY).sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    if match.lastindex:
        return match.group()
    return f"\\u{ord(match.group()):04x}"
