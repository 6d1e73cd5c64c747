"""Facts for the views, and small forms that both contracts share."""

from __future__ import annotations

import codecs
import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from preview.core.clock import rfc3339
from preview.endpoints import Endpoint
from preview.proxy import ProxyResponse
from preview.runtime import Usage
from preview.storage.tables import PreviewRecord
from preview.supervisor import Confinement

Json = dict[str, Any]

_MISSING = object()
# Python's codecs for names of hosts take quadratic time, and the others are notations rather than charsets.
_NO_CHARSETS = frozenset({"idna", "punycode", "raw-unicode-escape", "unicode-escape", "undefined", "utf-7"})


@dataclass(frozen=True, slots=True)
class Facts:
    """A preview and what is known about it beside its record.

    Attributes:
        record: What its row says.
        usage: What its processes use, or None.
        uptime_s: Seconds since its launch; 0 when it is over.
        endpoints: The generation's endpoints.
        holding: What it is isolated by, and limited to; None where that is not known (any more).
    """

    record: PreviewRecord
    usage: Usage | None = None
    uptime_s: float = 0.0
    endpoints: Sequence[Endpoint] = ()
    confinement: Confinement | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A request that a preview has answered.

    Attributes:
        answer: What it said.
        request_id: Under which its lines are found.
        lines: Numbers of the lines that were published meanwhile, its own or others'; empty if there are none.
    """

    answer: ProxyResponse
    request_id: str
    lines: range

    @property
    def log(self) -> Json | None:
        """The ends of ``lines``."""
        return {"first_seq": self.lines[0], "last_seq": self.lines[-1]} if self.lines else None


@dataclass(frozen=True, slots=True)
class Content:
    """A preview's answer as JSON can carry it.

    Attributes:
        text: The content: text, or base64.
        encoding: ``base64``, or None for text.
        parsed: The JSON value, where the content is JSON.
        is_json: Whether ``parsed`` counts (it may be null).
    """

    text: str
    encoding: str | None = None
    parsed: Any = None
    is_json: bool = False


def time_of(value: datetime | None) -> str | None:
    """RFC 3339, or null."""
    return None if value is None else rfc3339(value)


def whole(value: float) -> int | float:
    """Seconds without a useless fraction: 3600 rather than 3600.0."""
    return int(value) if value == int(value) else value


def camel(name: str) -> str:
    """``last_lines`` as ``lastLines``."""
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)


def camel_keys(value: Any) -> Any:
    """Return the same value with the keys of all its mappings in camelCase."""
    if isinstance(value, Mapping):
        return {camel(str(key)): camel_keys(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [camel_keys(item) for item in value]
    return value


def folded(headers: Sequence[tuple[str, str]]) -> Json:
    """Header fields as an object, names in lower case.

    Repeated fields are joined with a comma (RFC 9110 section 5.3), but for ``Set-Cookie``, which that breaks: it is a
    list where it is repeated.
    """
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name.lower(), []).append(value)
    return {name: many if name == "set-cookie" and len(many) > 1 else ", ".join(many) for name, many in values.items()}


def content_of(answer: ProxyResponse) -> Content:
    """Return the answer's content as text, with its JSON value where it is JSON, or as base64 where it is neither."""
    kind, charset = _media_type(answer.headers)
    text = _decoded(answer.body, kind, charset)
    if text is None:
        return Content(b64encode(answer.body).decode("ascii"), encoding="base64")
    if kind == "application/json" or kind.endswith("+json"):
        parsed = _parsed(text)
        if parsed is not _MISSING:
            return Content(text, parsed=parsed, is_json=True)
    return Content(text)


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
    except (ValueError, LookupError):  # UnicodeDecodeError is a ValueError, as is a name with NUL in it
        return None
    # NUL is no text, whatever the type says (PostgreSQL's clients and terminals agree).
    return None if "\0" in text else text


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return _MISSING


def _refuse_constant(name: str) -> Any:
    """NaN and Infinity are not JSON: passing them on would break the reader of our own answer."""
    raise ValueError(name)
