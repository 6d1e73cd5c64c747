"""An identity provider: keys, tokens signed with them, and a real HTTP server that publishes a key set."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import trio
from hypothesis import HealthCheck, settings
from joserfc import jws
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

# The machine may be busy with other things: how long an example takes says nothing.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

SECRET = "0123456789abcdef0123456789abcdef0123456789a"
NOW = 1_800_000_000


def key_for(algorithm: str, kid: str | None = "k1") -> Key:
    parameters: Any = None if kid is None else {"kid": kid}
    if algorithm == "RS256":
        return RSAKey.generate_key(2048, parameters)
    if algorithm == "ES256":
        return ECKey.generate_key("P-256", parameters)
    if algorithm in {"EdDSA", "Ed25519"}:
        return OKPKey.generate_key("Ed25519", parameters)
    return OctKey.import_key(SECRET, parameters)


def claims(**changes: Any) -> dict[str, Any]:
    """Good claims, changed; a value of None takes one away."""
    good: dict[str, Any] = {"sub": "anna", "aud": "preview", "iat": NOW, "exp": NOW + 60}
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


class _Anything(jws.JWSRegistry):
    def get_alg(self, name: str) -> Any:
        return self.algorithms[name]


def sign(payload: object, key: Key | None = None, alg: str = "HS256", **header: Any) -> str:
    """A token, however wrong it may be."""
    content = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    registry = _Anything(strict_check_header=False)
    return jws.serialize_compact({"alg": alg, **header}, content, key or key_for("HS256"), registry=registry)


def segment(value: object) -> str:
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def key_set(*keys: Key) -> dict[str, Any]:
    return {"keys": [dict(key.as_dict()) for key in keys]}


@dataclass
class Provider:
    """What the server answers, and how often it was asked."""

    url: str = ""
    body: bytes = b""
    status: str = "200 OK"
    headers: Mapping[str, str] = field(default_factory=dict)
    asked: int = 0
    requests: list[str] = field(default_factory=list)
    gate: trio.Event | None = None
    arrived: trio.Event = field(default_factory=trio.Event)

    def publish(self, *keys: Key) -> None:
        self.body = json.dumps(key_set(*keys)).encode()

    async def serve(self, stream: trio.SocketStream) -> None:
        try:
            request = b""
            while b"\r\n\r\n" not in request:
                request += await stream.receive_some()
            self.asked += 1
            self.requests.append(request.decode())
            self.arrived.set()
            if self.gate is not None:
                await self.gate.wait()
            more = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
            head = f"HTTP/1.1 {self.status}\r\nContent-Length: {len(self.body)}\r\nConnection: close\r\n{more}\r\n"
            await stream.send_all(head.encode() + self.body)
        except trio.BrokenResourceError:
            pass  # The client has had enough.
        finally:
            await stream.aclose()


@asynccontextmanager
async def open_provider(*keys: Key) -> AsyncIterator[Provider]:
    provider = Provider()
    provider.publish(*keys)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(partial(trio.serve_tcp, provider.serve, 0, host="127.0.0.1"))
            port = listeners[0].socket.getsockname()[1]
            provider.url = f"http://127.0.0.1:{port}/keys"
            yield provider
            nursery.cancel_scope.cancel()


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
