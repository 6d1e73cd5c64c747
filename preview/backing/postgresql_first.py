"""The first message of a connection to PostgreSQL."""

from __future__ import annotations

import trio

from preview.backing.streams import read_exactly
from preview.backing.wire.postgresql import (
    GSS_REQUEST,
    HEAD_BYTES,
    NO_TLS,
    SSL_REQUEST,
    NotPostgresql,
    read_head,
)


async def read_first(client: trio.SocketStream) -> tuple[int, bytes]:
    """Return the code and the rest of the client's first message; a wish for encryption is answered with no.

    Raises:
        NotPostgresql: It is none.
        SessionEnded: The client has closed the connection.

    Cancellation: what was read is lost.
    """
    for _ in range(3):
        left, code = read_head(await read_exactly(client, HEAD_BYTES))
        if code not in (SSL_REQUEST, GSS_REQUEST):
            return code, await read_exactly(client, left)
        await client.send_all(NO_TLS)
    raise NotPostgresql("it asks for encryption again and again")
