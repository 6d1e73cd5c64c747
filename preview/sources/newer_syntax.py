"""The Python that a line is written for, where an older one cannot read it."""

from __future__ import annotations

import re
from typing import Final

# What an older Python says of newer syntax: PEP 758, PEP 701.
_SAID: Final = {
    "multiple exception types must be parenthesized": "3.14",
    # The same quotes inside: `f"{a["b"]}"`, `f"{a.get("b")}"`.
    "f-string: expecting '}'": "3.12",
    "f-string: unmatched '('": "3.12",
    "f-string: unmatched '['": "3.12",
    "f-string expression part cannot include": "3.12",
}
# Type parameters: PEP 695. An older Python says "expected '('" or "invalid syntax".
_TYPE_PARAMETERS: Final = re.compile(r"^\s{0,40}(?:(?:async )?def|class) \w{1,100}\[|^\s{0,40}type \w{1,100}(?:\[| =)")


def newer_python(said: str, code: str) -> str | None:
    """Return the first version that reads a line; None if it is no newer syntax that is known.

    Args:
        said: The error of the Python that could not read it.
        code: The line.
    """
    newer = next((version for text, version in _SAID.items() if text in said), None)
    return newer or ("3.12" if _TYPE_PARAMETERS.match(code) else None)
