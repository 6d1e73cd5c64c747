"""The documents of one preview: shown, written into a file as they are, and read from one.

A file is a chain of documents: for each collection its name and options, then its documents, then an empty one. Only
their sizes are looked at; the server reads the rest, as the preview's own user.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import BinaryIO

import trio

from preview.backing.answers import MOST_READ_BYTES, as_text
from preview.backing.interface import Column, QueryResult, TableSummary
from preview.backing.mongodb.account import Refused, Session, read_answer
from preview.backing.mongodb.bson import (
    Document,
    Long,
    NotBson,
    Raw,
    Value,
    decode,
    elements,
    encode,
    inner_document,
    inner_documents,
    size_of,
    text_in,
)
from preview.backing.mongodb.wire import NotMongodb, command
from preview.errors import DataUnavailable

_MOST_COLLECTIONS = 500
_BATCH = 1000
_BATCH_BYTES = 8 * 1024 * 1024
_MOST_DOCUMENT_BYTES = 17 * 1024 * 1024
_MOST_SHOWN = 2048
_END = encode({})
_STATEMENT_MS = 10_000


async def list_collections(session: Session, database: str) -> list[TableSummary]:
    """Return the first 500 collections, sorted by name. Raises and is cancelled like ``Session.execute``."""
    found = []
    for one in (await _collections(session, database))[:_MOST_COLLECTIONS]:
        count = (await session.execute(database, {"count": _name(one), "maxTimeMS": _STATEMENT_MS})).get("n")
        found.append(TableSummary(_name(one), count if isinstance(count, int) else None))
    return found


async def read_collection(session: Session, database: str, name: str, *, offset: int, limit: int) -> QueryResult:
    """Return documents in the order of their ``_id``, each as JSON in one column.

    Raises:
        NotMongodb: A document cannot be shown.

    Raises and is cancelled like ``Session.execute`` too.
    """
    # A batch has 16 MiB at most, whatever is asked for.
    asked: Document = {
        "find": name, "sort": {"_id": 1}, "skip": offset, "limit": limit, "batchSize": limit, "singleBatch": True,
        "maxTimeMS": _STATEMENT_MS,
    }  # fmt: skip
    body = await session.ask(command(asked, database))
    _check(body)
    documents, _ = _batch(body, b"firstBatch")
    rows = await trio.to_thread.run_sync(partial(_shown, documents))
    return QueryResult(
        (Column("document", "BSON"),),
        tuple((text,) for text, _ in rows),
        any(is_cut for _, is_cut in rows),
        has_more=len(documents) >= limit > 0,
    )


def _shown(documents: Sequence[bytes]) -> list[tuple[str, bool]]:
    rows = []
    left = MOST_READ_BYTES // 32
    for document in documents:
        try:
            text = json.dumps(decode(document), ensure_ascii=False, default=_as_text) if left > 0 else "…"
        except (NotBson, ValueError, RecursionError):
            text = f"a document of {len(document)} bytes, which is too large to be shown"
        is_cut = len(text) > _MOST_SHOWN
        left -= len(document)
        rows.append((text[:_MOST_SHOWN] + "…" if is_cut else text, is_cut))
    return rows


def _as_text(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


async def save(session: Session, database: str, file: Path, most_bytes: int) -> bool:
    """Write all collections into a new file; return false if there are none.

    Raises:
        DataUnavailable: They are too large or too many.
        OSError: The file cannot be written.

    Raises and is cancelled like ``Session.execute`` too.
    """
    collections = await _collections(session, database)
    if not collections:
        return False
    if len(collections) > _MOST_COLLECTIONS:
        raise DataUnavailable(
            f"MongoDB has {len(collections)} collections here, and a snapshot saves {_MOST_COLLECTIONS} at most; "
            "remove some."
        )
    written = 0
    with file.open("xb") as target:
        for one in collections:
            options = inner_document(one, "options") or _END
            indexes = await _all(session, database, {"listIndexes": _name(one)})
            about: Document = {"name": _name(one), "options": Raw(options), "indexes": [Raw(each) for each in indexes]}
            await trio.to_thread.run_sync(target.write, encode(about))
            async with aclosing(_each_batch(session, database, {"find": _name(one), "batchSize": _BATCH})) as batches:
                async for documents in batches:
                    written += sum(map(len, documents))
                    if written > most_bytes:
                        raise DataUnavailable("The data in MongoDB is too large for a snapshot.")
                    await trio.to_thread.run_sync(target.writelines, documents)
            await trio.to_thread.run_sync(target.write, _END)
    return True


async def load(session: Session, database: str, file: Path) -> None:
    """Read all collections from a file into an empty database.

    Raises:
        DataUnavailable: The file is damaged.
        OSError: The file cannot be read.

    Raises and is cancelled like ``Session.execute`` too.
    """
    with file.open("rb") as source:
        while (about := await trio.to_thread.run_sync(_next, source)) is not None:
            try:
                name = next(text_in(about, one) for one in elements(about) if one.name == b"name")
                options, indexes = inner_document(about, "options"), []
                for one in elements(about):
                    if one.name == b"indexes":
                        indexes = inner_documents(about, one, most=_MOST_COLLECTIONS)
                made = _merged({"create": as_text(name or b"")}, options or _END, database)
            except (NotBson, StopIteration) as error:
                raise DataUnavailable("The saved data of MongoDB is damaged.") from error
            _check(await session.ask(made))
            await _insert(session, database, as_text(name or b""), source)
            further = [one for one in indexes if b"\0_id_\0" not in one]
            if further:
                asked: Document = {"createIndexes": as_text(name or b""), "indexes": [Raw(one) for one in further]}
                await session.execute(database, asked)


async def _insert(session: Session, database: str, name: str, source: BinaryIO) -> None:
    batch, size = [], 0
    while True:
        document = await trio.to_thread.run_sync(_next, source)
        if document is None:
            raise DataUnavailable("The saved data of MongoDB is damaged.")
        is_last = document == _END
        if not is_last:
            batch.append(document)
            size += len(document)
        if batch and (is_last or len(batch) >= _BATCH or size >= _BATCH_BYTES):
            asked: Document = {"insert": name, "ordered": True, "bypassDocumentValidation": True}
            said = await session.execute(database, asked, ("documents", b"".join(batch)))
            if said.get("writeErrors"):
                raise Refused(f"documents of {name} are not accepted")
            batch, size = [], 0
        if is_last:
            return


def _next(source: BinaryIO) -> bytes | None:
    """Return the next document of a file; None at its end. Raises: DataUnavailable: There is a part of one."""
    start = source.read(4)
    if not start:
        return None
    try:
        size = size_of(start)
    except NotBson as error:
        raise DataUnavailable("The saved data of MongoDB is damaged.") from error
    rest = source.read(size - 4) if size <= _MOST_DOCUMENT_BYTES else b""
    if len(rest) != size - 4:
        raise DataUnavailable("The saved data of MongoDB is damaged.")
    return start + rest


def _merged(first: Document, options: bytes, database: str) -> bytes:
    """Return a command with a document's elements as its options."""
    start, end = encode(first), encode({"$db": database})
    content = start[4:-1] + options[4:-1] + end[4:]
    return (len(content) + 4).to_bytes(4, "little") + content


