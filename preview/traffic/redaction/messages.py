"""Redaction of whole messages: header fields by their names, contents by their kind."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from secrets import token_bytes

from preview.logs.ingest.secret_names import Secrecy, secrecy_of
from preview.traffic.record import BODY_BYTES
from preview.traffic.redaction.text import note_basic, redact_parameters, redact_target, redact_text

Field = tuple[str, str]

_MARK_BYTES = 4
_CREDENTIALS = frozenset({"authorization", "proxy-authorization"})
_ADDRESSES = frozenset({"location", "content-location", "referer", "refresh", "link", "origin"})
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9-]{0,31})[ \t]+")
_FORM = re.compile(r"[^\s&={}<>\"]{1,256}=[^\s{}<>\"]*+")
# Kinds of binary content that is kept: pictures and the like. Others may have secrets in a form that is not read.
_KEPT_BINARY = ("image/", "audio/", "video/", "font/", "application/pdf", "application/wasm")
# Kinds of content that often has no end: events, one JSON value after the other, frames of a camera.
_STREAMS = (
    "text/event-stream", "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines",
    "application/json-seq", "application/stream+json", "multipart/x-mixed-replace",
)  # fmt: skip
_CODINGS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_ABOUT_CONTENT = frozenset({b"content-type", b"content-encoding"})
_READ_CODINGS = frozenset({"", "identity", *_CODINGS})


# Shorter secrets are replaced where they have a name, and nowhere else.
_SWEPT_CHARACTERS = 6
_MOST_SWEPT = 64
# A secret that occurs in a mark would be found in each of them.
_MARK_BEGINS = "[redacted:"
_MARK = re.compile(r"\[redacted:(?:[0-9a-f]{8}|cut)\]")
# Stand for marks while a text is swept: the first one for those it has, the others for those of the secrets. They are
# surrogates, which no text has.
_HOLE = 0xD800
_MOST_HOLES = 0xDFFF - _HOLE
_HOLES = re.compile("[\ud800-\udfff]")
# Characters of a target that are read. The rest may have a part of a secret, and is dropped.
TARGET_CHARACTERS = 4096
CUT = "[redacted:cut]"
"""Stands for the end of a target."""


class Redactor:
    """Makes the marks that replace secrets.

    A mark is ``[redacted:1a2b3c4d]``. Equal secrets have equal marks, so that a reader can follow a token from a login
    to later requests. The digits are a keyed hash; its key is never stored and ends with this object.
    """

    def __init__(self) -> None:
        self._key = token_bytes(32)

    def hide(self, secret: str) -> str:
        """Return the mark of a secret."""
        given = secret.encode("utf-8", "surrogatepass")
        return f"[redacted:{blake2b(given, digest_size=_MARK_BYTES, key=self._key).hexdigest()}]"


class Redaction:
    """Replaces the secrets of one request and its response by marks.

    Attributes:
        secrets: Mark of each secret found so far, of those with a name or a known form.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._hide = redactor.hide
        self._most = _MOST_SWEPT
        self.secrets: dict[str, str] = {}

    def know(self, secrets: Mapping[str, str]) -> None:
        """Take marks of secrets that are known beforehand. They take no place of those that are found."""
        self.secrets |= secrets
        self._most += len(secrets)

    def hide(self, secret: str) -> str:
        """Return the mark of a secret."""
        mark = self._hide(secret)
        is_known = len(secret) >= _SWEPT_CHARACTERS and secret not in _MARK_BEGINS and _MARK_BEGINS not in secret
        if is_known and len(self.secrets) < self._most:
            self.secrets[secret] = mark
        return mark

    def sweep(self, text: str) -> str:
        """Replace known secrets wherever they are: responses often repeat what was sent, under any name.

        Nothing is replaced within a mark, so that the text grows by a constant factor at most.
        """
        # A secret may be a part of a longer one.
        found = sorted((secret for secret in self.secrets if secret in text), key=len, reverse=True)
        for start in range(0, len(found), _MOST_HOLES):
            text = self._without(text, found[start : start + _MOST_HOLES])
        return text

    def _without(self, text: str, secrets: Sequence[str]) -> str:
        text = _HOLES.sub("\ufffd", text)
        kept = iter(_MARK.findall(text))
        text = _MARK.sub(chr(_HOLE), text)
        marks: list[str] = []
        for secret in secrets:
            marks.append(self.secrets[secret])
            text = text.replace(secret, chr(_HOLE + len(marks)))
        return _HOLES.sub(lambda hole: marks[ord(hole[0]) - _HOLE - 1] if hole[0] != chr(_HOLE) else next(kept), text)

    def target(self, target: str, most: int = TARGET_CHARACTERS) -> str:
        """Return a target (path and query) without secrets; of a long one, its beginning and ``CUT``."""
        if len(target) <= most:
            return redact_target(target, self.hide)
        return redact_target(_cut(target, most), self.hide) + CUT

    def fields(self, fields: Iterable[Field]) -> list[Field]:
        """Return header fields without secrets. Schemes and names of cookies stay."""
        return [(name, self._field(name.lower(), value)) for name, value in fields]

    def body(self, body: bytes, kind: str) -> bytes:
        """Return content without secrets.

        Args:
            body: The first bytes of the content, not compressed.
            kind: ``Content-Type``, in lower case; a hint only.
        """
        if not body:
            return b""
        try:
            text = body.decode("utf-8")
            coding = "utf-8"
        except UnicodeDecodeError:
            # A cut may have split the last character.
            text, coding = body.decode("latin-1"), "latin-1"
        if "\0" in text or (coding == "latin-1" and not _is_text(kind)):
            return body if kind.startswith(_KEPT_BINARY) else b""
        return self.sweep(self._text(self.sweep(text), kind)).encode(coding, "replace")

    def _text(self, text: str, kind: str) -> str:
        if kind.startswith("multipart/"):
            return self._multipart(text)
        if "x-www-form-urlencoded" in kind or _FORM.fullmatch(text.strip()[:4096]):
            return redact_parameters(text, self.hide)
        return redact_text(text, self.hide)

    def _multipart(self, text: str) -> str:
        """Return a form in parts without secrets. Its first line is the boundary (RFC 2046 section 5.1.1)."""
        boundary = text[:128].partition("\n")[0].rstrip("\r")
        if not boundary.startswith("--"):
            return redact_text(text, self.hide)
        return boundary.join(self._part(part) for part in text.split(boundary))

    def _part(self, part: str) -> str:
        head, gap, content = part.partition("\r\n\r\n")
        name = re.search(r'\bname="?([^"\r\n;]{0,256})', head[:2048])
        if not gap:
            return part
        if name is not None and secrecy_of(name[1]) is not Secrecy.PLAIN:
            end = "\r\n" if content.endswith("\r\n") else ""
            return f"{head}{gap}{self.hide(content.removesuffix(end))}{end}"
        return f"{head}{gap}{redact_text(content, self.hide)}"

    def _field(self, name: str, value: str) -> str:
        if name in _CREDENTIALS:
            scheme = _SCHEME.match(value)
            if scheme is None:
                return self.hide(value)
            given = value[scheme.end() :]
            if scheme[1].lower() == "basic":
                note_basic(given, self.hide)
            return scheme[0] + self.hide(given)
        if name == "cookie":
            return ";".join(self._cookie(pair) for pair in value.split(";"))
        if name == "set-cookie":
            pair, semicolon, attributes = value.partition(";")
            return self._cookie(pair) + semicolon + attributes
        if name in _ADDRESSES:
            return redact_target(value, self.hide)
        if secrecy_of(name) is not Secrecy.PLAIN:
            return self.hide(value)
        return redact_text(value, self.hide)

    def _cookie(self, pair: str) -> str:
        name, sign, value = pair.partition("=")
        if not sign:
            # A cookie without a name is its value.
            return self.hide(pair) if pair.strip() else pair
        return f"{name}{sign}{self.hide(value)}" if value else pair


