"""What somebody has sent, as a sentence may repeat it."""

from __future__ import annotations

# Long enough to recognise what one has written; three of them leave space for the sentence.
_MAX_CHARS = 60


def quoted(value: object, max_chars: int = _MAX_CHARS) -> str:
    r"""The value in quotes, of bounded length, on one line.

    Whatever could act on a terminal, break a line or is no character (``\x1b``, a newline, half of a surrogate pair) is
    escaped.

    Args:
        value: Text; anything else is shown as Python writes it.
        max_chars: Most characters between the quotes; what is cut off is shown as ``…``.
    """
    # Cut before, since a text may be very long, and behind, since an escape is longer than its character.
    text = _written(value[: max_chars + 1] if isinstance(value, str) else value)
    if len(text) <= max_chars + 2:
        return text
    return f"{text[: max_chars + 1]}…{text[0] if isinstance(value, str) else ''}"


def _written(value: object) -> str:
    try:
        return repr(value)
    except (ValueError, RecursionError):  # integers of thousands of digits, lists within lists without end
        return f"<{type(value).__name__}>"
