"""Values for parameters and fields: valid ones, and edges. Bounded whatever the schema says."""

from __future__ import annotations

import re
import signal
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from preview.replay.probe.confined.preview_probe_model import Document
else:
    from preview_probe_model import Document

_MOST_DEPTH = 5
_MOST_FIELDS = 60
_MOST_TEXT = 2000
_MOST_ITEMS = 5
LONG = "x" * 5000
UNICODE = "Żółć 日本 🎉"
PASSWORD = "Probe-Passw0rd!"  # noqa: S105  the probe's own, for accounts that it makes
_BIG = 2**63
_MOST_PATTERN = 200
_PATTERN_S = 0.05
_USUAL = ("abc", "ABC", "abc-1", "a1", "12345", "123456789", "AB-1234", "2024-05-17", "+15550100200", "#aabbcc")
_NAME = re.compile(r"[a-z0-9]+|[A-Z]+(?![a-z])|[A-Z][a-z0-9]*")


@dataclass(frozen=True)
class Edge:
    """A value at or beyond an edge.

    Attributes:
        is_valid: Whether the schema allows it; None if that is unknown.
        about: Half a sentence: ``a negative number``.
    """

    value: object
    is_valid: bool | None
    about: str


class Leave:
    """In place of a value: leave the field out."""


LEAVE = Leave()


def words_of(name: str) -> list[str]:
    """Return the words of a field's name, in lower case."""
    return [word.lower() for word in _NAME.findall(name[:200])]


