"""Connect RPC in JSON, the server's side (https://connectrpc.com/docs/protocol)."""

from __future__ import annotations

import json
import struct
from collections.abc import AsyncIterator
from typing import Any

from quart import Request, Response

from preview.errors import TooLarge
from preview.http.core.reading import body_pieces
from preview.http.e2b.errors import E2bError

_END = 0x02
_COMPRESSED = 0x01
STREAM = "application/connect+json"
# Messages have commands and paths; content of files takes another way.
MAX_MESSAGE_BYTES = 1024 * 1024


async def read_body(request: Request, limit_bytes: int = MAX_MESSAGE_BYTES) -> bytes:
    """Return the body of a request: it is parsed as a whole, so it has a limit of its own.

    Raises:
        E2bError: It is longer.

    Cancellation: the rest is not read.
    """
    try:
        return b"".join([piece async for piece in body_pieces(request, limit_bytes)])
    except TooLarge as error:
        raise E2bError("too_large", error.message) from error


def message_of(content_type: str, body: bytes) -> dict[str, Any]:
    """Return the message of a request, of a single one or of a stream with one message.

    Raises:
        E2bError: It is none.
    """
    if content_type == STREAM:
        if len(body) < 5 or body[0] & _COMPRESSED:
            raise E2bError("invalid_argument", "Send one message, uncompressed.")
        body = body[5 : 5 + struct.unpack(">I", body[1:5])[0]]
    elif content_type != "application/json":
        raise E2bError("invalid_argument", "Only JSON is read; binary protobuf is not.")
    try:
        message = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise E2bError("invalid_argument", "The message is not JSON.") from error
    if not isinstance(message, dict):
        raise E2bError("invalid_argument", "The message is not a JSON object.")
    return message


def unary(message: dict[str, Any]) -> Response:
    """Return the answer of a single message."""
    return Response(json.dumps(message), content_type="application/json")


def unary_error(error: E2bError) -> Response:
    """Return the answer of an error, before any message."""
    said = {"code": error.rpc_code, "message": error.message}
    return Response(json.dumps(said), status=error.status, content_type="application/json")


def stream(messages: AsyncIterator[dict[str, Any]]) -> Response:
    """Return the answer of a stream of messages."""

    async def pieces() -> AsyncIterator[bytes]:
        end: dict[str, Any] = {}
        try:
            async for message in messages:
                yield _envelope(0, message)
        except E2bError as error:
            end = {"error": {"code": error.rpc_code, "message": error.message}}
        yield _envelope(_END, end)

    return Response(pieces(), content_type=STREAM)


def stream_error(error: E2bError) -> Response:
    """Return the answer of a stream that ends at once."""
    end = {"error": {"code": error.rpc_code, "message": error.message}}
    return Response(_envelope(_END, end), content_type=STREAM)


def _envelope(flags: int, message: dict[str, Any]) -> bytes:
    content = json.dumps(message).encode()
    return struct.pack(">BI", flags, len(content)) + content
