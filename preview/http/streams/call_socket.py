"""A WebSocket of a preview, carried for the page or another client of the API.

A browser hides why a handshake was refused and sends no header fields of its own. So the service accepts the client's
WebSocket first, and each message on it is a JSON object that names what happened.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Awaitable, Callable
from typing import Annotated, Literal

import trio
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from quart import Websocket

from preview.errors import InvalidRequest, PreviewError, UpstreamTimeout
from preview.http.core.call_record import recorded_call
from preview.http.core.reading import sentence_of
from preview.proxy import ProxyRequest, make_request
from preview.proxy.exchange import SWITCHING
from preview.proxy.headers import REQUEST_ID_FIELD
from preview.proxy.message_socket import Closed, MessageSocket, Rejected, open_message_socket
from preview.settings import Settings
from preview.supervisor import LivePreview
from preview.traffic import Origin, Who

# The first message says where to connect; a client that sends none has gone.
_FIRST_MESSAGE_S = 10.0
_GOODBYE_S = 1.0
_MOST_FIELDS = 50
_MOST_PROTOCOLS = 10
_MOST_REFUSAL_CHARS = 4096
_MOST_REASON_BYTES = 123
_NORMAL, _GOING_AWAY, _BAD_MESSAGE = 1000, 1001, 1008
# The server and the library write these fields themselves.
_OF_HANDSHAKE = "sec-websocket-"

# A token (RFC 9110 section 5.6.2).
_Protocol = Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$")]
_Reason = Annotated[str, Field(max_length=_MOST_REASON_BYTES)]


class _Message(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class OpenMessage(_Message):
    """Connect; the client's first message."""

    type: Literal["open"]
    path: str = Field(max_length=8192)
    headers: list[tuple[str, str]] = Field(default_factory=list, max_length=_MOST_FIELDS)
    protocols: list[_Protocol] = Field(default_factory=list, max_length=_MOST_PROTOCOLS)


class TextMessage(_Message):
    """Send text."""

    type: Literal["text"]
    text: str


class BinaryMessage(_Message):
    """Send bytes."""

    type: Literal["binary"]
    base64: str


class CloseMessage(_Message):
    """Close with a code for programs, 1000 or 3000 to 4999, and a reason for people."""

    type: Literal["close"]
    code: int = Field(_NORMAL, ge=_NORMAL, le=4999)
    reason: _Reason = ""


_Later = TypeAdapter[TextMessage | BinaryMessage | CloseMessage](
    Annotated[TextMessage | BinaryMessage | CloseMessage, Field(discriminator="type")]
)


