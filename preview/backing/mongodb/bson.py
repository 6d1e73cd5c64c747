"""The part of BSON that the service reads and writes. Documents are strangers': all reading has bounds.

Source: https://bsonspec.org/spec.html, version 1.1.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

# A command has some ten elements; a document that is shown has more.
MOST_ELEMENTS = 500
_MOST_NAME_BYTES = 1024
_MOST_VALUES = 20_000
_MOST_LEVELS = 20
_LEAST_BYTES = 5
_INT32, _INT64, _DOUBLE = struct.Struct("<i"), struct.Struct("<q"), struct.Struct("<d")
_NUMBER, _TEXT, _DOCUMENT, _ARRAY, _BINARY, _ID, _BOOL, _DATE, _NULL = 1, 2, 3, 4, 5, 7, 8, 9, 10
_REGEX, _POINTER, _CODE, _SYMBOL, _SCOPED, _INT, _TIMESTAMP, _LONG, _DECIMAL = 11, 12, 13, 14, 15, 16, 17, 18, 19
# Bytes of values of a fixed size. The two last are the greatest and the least key.
_SIZES = {
    _NUMBER: 8, 6: 0, _ID: 12, _BOOL: 1, _DATE: 8, _NULL: 0, _INT: 4, _TIMESTAMP: 8, _LONG: 8, _DECIMAL: 16,
    0x7F: 0, 0xFF: 0,
}  # fmt: skip
# Values that begin with their size, and the bytes that the size does not count.
_SIZED = {_TEXT: 4, _DOCUMENT: 0, _ARRAY: 0, _BINARY: 5, _POINTER: 16, _CODE: 4, _SYMBOL: 4, _SCOPED: 0}
_BEGAN = datetime(1970, 1, 1, tzinfo=UTC)

Value = str | bool | int | float | bytes | None | Mapping[str, "Value"] | Sequence["Value"]
Document = Mapping[str, Value]


class NotBson(Exception):
    """The bytes are no document, or one beyond a limit; the message says what is wrong."""


class Long(int):
    """A number that is written with eight bytes, however small: the server is strict in some places."""

    __slots__ = ()


class Raw(bytes):
    """A whole document that is passed on as it is."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Element:
    """An element of a document.

    Attributes:
        kind: Type of the value.
        name: Its name.
        start: Place of the element in the document.
        value: Place of its value.
        end: Place after it.
    """

    kind: int
    name: bytes
    start: int
    value: int
    end: int


def size_of(start: bytes) -> int:
    """Return the size that a document begins with.

    Raises:
        NotBson: There is none.
    """
    if len(start) < _INT32.size or (size := _INT32.unpack_from(start)[0]) < _LEAST_BYTES:
        raise NotBson("no document")
    return int(size)


def elements(document: bytes, *, most: int = MOST_ELEMENTS) -> Iterator[Element]:
    """Yield the elements of a document, without those of inner documents.

    Raises:
        NotBson: It is none, or has more elements.
    """
    end = len(document) - 1
    if size_of(document) != len(document) or document[end]:
        raise NotBson("a document's size is wrong")
    place = _INT32.size
    while place < end:
        most -= 1
        name_end = document.find(b"\0", place + 1, place + 2 + _MOST_NAME_BYTES)
        if most < 0 or not place < name_end < end:
            raise NotBson("too many elements, or a name that is too long")
        after = _end_of(document, document[place], name_end + 1, end)
        yield Element(document[place], document[place + 1 : name_end], place, name_end + 1, after)
        place = after


def _end_of(document: bytes, kind: int, place: int, end: int) -> int:
    """Return the place after a value. Raises: NotBson: There is none before ``end``."""
    size = _SIZES.get(kind)
    if kind == _REGEX:
        first = document.find(b"\0", place, end)
        after = document.find(b"\0", first + 1, end) + 1 if first >= 0 else 0
        size = after - place if after > 0 else None
    elif kind in _SIZED and place + _INT32.size <= end:
        said = _INT32.unpack_from(document, place)[0]
        size = said + _SIZED[kind] if said >= 0 else None
        if kind in (_DOCUMENT, _ARRAY, _SCOPED) and said < _LEAST_BYTES:
            size = None
    if size is None or place + size > end:
        raise NotBson("a value of an unknown kind or size")
    return place + size


def inner_documents(document: bytes, array: Element, *, most: int) -> list[bytes]:
    """Return the documents of an array. Raises: NotBson: It has others, or more."""
    if array.kind != _ARRAY:
        raise NotBson("no array")
    inner = document[array.value : array.end]
    found = []
    for one in elements(inner, most=most):
        if one.kind != _DOCUMENT:
            raise NotBson("no document")
        found.append(inner[one.value : one.end])
    return found


