"""Shared parts of both drivers: the service's address and token, requests of httpx2, and bounded reading."""

from __future__ import annotations

import os
import re
import ssl
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus
from typing import Any
from urllib.parse import SplitResult, urlsplit

import anyio
import httpx2

from preview.client.calls import MAX_PROBLEM_BYTES, Call, Reply
from preview.client.errors import ClientError, InvalidAnswer, Unreachable

# Seconds for a connection, which is local or one hop.
_CONNECT_S = 5.0
# Most bytes of a response's head are bounded by h11 (100 KiB).
# Closing a connection sends little; a peer that takes nothing must not delay a cancelled caller.
_CLOSE_S = 1.0
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_TOKEN = re.compile(r"[!-~]+")
_USER_AGENT = "preview-client"
# Asks the service to pass a request on, instead of a redirect.
_HOP = "preview-hop=1"
# The request has certainly not left.
_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)

Token = str | Callable[[], str]


class Address:
    """A service's address, and the token for it.

    Args:
        url: ``http(s)://HOST[:PORT][/PREFIX]``; None means the variable ``PREVIEW_URL``.
        token: The token, or a function that returns a valid one, called again when one has expired; None means
            ``PREVIEW_TOKEN``.
        user_agent: Name of the program.

    Raises:
        ClientError: There is no address or token, or it is invalid.
    """

    def __init__(self, url: str | None, token: Token | None, user_agent: str = _USER_AGENT) -> None:
        found = (url or os.environ.get("PREVIEW_URL") or "").rstrip("/")
        if not found:
            raise ClientError("No service address was given; pass url, or set PREVIEW_URL.")
        try:
            urlsplit(found)
            parsed = httpx2.URL(found)
        except (httpx2.InvalidURL, ValueError) as error:
            raise ClientError(f"{found[:200]!r} is not a service address; write http://HOST:PORT.") from error
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise ClientError(f"{found[:200]!r} is not a service address; write http://HOST:PORT.")
        self.url = found
        self._prefix = urlsplit(str(parsed)).path.rstrip("/")
        self.is_local = parsed.host in _LOCAL
        self._given = token or os.environ.get("PREVIEW_TOKEN")
        self._user_agent = user_agent
        if self._given is None:
            raise ClientError(f"{found} needs a token; pass token, or set PREVIEW_TOKEN.")
        self._token = ""
        self.renew()

    def renew(self) -> None:
        """Get a valid token, after the last one has expired."""
        token = self._given() if callable(self._given) else str(self._given)
        if not _TOKEN.fullmatch(token):
            raise ClientError("The token contains invalid characters.")
        self._token = token

    def options(self, verify: ssl.SSLContext | str | None, transport: object = None) -> dict[str, Any]:
        """Return the options of an httpx2 client. A proxy from the environment is not for services on this machine."""
        if transport is not None:
            return {"transport": transport}
        context = verify if isinstance(verify, ssl.SSLContext) else ssl.create_default_context(cafile=verify)
        return {"follow_redirects": False, "verify": context, "trust_env": not self.is_local}

    def request(self, client: httpx2.Client | httpx2.AsyncClient, call: Call) -> httpx2.Request:
        """Return the request of a call."""
        headers = {
            "Authorization": f"Bearer {self._token}",
            "User-Agent": self._user_agent,
            # A compressed response could be much larger than its bytes.
            "Accept-Encoding": "identity",
            **call.headers,
        }
        return client.build_request(
            call.method,
            call.url or f"{self.url}/api/v1{call.path}",
            params=(dict(call.params) or None) if call.url is None else None,
            headers=headers,
            json=None if isinstance(call.body, bytes) else call.body,
            content=call.body if isinstance(call.body, bytes) else None,
            files=call.files,
            data=None if call.fields is None else dict(call.fields),
            timeout=httpx2.Timeout(call.timeout_s, connect=_CONNECT_S),
        )

    def send(self, client: httpx2.Client, call: Call) -> httpx2.Response:
        """Send a call; return the response before its content. Raises ``httpx2.HTTPError``."""
        response = client.send(self.request(client, call), stream=True)
        if (moved := self.moved(call, response)) is None:
            return response
        response.close()
        return client.send(self.request(client, moved), stream=True)

    async def send_async(self, client: httpx2.AsyncClient, call: Call) -> httpx2.Response:
        """Send a call, as ``send``. Cancellation: the service may have received it."""
        response = await client.send(self.request(client, call), stream=True)
        if (moved := self.moved(call, response)) is None:
            return response
        await close_response(response)
        return await client.send(self.request(client, moved), stream=True)

    def moved(self, call: Call, response: httpx2.Response) -> Call | None:
        """Return the call to send instead; None if the response is no redirect of the service to the preview's node.

        1. The token goes only to an address that the service itself names, with its field ``Preview-Owner``: the same
           path at another host, never from ``https`` to ``http``, and once. It may lack the prefix of this address.
        2. Otherwise the call goes to the same address again, and asks the service to pass it on.
        """
        is_of_service = "preview-owner" in response.headers
        if response.status_code != HTTPStatus.TEMPORARY_REDIRECT or call.url is not None or not is_of_service:
            return None
        location = response.headers.get("location", "")
        asked, given = str(response.request.url), _split(location)
        here = urlsplit(asked)
        if given is not None and self._is_same(here, given):
            return replace(call, url=location)
        return replace(call, url=f"{asked}{'&' if here.query else '?'}{_HOP}")

    def _is_same(self, here: SplitResult, given: SplitResult) -> bool:
        """Return whether the token may go to ``given``, after a call to ``here``."""
        is_as_safe = given.scheme == "https" or given.scheme == here.scheme == "http"
        if not is_as_safe or "@" in given.netloc:
            return False
        # A proxy may remove the prefix before it passes a request on.
        is_path = given.path in (here.path, here.path.removeprefix(self._prefix))
        return is_path and given.query.replace(_HOP, "").strip("&") == here.query

    def unreachable(self, error: httpx2.HTTPError) -> Unreachable | InvalidAnswer:
        """Return the error for one of the connection."""
        if isinstance(error, httpx2.SSEError | httpx2.DecodingError | httpx2.UnsupportedProtocol):
            return InvalidAnswer(f"The service at {self.url} sent something other than what was requested ({error}).")
        return Unreachable(
            self.url,
            str(error) or type(error).__name__,
            was_sent=not isinstance(error, _NOT_SENT),
            is_timeout=isinstance(error, httpx2.TimeoutException),
        )


