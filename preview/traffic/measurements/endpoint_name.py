"""The endpoint of a request, as far as its path shows: the one rule for ids in paths."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_MAX_PATH: Final = 200
_MAX_METHOD: Final = 10
_MAX_SEGMENTS: Final = 20
_WORD: Final = re.compile(r"[\w-]{8,512}", re.ASCII)
_HEX: Final = re.compile(r"[0-9a-fA-F-]+")
# A word has fewer: ``oauth2callback``, ``utf8-check``, ``base64url``.
_DIGITS: Final = 3
_LONG: Final = 16


def endpoint_name(method: str, target: bytes | str) -> str:
    """Return method and path, with ``{id}`` for each segment that looks like an id; long paths are cut."""
    path = target.split("?", 1)[0] if isinstance(target, str) else target.partition(b"?")[0].decode("ascii", "replace")
    return _name_of(method[:_MAX_METHOD], path[:_MAX_PATH])


# Most requests go to few paths; 2,048 of 200 characters are less than a megabyte.
@lru_cache(maxsize=2048)
def _name_of(method: str, path: str) -> str:
    shown = "/".join("{id}" if is_id(segment) else segment for segment in path.split("/", _MAX_SEGMENTS))
    return f"{method} {shown}"


def is_id(segment: str) -> bool:
    """Return whether a segment of a path is an id: a number, or a text that no person would choose as a name.

    The latter has 8 characters or more, and three digits; or one digit, if it is hexadecimal or long and of both cases.
    """
    if segment.isascii() and segment.isdigit():
        return True
    if not _WORD.fullmatch(segment):
        return False
    digits = sum(map(str.isdigit, segment))
    is_mixed = len(segment) >= _LONG and not segment.islower() and not segment.isupper()
    return digits >= _DIGITS or (digits > 0 and (is_mixed or _HEX.fullmatch(segment) is not None))
