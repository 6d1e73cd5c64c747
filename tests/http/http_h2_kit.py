"""An HTTP/2 client by hand, over TLS or not, and a certificate for the server."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import trio
import trustme

Fields = list[tuple[str, str]]


@dataclass(frozen=True)
class Certificate:
    """Files of a certificate for localhost, and of who has signed it."""

    ca: Path
    cert: Path
    key: Path

    @property
    def context(self) -> ssl.SSLContext:
        """For a client that trusts it and speaks HTTP/2."""
        context = ssl.create_default_context(cafile=self.ca)
        context.set_alpn_protocols(["h2"])
        return context


def make_certificate(folder: Path) -> Certificate:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1", common_name="localhost")
    made = Certificate(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
    authority.cert_pem.write_to_path(made.ca)
    made.cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(made.key)
    return made


class Client:
    """One connection."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        config = h2.config.H2Configuration(
            header_encoding="utf-8", validate_outbound_headers=False, normalize_outbound_headers=False
        )
        self.stream = stream
        self.authority = "localhost"
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        self.events: list[h2.events.Event] = []
        # Streams whose bytes are taken without making room for more.
        self.stalled: set[int] = set()

    async def flush(self) -> None:
        await self.stream.send_all(self.h2.data_to_send())

    async def ask(
        self, path: str = "/", *fields: tuple[str, str], method: str = "GET", ended: bool = True, stalls: bool = False
    ) -> int:
        """Send a request's head; its stream's number."""
        number: int = self.h2.get_next_available_stream_id()
        if stalls:
            self.stalled.add(number)
        pseudo = [(":method", method), (":scheme", "https"), (":authority", self.authority), (":path", path)]
        self.h2.send_headers(number, [*pseudo, *fields], end_stream=ended)
        await self.flush()
        return number

    async def send(self, number: int, data: bytes, *, ended: bool = False, pad: int | None = None) -> None:
        """Send all of a body's part, as fast as the windows let it go."""
        view, beside = memoryview(data), 0 if pad is None else pad + 1
        while view:
            await self.until(lambda: self.h2.local_flow_control_window(number) > beside)
            room = min(self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size) - beside
            piece, view = view[:room], view[room:]
            self.h2.send_data(number, bytes(piece), end_stream=ended and not view, pad_length=pad)
            await self.flush()

    async def reset(self, number: int) -> None:
        """Take a request back."""
        self.h2.reset_stream(number)
        await self.flush()

    async def until(self, found: Callable[[], bool]) -> None:
        """Take in what comes until this holds."""
        while not found():
            data = await self.stream.receive_some(65536)
            assert data, f"closed after {self.events!r}"
            for event in self.h2.receive_data(data):
                self.events.append(event)
                if isinstance(event, h2.events.DataReceived) and event.stream_id not in self.stalled:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            await self.flush()

    def of(self, kind: type[h2.events.Event], number: int | None = None) -> list[h2.events.Event]:
        return [
            one for one in self.events if isinstance(one, kind) and number in {None, getattr(one, "stream_id", None)}
        ]

    def body(self, number: int) -> bytes:
        return b"".join(one.data for one in self.of(h2.events.DataReceived, number))  # type: ignore[attr-defined]  # of this kind

    async def answer(self, number: int) -> tuple[int, bytes]:
        """The whole answer: status and body."""
        with trio.fail_after(60):
            await self.until(lambda: bool(self.of(h2.events.StreamEnded, number)))
        head = self.of(h2.events.ResponseReceived, number)[0]
        return int(dict(head.headers)[":status"]), self.body(number)  # type: ignore[attr-defined]  # of this kind

    async def error_code(self) -> int:
        """With which code the server ends the connection."""
        with trio.fail_after(60):
            await self.until(lambda: bool(self.of(h2.events.ConnectionTerminated)))
        return int(self.of(h2.events.ConnectionTerminated)[0].error_code)  # type: ignore[attr-defined]  # of this kind


@asynccontextmanager
async def open_client(address: tuple[str, int], certificate: Certificate | None = None) -> AsyncIterator[Client]:
    stream: trio.abc.Stream = await trio.open_tcp_stream(*address)
    if certificate is not None:
        stream = trio.SSLStream(stream, certificate.context, server_hostname="localhost", https_compatible=True)
        await stream.do_handshake()
        assert stream.selected_alpn_protocol() == "h2"
    async with stream:
        client = Client(stream)
        await client.flush()
        yield client
        await trio.aclose_forcefully(stream)