def _split(url: str) -> SplitResult | None:
    try:
        return urlsplit(url)
    except ValueError:
        return None


class BoundedBody:
    """Collects the content of a response, up to a size and a time.

    Raises:
        InvalidAnswer: The response is compressed although that was not accepted.
    """

    def __init__(self, response: httpx2.Response, call: Call, url: str) -> None:
        check_plain(response)
        self._response = response
        self._limit = min(call.max_bytes, MAX_PROBLEM_BYTES) if response.is_error else call.max_bytes
        self._url = url
        self._deadline = time.monotonic() + call.timeout_s
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, piece: bytes) -> None:
        """Take a piece.

        Raises:
            InvalidAnswer: The content is too large.
            Unreachable: The time is over; a slow response could go on for ever.
        """
        self._size += len(piece)
        if self._size > self._limit:
            raise InvalidAnswer(f"The response is larger than {self._limit} bytes, and was not read.")
        if time.monotonic() > self._deadline:
            raise Unreachable(self._url, "the response was not complete in time", is_timeout=True)
        self._pieces.append(piece)

    def reply(self) -> Reply:
        """Return the response with all pieces."""
        return Reply(self._response.status_code, dict(self._response.headers), b"".join(self._pieces))


def check_plain(response: httpx2.Response) -> None:
    """Accept a response that is not compressed; read its text as UTF-8, whatever it says.

    Raises:
        InvalidAnswer: It is compressed.
    """
    if response.headers.get("content-encoding", "identity").lower() not in ("identity", ""):
        raise InvalidAnswer("The response is compressed although that was not accepted; it was not read.")
    response.encoding = "utf-8"


async def close_response(response: httpx2.Response, pieces: AsyncGenerator[bytes, None] | None = None) -> None:
    """Close a response; shielded, as a cancelled caller must give its connection back, and bounded."""
    with anyio.move_on_after(_CLOSE_S, shield=True), suppress(httpx2.HTTPError, httpx2.StreamError):
        await response.aclose()
        if pieces is not None:
            # The generators below this one end by the closed connection; else each would be left to the garbage
            # collection, of which trio warns.
            async for _ in pieces:
                pass