def _cut(target: str, most: int) -> str:
    """Return the target's beginning up to a border: a secret that is cut in two is not recognised."""
    kept = target[:most]
    end = max(map(kept.rfind, "&?#")) if "?" in kept or "#" in kept else kept.rfind("/")
    return kept[: end + 1]


def _is_text(kind: str) -> bool:
    return kind.startswith("text/") or any(
        word in kind for word in ("json", "xml", "form", "javascript", "yaml", "graphql")
    )


def keeps_body(fields: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return whether content with these header fields can be kept: false for streams, and for what cannot be read.

    Args:
        fields: Names in lower case.
    """
    return all(name not in _ABOUT_CONTENT or _is_kept(name, value[:256]) for name, value in fields)


@lru_cache(maxsize=256)
def _is_kept(name: bytes, value: bytes) -> bool:
    word = value.decode("latin-1").strip().lower()
    if name == b"content-encoding":
        return word in _READ_CODINGS
    if word.startswith(_STREAMS):
        return False
    return _is_text(word) or word.startswith((*_KEPT_BINARY, "multipart/"))


def decoded(body: bytes, coding: str) -> bytes | None:
    """Return the first bytes of compressed content, decoded; None if it cannot be read.

    Time and memory are bounded by ``BODY_BYTES``: the rest is not decoded.

    Args:
        body: The first bytes of the content, as sent.
        coding: ``Content-Encoding``, in lower case.
    """
    if coding in {"", "identity"}:
        return body
    bits = _CODINGS.get(coding)
    if bits is None:
        return None
    for window in (bits, -15) if bits == _CODINGS["deflate"] else (bits,):
        try:
            return zlib.decompressobj(window).decompress(body, BODY_BYTES)
        except zlib.error:
            continue
    return None