class Values:
    """Makes values.

    Args:
        document: Resolves references; None if there is no document.
        seed: Makes texts of this probe unlike those of another.
    """

    def __init__(self, document: Document | None, seed: str) -> None:
        self._document = document
        self._seed = seed
        self._count = 0

    def resolved(self, schema: object) -> Mapping[str, Any]:
        """Return a schema without references, ``allOf`` merged and the first of its alternatives chosen."""
        found = self._follow(schema)
        for _ in range(_MOST_DEPTH):
            parts = [self._follow(one) for one in found.get("allOf") or () if isinstance(found.get("allOf"), list)]
            options = found.get("anyOf") or found.get("oneOf")
            chosen = [self._follow(one) for one in options] if isinstance(options, list) else []
            chosen = [one for one in chosen if one.get("type") != "null"][:1]
            if not parts and not chosen:
                break
            rest = {key: value for key, value in found.items() if key not in ("allOf", "anyOf", "oneOf")}
            for one in (*parts[:_MOST_ITEMS], *chosen):
                rest = _merged(rest, one)
            found = rest
        return found

    def _follow(self, schema: object) -> Mapping[str, Any]:
        if self._document is not None:
            return self._document.follow(schema)
        return schema if isinstance(schema, dict) else {}

    def kind_of(self, schema: Mapping[str, Any]) -> str:
        """Return the JSON type of a resolved schema; empty if unknown."""
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((one for one in kind if one != "null"), "null")
        if isinstance(kind, str):
            return kind
        return "object" if isinstance(schema.get("properties"), dict) else ""

    def is_nullable(self, schema: object) -> bool:
        """Return whether null is allowed, as far as can be seen."""
        found = self._follow(schema)
        kinds = found.get("type")
        options = [*(found.get("anyOf") or ()), *(found.get("oneOf") or ())]
        return (
            bool(found.get("nullable"))
            or (isinstance(kinds, list) and "null" in kinds)
            or any(self._follow(one).get("type") == "null" for one in options[:_MOST_FIELDS])
            or not found
        )

    # Valid ones

    def valid(self, schema: object, name: str = "", depth: int = 0, *, optional: bool = True) -> Any:
        """Return a value that the schema allows, different each time where it can be.

        Args:
            schema: With references or without.
            name: The field's name, which tells more than many schemas.
            depth: Depth within the value.
            optional: Whether optional fields get a value.
        """
        found = self.resolved(schema)
        for key in ("const", "default"):
            # An empty text is a value that is lost unseen.
            if found.get(key) is not None and (key == "const" or found[key] != ""):
                return found[key]
        if isinstance(found.get("enum"), list) and found["enum"]:
            return found["enum"][0]
        for example in (found.get("example"), *_examples(found)):
            # Texts of examples are often unique values: those are made.
            if example is not None and not isinstance(example, str):
                return example
        kind = self.kind_of(found)
        if kind == "object":
            return self.fields(found, depth, optional=optional)
        if kind == "array":
            count = min(max(_whole(found.get("minItems"), 1), 1), _MOST_ITEMS)
            items = found.get("items", {})
            return [] if depth > _MOST_DEPTH else [self.valid(items, name, depth + 1) for _ in range(count)]
        if kind in ("integer", "number"):
            return self._number(found, name, kind)
        if kind == "boolean":
            return True
        if kind == "null":
            return None
        return self._text(found, name)

    def fields(self, schema: Mapping[str, Any], depth: int, *, optional: bool) -> dict[str, Any]:
        """Return a value for each property."""
        properties = schema.get("properties")
        if not isinstance(properties, dict) or depth > _MOST_DEPTH:
            return {}
        required = schema.get("required") if isinstance(schema.get("required"), list) else []
        names = [one for one in list(properties)[:_MOST_FIELDS] if optional or one in required]  # type: ignore[operator]  # a list
        return {one: self.valid(properties[one], one, depth + 1, optional=optional) for one in names}

    def _number(self, schema: Mapping[str, Any], name: str, kind: str) -> float:
        words = set(words_of(name))
        wanted: float = 10 if {"limit", "size", "per"} & words else 0 if {"offset", "skip"} & words else 1
        low, high = _limit(schema, "minimum"), _limit(schema, "maximum")
        above, below = _limit(schema, "exclusiveMinimum"), _limit(schema, "exclusiveMaximum")
        if low is not None:
            wanted = max(wanted, low)
        if above is not None:
            wanted = max(wanted, above + 1)
        if high is not None:
            wanted = min(wanted, high)
        if below is not None and wanted >= below:
            wanted = below - (1 if kind == "integer" else 0.01)
        step = _limit(schema, "multipleOf")
        if step is not None and 0 < step < _BIG:
            wanted = -(-wanted // step) * step
        return int(wanted) if kind == "integer" or float(wanted).is_integer() else wanted

    def _text(self, schema: Mapping[str, Any], name: str) -> str:
        self._count += 1
        number = f"{self._seed}{self._count}"
        text = _formatted(str(schema.get("format", "")), words_of(name), number)
        least, most = _whole(schema.get("minLength"), 0), _whole(schema.get("maxLength"), _MOST_TEXT)
        pattern = schema.get("pattern")
        if isinstance(pattern, str):
            text = _matching(pattern, text)
        if len(text) < least:
            text += "x" * min(least - len(text), _MOST_TEXT)
        return text if len(text) <= most else text[-most:] if most else ""

    # Edges

    def edges(self, schema: object, *, is_text: bool = False, is_known: bool = True) -> Iterator[Edge]:
        """Yield values at the edges of a field or parameter.

        Args:
            schema: Its schema.
            is_text: Whether values are written as text (query, path).
            is_known: Whether the schema is documented: else nothing is said to be allowed.
        """
        found = self.resolved(schema)
        kind = self.kind_of(found)
        if kind in ("integer", "number"):
            yield from self._number_edges(found, kind, is_known=is_known)
        elif kind == "boolean":
            yield Edge(False, True, "false")
            yield Edge("maybe", False, "a string instead of a boolean")
        elif kind == "array":
            least = _whole(found.get("minItems"), 0)
            yield Edge([], least == 0 if is_known else None, "an empty list")
            if not is_text:
                yield Edge("abc", False, "a string instead of a list")
                yield Edge([None], None, "a list with null")
        elif kind == "object":
            yield Edge({}, None, "an empty object")
            yield Edge("abc", False, "a string instead of an object")
        else:
            yield from self._text_edges(found, is_known=is_known)
        if not is_text:
            yield Edge(None, self.is_nullable(schema) or None if is_known else None, "null")

    def _number_edges(self, found: Mapping[str, Any], kind: str, *, is_known: bool) -> Iterator[Edge]:
        for value, about in (
            (0, "zero"),
            (-1, "a negative number"),
            ("abc", "a string instead of a number"),
            (_BIG, "a huge number"),
            (-(10**20), "a huge negative number"),
            (1000000, "a large number"),
            *(((0.5, "a fraction"),) if kind == "number" else ()),
            ("", "an empty string instead of a number"),
        ):
            if isinstance(value, str):
                yield Edge(value, False if value else None, about)
            else:
                yield Edge(value, _fits(found, value) if is_known else None, about)

    def _text_edges(self, found: Mapping[str, Any], *, is_known: bool) -> Iterator[Edge]:
        is_free = not any(key in found for key in ("pattern", "format", "enum", "const"))
        least, most = _whole(found.get("minLength"), 0), _whole(found.get("maxLength"), _BIG)
        for value, about in (
            ("", "an empty string"),
            (UNICODE, "a string with letters of many scripts"),
            (LONG, "a long string"),
            ("0", 'the string "0"'),
            ("'\"; --<b>%s{0}\\", "a string with quotes and punctuation"),
            ("   ", "a string of spaces"),
            ("a\x00b", "a string with a null character"),
            ("nowhere/../2020-13-45", "a string that does not match the usual format"),
        ):
            fits = (least <= len(value) <= most) if is_free else False if value == "" and is_known else None
            yield Edge(value, fits if is_known and "\x00" not in value else None, about)
        if isinstance(found.get("enum"), list):
            for one in found["enum"][1:_MOST_ITEMS]:
                yield Edge(one, True, "another of the allowed values")
            yield Edge("no-such-value", False, "a value that is not allowed")


def _merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**second, **first}
    one, two = first.get("properties"), second.get("properties")
    if isinstance(one, dict) and isinstance(two, dict):
        merged["properties"] = {**two, **one}
    one, two = first.get("required"), second.get("required")
    if isinstance(one, list) and isinstance(two, list):
        merged["required"] = [*two, *one]
    return merged


