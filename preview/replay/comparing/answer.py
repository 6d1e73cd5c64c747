"""An answer of a preview, and its content as values to compare."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256

Json = object
"""A value as ``json.loads`` returns it."""

# Larger content is compared by its hash.
_MOST_BYTES = 1024 * 1024
_MOST_LINES = 2000
# Fields of one transfer, or that follow from the content.
_NOT_COMPARED = frozenset(
    {
        "age",
        "connection",
        "content-encoding",
        "content-length",
        "date",
        "etag",
        "keep-alive",
        "last-modified",
        "server-timing",
        "transfer-encoding",
        "x-process-time",
        "x-request-id",
        "x-response-time",
        "x-runtime",
    }
)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to one request.

    Attributes:
        status: Status; 0 if there was no answer.
        headers: Fields.
        body: Content.
        elapsed_ms: Milliseconds until the last byte.
        at_s: Time of its end, in seconds since the epoch.
        error: Sentence about why there is no answer; None if there is one.
        lines: Log lines that were printed meanwhile, at most a screen.
        is_cut: A part of the content is missing, so that it is not compared.
        summary: Size and hash of content of which only the beginning is in ``body``; None if all of it is.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    elapsed_ms: float = 0.0
    at_s: float = 0.0
    error: str | None = None
    lines: tuple[str, ...] = ()
    is_cut: bool = False
    summary: str | None = None

    @property
    def is_large(self) -> bool:
        """True if the content is compared by its hash."""
        return self.summary is not None or len(self.body) > _MOST_BYTES

    def shortened(self) -> Answer:
        """Return the answer with the beginning, the size and the hash of large content. Reads all of it."""
        if len(self.body) <= _MOST_BYTES:
            return self
        return replace(self, body=self.body[:_MOST_BYTES], summary=_summary(self.body))

    def header(self, name: str) -> str:
        """Return the first value of a field by its name in lower case; empty if it is missing."""
        return next((value for one, value in self.headers if one.lower() == name), "")


def fields_of(answer: Answer) -> Mapping[str, Json]:
    """Return the fields that are compared, by name in lower case. Of cookies, the values are left out."""
    found: dict[str, list[Json]] = {}
    for name, value in answer.headers:
        lower = name.lower()
        if lower == "set-cookie":
            found.setdefault(lower, []).append(_cookie(value))
        elif lower not in _NOT_COMPARED:
            found.setdefault(lower, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _cookie(value: str) -> str:
    """Return a cookie's name and attributes, without its value and its times."""
    pair, *attributes = value.split(";")
    kept = [one.strip() for one in attributes if one.strip().partition("=")[0].lower() not in ("expires", "max-age")]
    return "; ".join([pair.partition("=")[0].strip(), *kept])


def content_of(answer: Answer) -> tuple[str, Json]:
    """Return the name of the content's root and its value: JSON, lines of text, or a hash.

    Time and memory are bounded by the content's size; deeper JSON than the parser takes is compared as text.
    """
    if answer.is_cut:
        return "body", None
    if answer.is_large:
        return "body", answer.summary or _summary(answer.body)
    kind = answer.header("content-type").lower()
    if "json" in kind or answer.body[:1] in (b"{", b"["):
        try:
            return "$", json.loads(answer.body)
        except (ValueError, RecursionError):
            pass
    try:
        text = answer.body.decode()
    except UnicodeDecodeError:
        return "body", _summary(answer.body)
    return "text", text.split("\n", _MOST_LINES) if text else None


def _summary(body: bytes) -> str:
    return f"{len(body)} bytes, sha256 {sha256(body).hexdigest()}"
