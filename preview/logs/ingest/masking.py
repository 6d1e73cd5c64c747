"""Masking of secrets in a process's output, before its lines are stored or sent.

Known secrets are found by one automaton over all values (Aho and Corasick, 1975). Secrets of requests are found in
addresses, as servers print them (``GET /books?token=abc``): by the names of query parameters, and as JSON Web Tokens.
Both take time linear in the output, whatever the number of secrets and whatever a hostile program prints.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus, unquote_plus

from ahocorasick_rs import BytesAhoCorasick, MatchKind

from preview.logs.ingest.secret_names import WORDS, Secrecy, secrecy_of

MASK = "••••"
"""Stands in place of a secret."""

LEAST_CHARACTERS = 6
"""Shorter values occur by chance, so they are not masked."""

# Building the automaton takes some 20 ms at this size.
_MOST_BYTES = 256 * 1024
# Bytes of a secret's beginning that are kept back from an unfinished line: fewer occur by chance.
_LEAST_BEGINNING, _MOST_BEGINNING = 3, 1024
_MASK = MASK.encode()
_LINE_ENDS = re.compile(r"[\r\n]+")
# A parameter of a query. A value ends where an address ends in printed text, or with the next parameter: "&", which
# JSON may have as "\\u0026", or ";" with a name and "=". What follows another ";" is part of the value.
_NAME, _VALUE = rb"[^?&;=\s\"'<>\x00-\x1f]{1,256}", rb"[^&;\\\s\"<>#\x00-\x1f]"
_PARAMETER = re.compile(
    rb"((?:[?&;]|\\u0026)(" + _NAME + rb")=)"
    rb"(?=[^&;\s\"<>#\x00-\x1f])(" + _VALUE + rb"*(?:(?:\\(?!u0026)|;(?!" + _NAME + rb"=))" + _VALUE + rb"*)*)"
)
_TOKEN = re.compile(rb"(?<![\w-])eyJ[\w-]{8,}+\.[\w-]{8,}+\.[\w-]*+")
# Codes of a login (RFC 6749 section 4.1.2) are longer than those of errors or countries.
_CODE_CHARACTERS = 12
_READ_BYTES = 1024
# RFC 3986 section 3.4: what a query that is written as text keeps as it is.
_SAFE_IN_QUERY = "/?:@!$&'()*+,;=-._~%"
_SIGNS = (b"code", b"bearer", *(word.encode() for word in WORDS))
_BORDERS = tuple(bytes([one]) for one in (*range(0x21), *b"\"'<>"))


class SecretMask:
    """The secrets of one preview. Values are added, and never shown.

    Args:
        queries: Mask JSON Web Tokens, and the values of query parameters with secret names, as well.

    Attributes:
        is_active: True if there is anything to mask.
        longest: Length in bytes of the longest value; at least that of a query parameter, if those are masked.
        dropped: Number of forms of values that are not masked any more, because there are too many.
    """

    def __init__(self, *, queries: bool = False) -> None:
        self.is_active = self._queries = queries
        # A longer value of a parameter is masked, but where a line is split in it, its next part is not.
        self.longest = _MOST_BEGINNING if queries else 0
        self.dropped = 0
        # Whether only requests have it, by form. Newest last: the order of insertion decides what is dropped.
        self._values: dict[bytes, bool] = {}
        self._sorted: list[bytes] = []
        self._search: BytesAhoCorasick | None = None

    def add(self, values: Iterable[str], *, sent: bool = False) -> None:
        """Mask these values from now on: exact, as text in JSON, and as part of a URL; long values line by line.

        Args:
            values: The values.
            sent: Requests have them. They are dropped before others when there are too many.
        """
        forms = {form: None for value in values for form in _forms(value)}
        if all(form in self._values and (sent or not self._values[form]) for form in forms):
            return
        for form in forms:
            self._values[form] = self._values.pop(form, True) and sent
        self._bound()
        self._sorted = sorted(self._values)
        self.longest = max(self.longest, *map(len, self._sorted))
        self._search = BytesAhoCorasick(self._sorted, matchkind=MatchKind.LeftmostLongest)
        self.is_active = True

    def _bound(self) -> None:
        size = sum(map(len, self._values))
        for value in sorted(self._values, key=lambda one: not self._values[one]):
            if size <= _MOST_BYTES:
                break
            size -= len(value)
            del self._values[value]
            self.dropped += 1

    def masked(self, data: bytes | bytearray, before: int | None = None) -> bytes:
        """Return the data with each secret replaced.

        Args:
            data: Output.
            before: Secrets that begin at this position or later stay, because more output may follow.
        """
        data = bytes(data)
        found = [] if self._search is None else self._search.find_matches_as_indexes(data)
        if not found:
            return self._without_parameters(data, before)
        parts: list[bytes] = []
        done = 0
        for _, start, end in found:
            if before is not None and start >= before:
                break
            parts += (data[done:start], _MASK)
            done = end
        masked = b"".join((*parts, data[done:]))
        return self._without_parameters(masked, None if before is None else before + len(masked) - len(data))

    def _without_parameters(self, data: bytes, before: int | None) -> bytes:
        """Return the data with JSON Web Tokens and the values of secret query parameters replaced."""
        if not self._queries:
            return data
        if (b"?" in data or b"&" in data or b";jsessionid=" in data) and _may_have_secrets(data):
            data = _PARAMETER.sub(lambda found: _hidden(found, before), data)
        if b"eyJ" in data:
            data = _TOKEN.sub(lambda found: found[0] if before is not None and found.end() >= before else _MASK, data)
        return data

    def beginning(self, data: bytes | bytearray) -> int:
        """Return how many bytes at the end of ``data`` may be the beginning of a secret."""
        tail = bytes(data[-_MOST_BEGINNING:])
        if self._queries and (size := _unfinished_query(tail)):
            return size
        for size in range(len(tail), _LEAST_BEGINNING - 1, -1):
            end = tail[-size:]
            at = bisect_left(self._sorted, end)
            if at < len(self._sorted) and self._sorted[at].startswith(end):
                return size
        return 0


def _may_have_secrets(data: bytes) -> bool:
    """Return False for most output, which then takes a small part of the time."""
    lowered = data.lower()
    return b"=" in data and any(word in lowered for word in _SIGNS)


def _unfinished_query(tail: bytes) -> int:
    """Return the size of an unfinished query at the end. Its names or values may become those of secrets."""
    border = max(tail.rfind(one) for one in _BORDERS)
    word = tail[border + 1 :]
    start = min((at for one in (b"?", b"&", b";") if (at := word.find(one)) >= 0), default=-1)
    # The question of a prompt is no query.
    is_query = start >= 0 and (b"=" in word[start:] or word.startswith(b"/") or b"://" in word)
    return len(word) - start if is_query else 0


def _hidden(found: re.Match[bytes], before: int | None) -> bytes:
    is_shown = (before is not None and found.start() >= before) or not _is_secret(found)
    return found[0] if is_shown else found[1] + _MASK


def _is_secret(found: re.Match[bytes]) -> bool:
    """Return whether a parameter's name is that of a secret, as in records of requests."""
    *_, name, value = found.groups()
    value = value.removeprefix(b"=")
    secrecy = secrecy_of(name.decode("utf-8", "replace"))
    if secrecy is not Secrecy.PLAIN:
        return secrecy is Secrecy.ALL or not value.isdigit()
    if name == b"code":
        return len(value) >= _CODE_CHARACTERS
    if b"%" not in value:
        return False
    # An encoded URL with a password, or encoded JSON with a secret's name.
    decoded = unquote_plus(value[:_READ_BYTES].decode("utf-8", "replace")).lower()
    return ("://" in decoded and "@" in decoded) or ('"' in decoded and any(word in decoded for word in WORDS))


def encoded_forms(value: str) -> Iterator[str]:
    """Yield the forms of a value in JSON, and in a URL: as a component, in a path, in a query, and in a form."""
    for is_ascii in (True, False):
        yield json.dumps(value, ensure_ascii=is_ascii)[1:-1]
    yield quote(value, safe="", errors="surrogatepass")
    yield quote(value, errors="surrogatepass")
    yield quote(value, _SAFE_IN_QUERY, errors="surrogatepass")
    yield quote_plus(value, errors="surrogatepass")


def _forms(value: str) -> Iterator[bytes]:
    """Yield each form in which programs print a value. Output is split into lines, so is the value."""
    value = value.strip()
    for text in (*_LINE_ENDS.split(value), *encoded_forms(value)):
        if len(text) >= LEAST_CHARACTERS:
            yield text.encode("utf-8", "surrogatepass")