def _examples(schema: Mapping[str, Any]) -> Sequence[Any]:
    found = schema.get("examples")
    return found[:1] if isinstance(found, list) else ()


def _whole(value: object, default: int) -> int:
    return int(value) if isinstance(value, int | float) and 0 <= value < _BIG else default


def _limit(schema: Mapping[str, Any], key: str) -> float | None:
    value = schema.get(key)
    return value if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _BIG else None


def _fits(schema: Mapping[str, Any], value: float) -> bool | None:
    """Return whether a number is within a schema's limits; None if that is unknown."""
    if abs(value) >= _BIG or "multipleOf" in schema or "enum" in schema:
        return None
    low, high = _limit(schema, "minimum"), _limit(schema, "maximum")
    above, below = _limit(schema, "exclusiveMinimum"), _limit(schema, "exclusiveMaximum")
    return not (
        (low is not None and value < low)
        or (high is not None and value > high)
        or (above is not None and value <= above)
        or (below is not None and value >= below)
    )


def _formatted(kind: str, words: Sequence[str], number: str) -> str:
    """Return a text in the form that the format or the field's name says."""
    named = set(words)
    if kind == "email" or {"email", "mail"} & named:
        return f"probe.{number}@example.com"
    if kind == "uuid" or "uuid" in named:
        return f"00000000-0000-4000-8000-{zlib.crc32(number.encode()):012d}"
    if kind == "date-time" or {"datetime", "timestamp"} & named or words[-1:] == ["at"]:
        return "2024-05-17T10:30:00Z"
    if kind == "date" or {"date", "birthday", "day"} & named:
        return "2024-05-17"
    if kind == "time":
        return "10:30:00"
    if kind in ("uri", "url") or {"url", "link", "website", "uri"} & named:
        return f"https://example.com/{number}"
    if kind == "ipv4" or named & {"ip"}:
        return "192.0.2.1"
    if kind == "password" or "password" in named:
        return PASSWORD
    if named & {"phone", "telephone"}:
        return "+15550100200"
    if named & {"currency"}:
        return "EUR"
    if named & {"country", "language", "lang", "locale"}:
        return "de"
    return f"{words[-1] if words else 'probe'}{number}"


def _matching(pattern: str, text: str) -> str:
    """Return one of a few usual texts that a pattern accepts; else the text. A pattern gets 50 ms."""
    if len(pattern) > _MOST_PATTERN:
        return text
    # The module looks for signals while it searches.
    signal.signal(signal.SIGALRM, _give_up)
    signal.setitimer(signal.ITIMER_REAL, _PATTERN_S)
    try:
        return next((one for one in (text, *_USUAL) if re.search(pattern, one)), text)
    except (re.error, OverflowError, RecursionError, TimeoutError):
        return text
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _give_up(_: int, __: object) -> None:
    raise TimeoutError
