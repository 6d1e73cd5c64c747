"""A span as a project's OpenTelemetry has sent it, and what becomes of it. Nothing in it is verified."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from preview.tracing.report import make_span
from preview.tracing.span import Kind, Span

# Names of the semantic conventions, those of before 2024 too.
_STATEMENTS: Final = ("db.query.text", "db.statement")
_SYSTEMS: Final = ("db.system.name", "db.system")
_METHODS: Final = ("http.request.method", "http.method")
_URLS: Final = ("url.full", "http.url")
_STATUSES: Final = ("http.response.status_code", "http.status_code")
_WANTED: Final = frozenset((*_STATEMENTS, *_SYSTEMS, *_METHODS, *_URLS, *_STATUSES))
_SERVER, _CLIENT = 2, 3
_CACHES = frozenset({"redis", "memcached"})
_MOST_ERROR = 100


class NotOtlp(Exception):
    """The body is not what it says."""


@dataclass(slots=True)
class Given:
    """A span as it was sent.

    Attributes:
        trace_id, span_id, parent_id: In hexadecimal; may be anything.
        name: Its name.
        kind: ``SpanKind``: 2 for a server, 3 for a client.
        start_ns, end_ns: Nanoseconds since 1970.
        message: Description of its status.
        has_failed: Its status is an error.
        attributes: Those that are wanted.
    """

    trace_id: str = ""
    span_id: str = ""
    parent_id: str = ""
    name: str = ""
    kind: int = 0
    start_ns: int = 0
    end_ns: int = 0
    message: str = ""
    has_failed: bool = False
    attributes: dict[str, str | int] = field(default_factory=dict)

    @staticmethod
    def wants(key: str) -> bool:
        """Return whether an attribute of this name is used."""
        return key in _WANTED

    def span(self) -> Span | None:
        """Return the span; None if an id or a time is none."""
        statement, url = self._text(_STATEMENTS), self._text(_URLS)
        status = next((value for one in _STATUSES if isinstance(value := self.attributes.get(one), int)), 0)
        kind, detail = Kind.OTHER, statement
        if statement or self._text(_SYSTEMS):
            is_cache = self._text(_SYSTEMS) in _CACHES
            # The text of a command to a cache has its values.
            kind, detail = (Kind.CACHE, "") if is_cache else (Kind.SQL, statement)
        elif self.kind == _SERVER:
            kind = Kind.REQUEST
        elif self.kind == _CLIENT and (url or self._text(_METHODS)):
            kind, detail = Kind.CALL, bare_address(url)
        error = (self.message.partition(":")[0][:_MOST_ERROR] or "error") if self.has_failed else ""
        return make_span(
            kind=kind,
            trace_id=self.trace_id,
            span_id=self.span_id,
            parent_id="" if self.parent_id.strip("0") == "" else self.parent_id,
            start_us=self.start_ns // 1000,
            duration_us=(self.end_ns - self.start_ns) // 1000,
            name=self.name,
            detail=detail,
            status=status,
            error=error,
            source="otlp",
        )

    def _text(self, names: tuple[str, ...]) -> str:
        found = next((self.attributes[one] for one in names if one in self.attributes), "")
        return found if isinstance(found, str) else ""


def bare_address(url: str) -> str:
    """Return an address without user, password, query and fragment."""
    scheme, colon, rest = url.partition("://")
    rest = rest.partition("?")[0].partition("#")[0]
    host, slash, path = rest.partition("/")
    return f"{scheme}{colon}{host.rpartition('@')[2]}{slash}{path}"
