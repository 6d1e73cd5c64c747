"""Conversion between drafts, rows of ``preview_requests`` and records.

As for log lines (``logs/storage/rows.py``), a run of records is inserted with one parameter, a JSON array that the
database takes apart, and is encoded in the writer's task. An element is the length of the facts as one character, the
facts, and the content. Facts are words between spaces; the content is JSON, or empty.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from json.encoder import encode_basestring
from typing import Any

from sqlalchemy import JSON, BigInteger, Connection, Integer, String, Text, bindparam, cast, column, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql import ColumnElement, Executable

from preview.storage.tables import preview_requests
from preview.traffic.draft import Draft, DraftMessage, Fields
from preview.traffic.record import BODY_BYTES, Message, Origin, RecordedRequest, Timing, Who
from preview.traffic.redaction import TARGET_CHARACTERS, Redaction, Redactor, decoded

# After the control characters and the quotes, so that no escape is needed.
_BASE = 0x80
# A length is one character below the surrogates (0xD800).
_MOST_FACTS = 0xD7FF - _BASE
_MAX_TARGET = 0x8000
_NEVER = "-"
_NOTHING: Mapping[str, str] = {}
_FACTS = "%d %s %s %s %s %d %s %d %d %d %d %d %d %d %d %d %s"
# A space ends a word of the facts; PostgreSQL stores no NUL.
_UNSTORABLE = {ord(" "): "%20", 0: "%00"}


@dataclass(frozen=True, slots=True)
class Run:
    """Records of one preview with dense numbers.

    Attributes:
        preview_id: The preview.
        first: Number of the first one.
        elements: Their elements of the JSON array.
    """

    preview_id: str
    first: int
    elements: list[str]

    @property
    def size_bytes(self) -> int:
        """Approximate size in the database."""
        return sum(map(len, self.elements))


@dataclass(frozen=True, slots=True)
class _Head:
    """Redacted header fields.

    Attributes:
        given: The fields as sent; keeps the object alive, because its identity is the key of the cache.
        fields: The redacted fields.
        text: The same as JSON.
        kind: ``Content-Type``, in lower case.
        coding: ``Content-Encoding``, in lower case.
        secrets: Secrets in the fields, with their marks.
    """

    given: object
    fields: list[tuple[str, str]]
    text: str
    kind: str
    coding: str
    secrets: Mapping[str, str]


class RecordEncoder:
    """Redacts and encodes the drafts of one transaction. Heads and targets that drafts share are encoded once."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._heads: dict[int, _Head] = {}
        self._targets: dict[bytes, str] = {}
        # Messages without a secret, by their parts.
        self._messages: dict[tuple[int, bytes, int], str] = {}
        self._marks: dict[str, str] = {}

    def encode(
        self, draft: Draft, last_line: int, most: int = TARGET_CHARACTERS, *, secrets: Mapping[str, str] = _NOTHING
    ) -> str:
        """Return the element of a draft, redacted.

        Args:
            draft: The request.
            last_line: Number of the newest log line.
            most: Characters of the target to read; less of it takes less time.
            secrets: By each form of the values that are removed wherever they occur, the value.
        """
        content = ""
        target = self._targets.get(draft.target)
        if draft.request is not None:
            redaction = Redaction(self._redactor)
            if target is None:
                target = _storable(redaction.target(draft.target.decode("latin-1"), most))
                if not redaction.secrets and most >= TARGET_CHARACTERS:
                    self._targets[draft.target] = target
            redaction.know(self._known(secrets))
            request = self._message(draft.request, redaction)
            content = f"[{request},{self._message(draft.response, redaction)}]"
            # A mark may be longer than its secret: cut again.
            target = redaction.sweep(target)[:_MAX_TARGET]
        elif target is None:
            target = _storable(Redaction(self._redactor).target(draft.target.decode("latin-1"), most))
            if most >= TARGET_CHARACTERS:
                self._targets[draft.target] = target
        if secrets and draft.request is None:
            redaction = Redaction(self._redactor)
            redaction.know(self._known(secrets))
            target = redaction.sweep(target)[:_MAX_TARGET]
        facts = _FACTS % (
            draft.ended_ms - int(draft.ended * 1000),
            draft.origin.value,
            draft.who.value,
            draft.method[:64] or _NEVER,
            target,
            draft.status,
            draft.error or _NEVER,
            draft.queued * 1e6,
            draft.connected * 1e6,
            draft.first_byte * 1e6,
            draft.ended * 1e6,
            draft.sent_bytes,
            draft.received_bytes,
            draft.reload,
            draft.first_line,
            max(draft.first_line - 1, last_line),
            draft.request_id.decode("latin-1"),
        )
        if len(facts) > _MOST_FACTS:
            raise ValueError("The facts are longer than their length can say.")
        return encode_basestring(f"{chr(_BASE + len(facts))}{facts}{content}")

    def _known(self, secrets: Mapping[str, str]) -> dict[str, str]:
        for form, secret in secrets.items():
            if form not in self._marks:
                self._marks[form] = self._redactor.hide(secret)
        return {form: self._marks[form] for form in secrets}

    def _message(self, message: DraftMessage | None, redaction: Redaction) -> str:
        if message is None:
            return "null"
        key = (id(message.fields), message.body, message.size_bytes)
        if not redaction.secrets and (known := self._messages.get(key)) is not None:
            return known
        head = self._heads.get(id(message.fields))
        if head is None:
            head = self._heads[id(message.fields)] = self._head(message.fields)
        redaction.secrets |= head.secrets
        content = decoded(message.body, head.coding) or b""
        shown = redaction.body(content, head.kind)
        size = message.size_bytes
        if len(shown) > BODY_BYTES:
            # It has grown by its marks.
            shown = shown[:BODY_BYTES].decode("utf-8", "ignore").encode()
            size = max(size, len(shown) + 1)
        elif head.coding and content and len(message.body) == size:
            # All of it was decoded.
            size = len(shown)
        elif len(content) == size:
            # Marks have other lengths than what they replace; nothing was cut.
            size = len(shown) if shown else size
        else:
            size = max(size, len(shown) + 1)
        fields = head.text
        if redaction.secrets:
            # Each by itself: a secret may look like what separates them.
            fields = json.dumps([(redaction.sweep(name), redaction.sweep(value)) for name, value in head.fields])
        text = f"[{fields},{_text(shown)},{size}]"
        if not redaction.secrets:
            self._messages[key] = text
        return text

    def _head(self, given: Fields | bytes) -> _Head:
        fields = _lines(given) if isinstance(given, bytes) else _pairs(given)
        kind = coding = ""
        for name, value in fields:
            lowered = name.lower()
            if lowered == "content-type":
                kind = value.lower()
            elif lowered == "content-encoding":
                coding = value.strip().lower()
        if coding in {"gzip", "x-gzip", "deflate"}:
            # The content is stored decoded.
            fields = [field for field in fields if field[0].lower() != "content-encoding"]
        redaction = Redaction(self._redactor)
        redacted = redaction.fields(fields)
        return _Head(given, redacted, json.dumps(redacted), kind, coding, redaction.secrets)


