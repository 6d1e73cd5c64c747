"""Failure records as JSON text, for the database."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from preview.logs.failures.model import (
    FailureRecord,
    Frame,
    Language,
    Occurrence,
    Raised,
    Relation,
    SourceLines,
)


def encode_record(record: FailureRecord) -> str:
    """Return the record without its names in the database, as ASCII text."""
    source = record.source
    return json.dumps(
        {
            "fingerprint": record.fingerprint,
            "language": record.language,
            "exceptions": [
                [one.type, one.message, one.relation, [_frame(frame) for frame in one.frames]]
                for one in record.exceptions
            ],
            "frame": None if record.frame is None else _frame(record.frame),
            "source": None if source is None else [source.path, source.line, source.first_line, list(source.lines)],
            "count": record.count,
            "occurrences": [
                [one.timestamp_ms, one.first_seq, one.last_seq, one.request_id, one.reload, one.is_startup, one.message]
                for one in record.occurrences
            ],
        }
    )


def decode_record(preview_id: str, record_id: str, text: str) -> FailureRecord:
    """Return the record: the inverse of ``encode_record``."""
    data: dict[str, Any] = json.loads(text)
    source = data["source"]
    return FailureRecord(
        preview_id=preview_id,
        id=record_id,
        fingerprint=data["fingerprint"],
        language=Language(data["language"]),
        exceptions=tuple(
            Raised(name, message, tuple(Frame(*frame) for frame in frames), Relation(relation))
            for name, message, relation, frames in data["exceptions"]
        ),
        frame=None if data["frame"] is None else Frame(*data["frame"]),
        source=None if source is None else SourceLines(source[0], source[1], source[2], tuple(source[3])),
        count=data["count"],
        occurrences=[Occurrence(*one) for one in data["occurrences"]],
    )


def _frame(frame: Frame) -> Sequence[object]:
    return [frame.path, frame.line, frame.function, frame.code, frame.is_own]