class CallSocket:
    """One accepted WebSocket of a client, and the preview's WebSocket that it asks for.

    Args:
        socket: Quart's WebSocket, accepted.
        preview: The running preview.
        settings: Bounds of messages and of silence.
        who: The sender, for the record.
        draining: Set when the service shuts down.
    """

    def __init__(
        self, socket: Websocket, preview: LivePreview, settings: Settings, *, who: Who, draining: trio.Event
    ) -> None:
        self._socket = socket
        self._preview = preview
        self._settings = settings
        self._who = who
        self._draining = draining
        self._quiet = trio.CancelScope()

    async def run(self, address: tuple[str, int]) -> None:
        """Connect to the preview and carry messages until one side closes; then close the client's side.

        Args:
            address: Host and port of the preview itself.

        Cancellation: both connections are closed at once.
        """
        code = _NORMAL
        try:
            asked, protocols = await self._read_first()
            async with open_message_socket(address, self._settings.websocket_message_bytes) as upstream:
                if await self._shake_hands(upstream, asked, protocols):
                    await self._carry(upstream)
        except PreviewError as error:
            code = _BAD_MESSAGE if isinstance(error, InvalidRequest) else _NORMAL
            await self._tell("error", code=error.code, message=error.message)  # noqa: ASYNC120  the answer itself
        await self._socket.close(code, "")

    async def _read_first(self) -> tuple[ProxyRequest, list[str]]:
        said: str | bytes = b""
        with trio.move_on_after(_FIRST_MESSAGE_S):
            said = await self._socket.receive()
        try:
            first = OpenMessage.model_validate_json(said)
        except ValidationError as error:
            raise InvalidRequest(sentence_of(error, "The first message")) from error
        fields = [(name, value) for name, value in first.headers if not name.lower().startswith(_OF_HANDSHAKE)]
        return make_request("GET", first.path, headers=fields, body_limit_bytes=0), first.protocols

    async def _shake_hands(self, upstream: MessageSocket, asked: ProxyRequest, protocols: list[str]) -> bool:
        """Connect and say so. Return whether the preview has accepted.

        Raises:
            UpstreamFailed, UpstreamTimeout: The preview gave no valid answer.

        Cancellation: recorded; the connection must not be used further.
        """
        host, port = self._preview.address or ("127.0.0.1", 0)
        fields = [
            (name.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in asked.headers
        ]
        limit_s, answered, began = self._settings.proxy_timeout_s, None, trio.current_time()
        with recorded_call(self._preview, asked, self._who, Origin.SOCKET) as outcome:
            outcome.code = "upstream_failed"
            with trio.move_on_after(limit_s):
                answered = await upstream.shake_hands(
                    f"{host}:{port}".encode(),
                    asked.target,
                    [*fields, (REQUEST_ID_FIELD, asked.request_id.encode())],
                    protocols,
                )
            outcome.code = "upstream_timeout" if answered is None else None
            if answered is not None:
                outcome.first_byte_s = trio.current_time() - began
                outcome.status = answered.status if isinstance(answered, Rejected) else SWITCHING
        if answered is None:
            raise UpstreamTimeout(f"The preview did not answer the WebSocket within {limit_s:g} s.", timeout_s=limit_s)
        if isinstance(answered, Rejected):
            body = answered.body.decode("utf-8", "replace")[:_MOST_REFUSAL_CHARS]
            await self._tell("refused", status=answered.status, body=body, request_id=asked.request_id)
            return False
        elapsed_ms = round((trio.current_time() - began) * 1000, 1)
        await self._tell("open", subprotocol=answered.subprotocol, elapsed_ms=elapsed_ms, request_id=asked.request_id)
        return True

    async def _carry(self, upstream: MessageSocket) -> None:
        """Carry messages until one side closes. Owns the nursery of its tasks."""
        with self._preview.streaming():
            async with trio.open_nursery() as nursery:

                async def until(work: Callable[[MessageSocket], Awaitable[None]]) -> None:
                    await work(upstream)
                    nursery.cancel_scope.cancel()

                for work in (self._outwards, self._inwards, self._goodbye, self._end_of_quiet):
                    nursery.start_soon(until, work)

    async def _outwards(self, upstream: MessageSocket) -> None:
        while not isinstance(message := await upstream.receive(), Closed):
            self._renew()
            if isinstance(message, str):
                await self._tell("text", text=message)
            else:
                await self._tell("binary", base64=base64.b64encode(message).decode())
        await self._tell("close", code=message.code, reason=message.reason, by="preview")

    async def _inwards(self, upstream: MessageSocket) -> None:
        while True:
            said = await self._socket.receive()
            self._renew()
            try:
                message = _Later.validate_json(said)
                sent = base64.b64decode(message.base64, validate=True) if message.type == "binary" else b""
            except (ValidationError, binascii.Error) as error:
                sentence = sentence_of(error, "The message") if isinstance(error, ValidationError) else "Send base64."
                await self._tell("error", code=InvalidRequest.code, message=sentence)  # noqa: ASYNC120  the answer
                continue
            if message.type == "close":
                await self._close(upstream, message)
                return
            await upstream.send(message.text if message.type == "text" else sent)

    async def _close(self, upstream: MessageSocket, message: CloseMessage) -> None:
        if message.code != _NORMAL and message.code < 3000:
            await self._tell("error", code=InvalidRequest.code, message="Close with 1000, or with 3000 to 4999.")
        code = message.code if message.code == _NORMAL or message.code >= 3000 else _NORMAL
        with trio.move_on_after(_GOODBYE_S):
            await upstream.close(code, message.reason)
        await self._tell("close", code=code, reason=message.reason, by="you")

    async def _goodbye(self, upstream: MessageSocket) -> None:
        await self._draining.wait()
        await self._end(upstream, "the service is shutting down")

    async def _end_of_quiet(self, upstream: MessageSocket) -> None:
        limit_s = self._settings.proxy_idle_timeout_s
        with self._quiet:
            self._renew()
            await trio.sleep_forever()
        await self._end(upstream, f"no message for {limit_s:g} s")

    async def _end(self, upstream: MessageSocket, reason: str) -> None:
        with trio.move_on_after(_GOODBYE_S):
            await upstream.close(_GOING_AWAY, reason)
        await self._tell("close", code=_GOING_AWAY, reason=reason, by="service")

    def _renew(self) -> None:
        self._quiet.deadline = trio.current_time() + self._settings.proxy_idle_timeout_s

    async def _tell(self, kind: str, **facts: object) -> None:
        await self._socket.send(json.dumps({"type": kind} | facts))