def _storable(target: str) -> str:
    """Return a target as one word of the facts."""
    return target.translate(_UNSTORABLE)[:_MAX_TARGET] or "/"


def _pairs(fields: Fields) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in fields]


def _lines(lines: bytes) -> list[tuple[str, str]]:
    pairs = (line.partition(":") for line in lines.decode("latin-1").split("\r\n") if line)
    return [(name, value.strip()) for name, _, value in pairs]


def _text(body: bytes) -> str:
    """Return content as a JSON string; in base64, in an array, if it is no text that a database can store."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = "\0"
    return json.dumps([b64encode(body).decode()]) if "\0" in text else json.dumps(text)


# Reading


def record_of(preview_id: str, number: int, facts: str, content: str | None, *, pinned: bool) -> RecordedRequest:
    """Return the record of a row.

    Args:
        preview_id: The preview.
        number: The record's number.
        facts: The column.
        content: The column; None leaves headers and bodies out.
        pinned: Whether the record is pinned.
    """
    words = facts.split(" ")
    queued, connected, first_byte = (None if word.startswith("-") else int(word) / 1000 for word in words[7:10])
    request, response = (None, None) if not content else _messages(json.loads(content), words[16])
    return RecordedRequest(
        preview_id=preview_id,
        number=number,
        request_id=words[16],
        started_ms=int(words[0]),
        origin=Origin(words[1]),
        who=Who(words[2]),
        method=words[3],
        target=words[4],
        status=int(words[5]),
        error=None if words[6] == _NEVER else words[6],
        timing=Timing(queued, connected, first_byte, int(words[10]) / 1000),
        sent_bytes=int(words[11]),
        received_bytes=int(words[12]),
        reload=int(words[13]),
        first_line=int(words[14]),
        last_line=int(words[15]),
        request=request,
        response=response,
        pinned=pinned,
    )


def _messages(content: list[Any], request_id: str) -> tuple[Message | None, Message | None]:
    request, response = map(_read_message, content)
    if request is not None and not any(name.lower() == "x-request-id" for name, _ in request.headers):
        request = Message((*request.headers, ("x-request-id", request_id)), request.body, request.size_bytes)
    return request, response


def _read_message(given: list[Any] | None) -> Message | None:
    if given is None:
        return None
    head, body, size = given
    content = b64decode(body[0]) if isinstance(body, list) else body.encode()
    return Message(tuple((name, value) for name, value in head), content, size)


# Writing


def insert_runs(connection: Connection, runs: Iterable[Run]) -> None:
    """Insert records; existing numbers are ignored, so that a transaction with an unknown outcome can be repeated.

    Raises:
        sqlalchemy.exc.IntegrityError: A preview has no row in ``preview_instances``.
    """
    for run in runs:
        parameters: Mapping[str, str | int] = {
            "run_preview": run.preview_id,
            "run_first": run.first,
            "run_records": f"[{','.join(run.elements)}]",
        }
        connection.execute(_INSERTS[connection.dialect.name], parameters)


def _insert_statement(dialect: str) -> Executable:
    parameter = bindparam("run_records", type_=Text)
    if dialect == "sqlite":
        records = func.json_each(parameter).table_valued(
            column("key", BigInteger), column("value", Text), name="records"
        )
        index: ColumnElement[int] = records.c.key
        code = func.unicode
        insert = sqlite.insert(preview_requests)
    else:
        records = (
            func.json_array_elements_text(cast(parameter, JSON))
            .table_valued(column("value", Text), with_ordinality="key", name="records")
            .render_derived()
        )
        index, code = records.c.key - 1, func.ascii
        insert = postgresql.insert(preview_requests)  # type: ignore[assignment]  # same methods, no common base
    text = records.c.value
    length = code(text, type_=Integer) - _BASE
    rows = select(
        bindparam("run_preview", type_=String),
        bindparam("run_first", type_=BigInteger) + index,
        func.substr(text, 2, length),
        func.nullif(func.substr(text, 2 + length), ""),
    ).where(records.c.key >= 0)  # SQLite cannot parse ON CONFLICT after a SELECT without WHERE
    names = ["preview_id", "number", "facts", "content"]
    return insert.from_select(names, rows).on_conflict_do_nothing()


_INSERTS = {dialect: _insert_statement(dialect) for dialect in ("sqlite", "postgresql")}
