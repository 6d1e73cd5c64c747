"""WebSockets to previews over HTTP/2 (RFC 8441), where no ``Upgrade`` says that they are some."""

from __future__ import annotations

from pathlib import Path

import h2.connection
import h2.events
import pytest
import trio
from browser_kit import Door, open_door


async def _status(door: Door, *fields: tuple[str, str]) -> str:
    """How a handshake over HTTP/2 is answered."""
    stream, http = await door.connect(), h2.connection.H2Connection()
    http.initiate_connection()
    head = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", "/ws")]
    own = [(":authority", door.host), ("sec-websocket-version", "13")]
    http.send_headers(1, [*head, *own, *fields])
    await stream.send_all(http.data_to_send())
    while True:
        came = await stream.receive_some()
        assert came, "no answer"
        for event in http.receive_data(came):
            if isinstance(event, h2.events.ResponseReceived):
                return dict(event.headers)[b":status"].decode()
        await stream.send_all(http.data_to_send())


@pytest.mark.parametrize("origin", ["http://preview-other.localhost", "null"])
async def test_another_origin_s_page_opens_no_socket_over_http_2(tmp_path: Path, origin: str) -> None:
    async with open_door(tmp_path) as door:
        cookie = ("cookie", await door.cookie())
        with trio.fail_after(60):
            assert await _status(door, cookie, ("origin", origin)) == "403"
            assert await _status(door, cookie, ("origin", f"http://{door.host}")) == "200"