async def _collections(session: Session, database: str) -> list[bytes]:
    """Return what the server says about each collection; views and the server's own are left out."""
    found = await _all(session, database, {"listCollections": 1, "filter": {"type": "collection"}})
    return sorted((one for one in found if not _name(one).startswith("system.")), key=_name)


def _name(about: bytes) -> str:
    for one in elements(about):
        if one.name == b"name":
            return as_text(text_in(about, one) or b"")
    raise NotMongodb("a collection without a name")


async def _all(session: Session, database: str, asked: Document) -> list[bytes]:
    found: list[bytes] = []
    async with aclosing(_each_batch(session, database, asked)) as batches:
        async for documents in batches:
            found += documents
            if len(found) > _MOST_COLLECTIONS * 4:
                raise NotMongodb("too many collections or indexes")
    return found


async def _each_batch(session: Session, database: str, asked: Document) -> AsyncGenerator[list[bytes], None]:
    """Yield the documents of an answer by batches; each is of 16 MiB at most."""
    body = await session.ask(command(asked, database))
    name = b"firstBatch"
    collection: Value = asked.get("find") or "$cmd.listCollections"
    while True:
        _check(body)
        documents, cursor = _batch(body, name)
        yield documents
        if not cursor:
            return
        name = b"nextBatch"
        if isinstance(listed := asked.get("listIndexes"), str):
            collection = f"$cmd.listIndexes.{listed}"
        more: Document = {"getMore": Long(cursor), "collection": collection, "batchSize": _BATCH}
        body = await session.ask(command(more, database))


def _batch(body: bytes, name: bytes) -> tuple[list[bytes], int]:
    """Return the documents of an answer, and the cursor for the next ones; 0 if there are none."""
    try:
        cursor = inner_document(body, "cursor") or _END
        found, number = None, 0
        for one in elements(cursor):
            if one.name == name:
                found = inner_documents(cursor, one, most=_BATCH + _MOST_COLLECTIONS)
            elif one.name == b"id":
                number = int.from_bytes(cursor[one.value : one.end], "little", signed=True)
    except NotBson as error:
        raise NotMongodb(str(error)) from error
    if found is None:
        raise NotMongodb("no documents")
    return found, number


def _check(body: bytes) -> None:
    """Check an answer whose documents are not decoded. Raises: Refused, NotMongodb."""
    try:
        is_error = any(one.name == b"errmsg" for one in elements(body))
    except NotBson as error:
        raise NotMongodb(str(error)) from error
    if is_error:
        read_answer(body)