def inner_document(document: bytes, name: str) -> bytes | None:
    """Return the document of this name; None if there is none. Raises: NotBson."""
    for one in elements(document):
        if one.name == name.encode() and one.kind == _DOCUMENT:
            return document[one.value : one.end]
    return None


def rewrite(document: bytes, *, without: Collection[bytes] = (), texts: Mapping[bytes, bytes] | None = None) -> bytes:
    """Return a document without some elements, and with other texts in some.

    Raises:
        NotBson: It is none, or an element to be changed is no text.
    """
    found, texts, kept_to = [], texts or {}, _INT32.size
    for one in elements(document):
        text = texts.get(one.name)
        if one.name not in without and text is None:
            continue
        found.append(document[kept_to : one.start])
        kept_to = one.end
        if text is not None:
            if one.kind != _TEXT:
                raise NotBson("a name that is not text")
            found.append(document[one.start : one.value] + _text(text))
    found.append(document[kept_to:])
    content = b"".join(found)
    return _INT32.pack(len(content) + _INT32.size) + content


def text_in(document: bytes, element: Element) -> bytes | None:
    """Return an element's text; None if it is none."""
    if element.kind != _TEXT:
        return None
    return document[element.value + _INT32.size : element.end - 1]


def encode(document: Document) -> bytes:
    """Return a document of the service's as bytes."""
    content = b"".join(_encoded(name.encode(), value) for name, value in document.items())
    return _INT32.pack(len(content) + _LEAST_BYTES) + content + b"\0"


def _encoded(name: bytes, value: Value) -> bytes:
    def as_kind(kind: int, content: bytes = b"") -> bytes:
        return bytes((kind,)) + name + b"\0" + content

    match value:
        case None:
            return as_kind(_NULL)
        case bool():
            return as_kind(_BOOL, bytes((value,)))
        case int() if isinstance(value, Long) or not -(2**31) <= value < 2**31:
            return as_kind(_LONG, _INT64.pack(value))
        case int():
            return as_kind(_INT, _INT32.pack(value))
        case float():
            return as_kind(_NUMBER, _DOUBLE.pack(value))
        case str():
            return as_kind(_TEXT, _text(value.encode()))
        case Raw():
            return as_kind(_DOCUMENT, value)
        case bytes():
            return as_kind(_BINARY, _INT32.pack(len(value)) + b"\0" + value)
        case Mapping():
            return as_kind(_DOCUMENT, encode(value))
        case _:
            return as_kind(_ARRAY, encode({str(number): one for number, one in enumerate(value)}))


def _text(text: bytes) -> bytes:
    return _INT32.pack(len(text) + 1) + text + b"\0"


def decode(document: bytes) -> dict[str, Value]:
    """Return a document's values; those that JSON does not have are texts.

    Raises:
        NotBson: It is none, or has too many values or levels.
    """
    return _Decoder().document(document, 0)


class _Decoder:
    def __init__(self) -> None:
        self._left = _MOST_VALUES

    def document(self, document: bytes, level: int) -> dict[str, Value]:
        if level > _MOST_LEVELS:
            raise NotBson("a document with too many levels")
        found = {}
        for one in elements(document, most=self._left):
            self._left -= 1
            name = one.name.decode("utf-8", "replace")
            found[name] = self._value(one.kind, document[one.value : one.end], level)
        return found

    def _value(self, kind: int, content: bytes, level: int) -> Value:
        match kind:
            case 3:
                return self.document(content, level + 1)
            case 4:
                return list(self.document(content, level + 1).values())
            case 1:
                number = _DOUBLE.unpack(content)[0]
                return float(number) if math.isfinite(number) else str(number)
            case 2 | 13 | 14:
                return content[_INT32.size : -1].decode("utf-8", "replace")
            case 5:
                return content[_INT32.size + 1 :]
            case 8:
                return content != b"\0"
            case 16:
                return int(_INT32.unpack(content)[0])
            case 18:
                return int(_INT64.unpack(content)[0])
            case 9:
                return _date(_INT64.unpack(content)[0])
            case 6 | 10:
                return None
            case _:
                return content.hex()


def _date(milliseconds: int) -> str:
    try:
        return (_BEGAN + timedelta(milliseconds=milliseconds)).isoformat()
    except OverflowError:
        return f"{milliseconds} ms"
