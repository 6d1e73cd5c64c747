"""One attempt to deliver a webhook: resolved, checked, sent and bounded."""

from __future__ import annotations

import ssl
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import httpcore2
import trio

from preview.alerts.webhooks.addresses import AddressPolicy
from preview.alerts.webhooks.message import signature
from preview.alerts.webhooks.network import AddressRefused, LookUp, PinnedBackend, Resolver, checked_addresses
from preview.alerts.webhooks.target import Target

ATTEMPT_S: Final = 10.0
"""Seconds for one attempt, with the look-up of the name."""

_READ_BYTES: Final = 1024
_RETRIED: Final = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
)
# httpcore2's errors have no common base class.
_FAILURES: Final = (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException)


@dataclass(frozen=True, slots=True)
class Message:
    """A webhook to send.

    Attributes:
        user_id: User whose webhook it is; counts against this user's bounds.
        delivery_id: The same for each attempt, so that a receiver can ignore a repeated one.
        target: Where to.
        secret: Key of the signature; None: unsigned.
        body: JSON.
    """

    user_id: str
    delivery_id: str
    target: Target
    secret: str | None
    body: bytes


@dataclass(frozen=True, slots=True)
class Attempt:
    """Result of one attempt.

    Attributes:
        status: Status of the response; None without one.
        problem: One sentence; None if the webhook was delivered.
        elapsed_ms: Duration in milliseconds.
        may_succeed_later: True if another attempt makes sense.
    """

    status: int | None
    problem: str | None
    elapsed_ms: int
    may_succeed_later: bool = False

    @property
    def is_delivered(self) -> bool:
        """True if the receiver has accepted it."""
        return self.problem is None


class WebhookSender:
    """Sends webhooks, each over a connection of its own, to checked addresses only.

    Args:
        policy: Decides which addresses may be reached.
        look_up: Resolves names; None means the machine's resolver.
        trust: Accepted certificates; None means the machine's authorities.
        attempt_s: Seconds for one attempt.
    """

    def __init__(
        self,
        policy: AddressPolicy,
        look_up: LookUp | None = None,
        trust: ssl.SSLContext | None = None,
        attempt_s: float = ATTEMPT_S,
    ) -> None:
        self._policy = policy
        self._look_up = look_up or Resolver()
        self._trust = trust
        self._attempt_s = attempt_s

    async def send(self, message: Message) -> Attempt:
        """Make one attempt. Never raises for anything that the receiver does.

        Cancellation: the connection is closed; the receiver may have the webhook.
        """
        started = trio.current_time()
        status: int | None = None
        problem: str | None = f"{message.target.host} did not answer within {self._attempt_s:g} s."
        is_hopeless = False
        with trio.move_on_after(self._attempt_s):
            try:
                status = await self._exchange(message)
                problem = _problem_of(status, message.target.host)
            except AddressRefused as error:
                problem, is_hopeless = str(error), True
            except OSError:
                problem = f"The name {message.target.host} does not resolve."
            except _FAILURES as error:
                problem = f"{message.target.host} failed: {str(error) or type(error).__name__}."
        later = problem is not None and not is_hopeless and (status is None or status >= 500 or status in _RETRIED)
        return Attempt(status, problem, round((trio.current_time() - started) * 1000), later)

    async def _exchange(self, message: Message) -> int:
        target = message.target
        addresses = await checked_addresses(self._look_up, self._policy, target.host, target.port, message.user_id)
        async with (
            httpcore2.AsyncConnectionPool(
                ssl_context=await self._trusted(target),
                max_connections=1,
                max_keepalive_connections=0,
                http1=True,
                http2=False,
                network_backend=PinnedBackend(addresses),
            ) as pool,
            pool.stream("POST", _url(target), headers=_headers(message), content=message.body) as response,
        ):
            # The content is of no interest: a short one is read, so that the receiver sees an orderly end.
            received = 0
            async with aclosing(response.aiter_stream()) as pieces:
                async for piece in pieces:
                    received += len(piece)
                    if received >= _READ_BYTES:
                        break
            return response.status

    async def _trusted(self, target: Target) -> ssl.SSLContext | None:
        if target.scheme == "https" and self._trust is None:
            # Reads some hundred certificates: once, and not in the event loop.
            self._trust = await trio.to_thread.run_sync(ssl.create_default_context)
        return self._trust


def _url(target: Target) -> httpcore2.URL:
    return httpcore2.URL(
        scheme=target.scheme.encode(), host=target.host.encode(), port=target.port, target=target.path.encode()
    )


def _headers(message: Message) -> Sequence[tuple[str, str]]:
    timestamp = str(int(time.time()))
    headers = [
        ("Host", message.target.authority),
        ("User-Agent", "preview-alerts"),
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(message.body))),
        ("Connection", "close"),
        ("X-Preview-Delivery", message.delivery_id),
        ("X-Preview-Timestamp", timestamp),
    ]
    if message.secret is not None:
        headers.append(("X-Preview-Signature", signature(message.secret, timestamp, message.body)))
    return headers


def _problem_of(status: int, host: str) -> str | None:
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return f"{host} answered {status}, and redirects are not followed; name the final address."
    return f"{host} answered {status}."
