"""Express's paths as ``/users/{id}``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_NAME: Final = re.compile(r"[A-Za-z_$][\w$]*")
_EXPRESSION: Final = re.compile(r"[\\^$|+]|\.\*")
_BRACES: Final = re.compile(r"\{([^{}]+)\}")


def join_paths(prefix: str, path: str) -> str:
    """A route's path below its router's."""
    if not path or path == "/":
        return prefix
    return f"{prefix.rstrip('/')}/{path.lstrip('/')}"


def readable(path: str) -> str:
    """A whole path: parameters as ``{name}``, no slash at its end.

    A parameter loses its pattern; ``:id?`` and Express 5's ``{/:id}`` are shown with the parameter there, its ``*rest``
    as ``{rest}``. What is left of regular expressions stays.
    """
    found = "".join(_parts(path))
    found = re.sub(r"/{2,}", "/", found)
    # The last sign of a regular expression is no slash of a path.
    found = found if _EXPRESSION.search(found) else found.rstrip("/")
    return found if found.startswith("/") else f"/{found}"


def _parts(path: str) -> Iterator[str]:
    place = 0
    while place < len(path):
        sign = path[place]
        before = path[place - 1 : place]
        # `(?:` and `.*` of a regular expression are no parameters.
        is_name = (sign == ":" and before != "?") or (sign == "*" and before in {"/", "{"})
        name = _NAME.match(path, place + 1) if is_name else None
        if name is not None:
            yield f"{{{name.group()}}}"
            place = _skip_pattern(path, name.end())
        elif sign in "{}":  # an optional part of Express 5
            place += 1
        else:
            yield sign
            place += 1


def _skip_pattern(path: str, place: int) -> int:
    """Where a parameter's pattern and its ``?`` end."""
    if path[place : place + 1] == "(":
        depth = 0
        for end in range(place, len(path)):
            if path[end] in "()" and path[end - 1] != "\\":
                depth += 1 if path[end] == "(" else -1
            if depth == 0:
                place = end + 1
                break
    return place + 1 if path[place : place + 1] and path[place] in "?+*" else place


def parameter_names(path: str) -> list[str]:
    """The parameters of a readable path, in order."""
    return _BRACES.findall(path)
