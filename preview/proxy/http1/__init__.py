"""Strict readers and writers of HTTP/1.1 messages. No I/O.

Heads are read when complete, content in pieces of any size. No reader can interpret a written message differently.
"""

from preview.proxy.http1.bodies import LAST_CHUNK, Body, Payload, body_of, chunk
from preview.proxy.http1.heads import (
    CHUNKED,
    HEAD_END,
    LENGTH,
    MAX_ANSWER_HEAD,
    MAX_INTERIM,
    NO_CONTENT,
    REQUEST_LINE,
    UNTIL_CLOSE,
    Answer,
    Ask,
    Field,
    Unclean,
    read_answer,
    read_fields,
    read_request,
    takes_trailers,
)
from preview.proxy.http1.writing import field_lines, framing_fields, request_head

__all__ = [
    "CHUNKED",
    "HEAD_END",
    "LAST_CHUNK",
    "LENGTH",
    "MAX_ANSWER_HEAD",
    "MAX_INTERIM",
    "NO_CONTENT",
    "REQUEST_LINE",
    "UNTIL_CLOSE",
    "Answer",
    "Ask",
    "Body",
    "Field",
    "Payload",
    "Unclean",
    "body_of",
    "chunk",
    "field_lines",
    "framing_fields",
    "read_answer",
    "read_fields",
    "read_request",
    "request_head",
    "takes_trailers",
]
