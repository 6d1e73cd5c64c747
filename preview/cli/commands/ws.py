"""``preview ws``: talk to a WebSocket of a running preview; lines of stdin are messages, messages are lines."""

from __future__ import annotations

import base64
import json
import ssl
import sys
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlsplit

import trio
import trio_websocket
import typer

from preview.cli.client import Api, generation_path, open_api, trust_of
from preview.cli.exits import CommandFailed, ExitCode, NoService, UsageMistake
from preview.cli.options import CaOption, GenerationArgument, JsonOption, UrlOption
from preview.cli.terminal import say
from preview.core.quoting import quoted, visible

# As the service's own bound; a longer message ends the connection with 1009.
_MESSAGE_BYTES = 16 * 1024 * 1024
_CONNECT_S = 30.0
# For the closing handshake: the other side may never answer it.
_GOODBYE_S = 3.0
_GOOD_CODES = frozenset({1000, 1001, 1005})

app = typer.Typer(add_completion=False)


@app.command()
def ws(
    generation: GenerationArgument,
    path: Annotated[str, typer.Argument(metavar="PATH", help="Path of the WebSocket, with a query if needed.")],
    wait: Annotated[
        float,
        typer.Option(
            "--wait",
            metavar="SECONDS",
            min=0,
            help="After stdin ends, seconds without a message before the connection is closed.",
        ),
    ] = 1.0,
    code: Annotated[int, typer.Option("--code", min=1000, max=4999, help="Close code to send.")] = 1000,
    url: UrlOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Talk to a WebSocket of a running preview.

    Each line of stdin is sent as a text message, and each message is printed as a line. With --json, each event is a
    line: open, text, binary, close. Exits with 1 if the preview closes with an error code.

    Example: preview ws GEN /chat < messages.txt
    """
    if not path.startswith("/") or path.startswith("//") or not path.isascii() or not path.isprintable():
        raise UsageMistake(f"{quoted(path)} is not a path; start it with one slash, and quote other characters with %.")
    if code != 1000 and code < 3000:
        raise UsageMistake("Close with 1000, or with 3000 to 4999.")
    with open_api(url, ca) as api:
        address = api.get_json(generation_path(generation, "/preview/access"))["address"]
        talk = _Talk(api, address, path, wait_s=wait, code=code, as_json=as_json)
        context = trust_of(api, ca)
    closed = trio.run(talk.run, context)
    if closed is None:
        raise CommandFailed(
            f"The preview did not answer the WebSocket within {_CONNECT_S:g} s; see `preview logs {generation}`."
        )
    if closed not in _GOOD_CODES and closed != code:
        raise typer.Exit(ExitCode.FAILED)


class _Talk:
    """One connection, from the handshake to the close.

    Args:
        api: The service.
        address: The preview's own address.
        path: Checked.
        wait_s: Seconds of silence after the end of stdin.
        code: Close code.
        as_json: Print events as JSON.
    """

    def __init__(self, api: Api, address: str, path: str, *, wait_s: float, code: int, as_json: bool) -> None:
        self._api = api
        self._address = urlsplit(address)
        self._path = path
        self._wait_s = wait_s
        self._code = code
        self._as_json = as_json
        self._quiet = trio.CancelScope()
        self._at_end = False
        self._leaves = False

    async def run(self, context: ssl.SSLContext) -> int | None:
        """Talk until one side closes. Return the close code; None if the handshake took too long.

        Raises:
            NoService: The service cannot be reached.
            CommandFailed: The handshake was refused.

        Cancellation: the connection is cut.
        """
        stream = await self._connect(context)
        place = self._address
        closed = None
        try:
            async with trio.open_nursery() as nursery:
                with trio.move_on_after(_CONNECT_S) as patience:
                    socket = await trio_websocket.wrap_client_stream(
                        nursery,
                        stream,
                        place.netloc,
                        place.path.rstrip("/") + self._path,
                        extra_headers=[(b"Authorization", f"Bearer {self._api.target.token}".encode())],
                        max_message_size=_MESSAGE_BYTES,
                    )
                if not patience.cancelled_caught:
                    self._tell("open")
                    nursery.start_soon(self._send_lines, socket)
                    closed = await self._print_messages(socket)
                nursery.cancel_scope.cancel()
        except* trio_websocket.HandshakeError as group:
            raise _refused(group) from None
        return closed

    async def _connect(self, context: ssl.SSLContext) -> trio.SocketStream | trio.SSLStream[trio.SocketStream]:
        # Not every machine resolves names below localhost; the service listens at its own address anyway.
        place, service = self._address, urlsplit(self._api.target.url)
        host = place.hostname or service.hostname or "localhost"
        dialled = service.hostname or "localhost" if host.endswith(".localhost") else host
        is_tls = place.scheme == "https"
        port = place.port or (443 if is_tls else 80)
        try:
            with trio.fail_after(_CONNECT_S):
                stream = await trio.open_tcp_stream(dialled, port)
                if not is_tls:
                    return stream
                secure = trio.SSLStream(stream, context, server_hostname=host, https_compatible=True)
                await secure.do_handshake()
        except (OSError, trio.TooSlowError, trio.BrokenResourceError) as error:
            raise NoService(
                f"The preview at {place.netloc} cannot be reached ({error}); `preview ls` shows whether it runs."
            ) from error
        return secure

    async def _send_lines(self, socket: trio_websocket.WebSocketConnection) -> None:
        """Send each line of stdin; at the end, wait for silence and close."""
        try:
            while line := await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True):
                await socket.send_message(line.rstrip("\n"))
        except trio_websocket.ConnectionClosed:
            return
        self._at_end = True
        with self._quiet:
            self._renew()
            await trio.sleep_forever()
        self._leaves = True
        with trio.move_on_after(_GOODBYE_S):
            await socket.aclose(self._code)

    def _renew(self) -> None:
        if self._at_end:
            self._quiet.deadline = trio.current_time() + self._wait_s

    async def _print_messages(self, socket: trio_websocket.WebSocketConnection) -> int:
        """Print messages until the end. A slow terminal slows the preview down; nothing is stored."""
        while True:
            try:
                message = await socket.get_message()
            except trio_websocket.ConnectionClosed as error:
                if self._leaves:
                    return self._close(self._code, "")
                if error.reason is None:
                    return self._close(1006, "the connection broke")
                return self._close(error.reason.code, error.reason.reason or "")
            self._renew()
            if isinstance(message, str):
                self._tell("text", text=message)
            else:
                self._tell("binary", base64=base64.b64encode(message).decode(), size_bytes=len(message))

    def _close(self, code: int, reason: str) -> int:
        self._tell("close", code=int(code), reason=reason)
        return int(code)

    def _tell(self, event: str, **facts: Any) -> None:
        if self._as_json:
            at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            print(json.dumps({"event": event, "at": at} | facts), flush=True)
        elif event == "text":
            text = facts["text"]
            print(visible(text) if sys.stdout.isatty() else text, flush=True)
        elif event == "binary":
            say(f"a message of {facts['size_bytes']} bytes; --json prints it")
        elif event == "close":
            reason = facts["reason"]
            say(f"closed with {facts['code']}" + (f": {visible(reason)}" if reason else ""))


def _refused(group: BaseExceptionGroup[BaseException]) -> CommandFailed:
    """Return the error for a handshake that was refused, with the service's sentence if it has one."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            return _refused(error)
        if isinstance(error, trio_websocket.ConnectionRejected):
            try:
                detail = visible(str(json.loads(error.body or b"")["detail"]))
            except (ValueError, KeyError, TypeError, RecursionError):
                detail = ""
            return CommandFailed(
                f"The WebSocket was refused with {error.status_code}" + (f": {detail}" if detail else ".")
            )
    return CommandFailed("The preview closed the connection without a handshake; check the path, and see its log.")
