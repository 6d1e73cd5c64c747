"""A preview's response to one request, in a form that JSON can carry."""

from __future__ import annotations

import codecs
import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from preview.proxy import ProxyResponse

# Python's codecs for host names take quadratic time, and the others are notations rather than charsets.
_NO_CHARSETS = frozenset({"idna", "punycode", "raw-unicode-escape", "unicode-escape", "undefined", "utf-7"})


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a preview's response.

    Attributes:
        text: Text, or base64.
        encoding: ``base64``, or None for text.
        is_json: Whether the media type is JSON.
    """

    text: str
    encoding: Literal["base64"] | None = None
    is_json: bool = False

    @property
    def data(self) -> Any:
        """The JSON value if the content is JSON; otherwise the text."""
        if not self.is_json:
            return self.text
        try:
            return json.loads(self.text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            return self.text


def folded(headers: Sequence[tuple[str, str]]) -> dict[str, str | list[str]]:
    """Return header fields as an object, with names in lower case.

    Repeated fields are joined with a comma (RFC 9110 section 5.3). ``Set-Cookie`` cannot be joined, so repeated ones
    become a list.
    """
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name.lower(), []).append(value)
    return {name: many if name == "set-cookie" and len(many) > 1 else ", ".join(many) for name, many in values.items()}


def content_of(answer: ProxyResponse) -> Content:
    """Return the response's content as text, or as base64 if it is not text."""
    kind, charset = _media_type(answer.headers)
    text = _decoded(answer.body, kind, charset)
    if text is None:
        return Content(b64encode(answer.body).decode("ascii"), encoding="base64")
    return Content(text, is_json=kind == "application/json" or kind.endswith("+json"))


def _media_type(headers: Sequence[tuple[str, str]]) -> tuple[str, str]:
    value = next((value for name, value in headers if name.lower() == "content-type"), "")
    kind, *parameters = value.split(";")
    for parameter in parameters:
        name, _, given = parameter.partition("=")
        if name.strip().lower() == "charset":
            return kind.strip().lower(), given.strip().strip('"').lower()
    return kind.strip().lower(), "utf-8"


def _decoded(body: bytes, kind: str, charset: str) -> str | None:
    textual = (
        kind.startswith("text/")
        or kind in {"", "application/json", "application/xml", "application/javascript", "application/yaml"}
        or kind in {"application/x-www-form-urlencoded", "image/svg+xml", "application/x-ndjson"}
        or kind.endswith(("+json", "+xml"))
    )
    if not textual:
        return None
    try:
        if codecs.lookup(charset).name in _NO_CHARSETS:
            return None
        text = body.decode(charset)
    except (ValueError, LookupError):  # UnicodeDecodeError is a ValueError, as is the error for a name with NUL
        return None
    # Content with NUL is not text, whatever its type (PostgreSQL clients and terminals agree).
    return None if "\0" in text else text


def _refuse_constant(name: str) -> Any:
    """Reject NaN and Infinity, which are not JSON and would break the reader of the service's response."""
    raise ValueError(name)
