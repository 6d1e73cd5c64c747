"""Conditional requests (RFC 9110 section 13) on the files of a generation."""

from __future__ import annotations

from collections.abc import Callable

from quart import Request


def etag_of(revision: int) -> str:
    """The entity tag of a generation's files at this revision; strong: it stands for every byte of them."""
    return f'"{revision}"'


def expected_revision(request: Request) -> Callable[[int], bool] | None:
    """Whether ``If-Match`` lets a revision pass; None where the request says nothing of it.

    Weak tags never match, and ``*`` always does: the generation is there.
    """
    if "If-Match" not in request.headers:
        return None
    given = request.if_match
    return lambda revision: given.contains(str(revision))


def is_known(request: Request, tag: str) -> bool:
    """Whether the client has this already (``If-None-Match``), upon which 304 is the answer."""
    return "If-None-Match" in request.headers and request.if_none_match.contains_weak(tag.strip('"'))
