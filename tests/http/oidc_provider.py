"""An OpenID provider on loopback, with mistakes on request."""

from __future__ import annotations

import hashlib
import json
import time
from base64 import b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlsplit

import h11
import trio
from joserfc import jws
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

CLIENT = "preview-client"
SECRET = "a secret with spaces & signs"
KEY = RSAKey.generate_key(2048, {"kid": "k1"})
ED25519 = OKPKey.generate_key("Ed25519", {"kid": "k2"})
OTHER_KEYS: dict[str, Key] = {
    "RS256": RSAKey.generate_key(2048),
    "ES256": ECKey.generate_key("P-256"),
    # The public key as a secret.
    "HS256": OctKey.import_key(str(KEY.as_dict(private=False)["n"])),
}


class _Anything(jws.JWSRegistry):
    def get_alg(self, name: str) -> Any:
        return self.algorithms[name]


@dataclass
class OidcProvider:
    """A provider, its users and its mistakes.

    Attributes:
        claims: Claims of the next ID token that differ from good ones; None takes one away.
        metadata: The same for the discovery document.
        header: The same for the ID token's header.
        answer: Replaces the answer of the token endpoint.
        broken: Paths that answer 500.
        asked: Paths that were asked for.
        held: Answers of the token endpoint wait for this.
        waiting: Number of answers that wait.
    """

    url: str = ""
    claims: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=dict)
    key: Key = field(default_factory=lambda: KEY)
    algorithm: str = "RS256"
    answer: Callable[[], bytes] | None = None
    broken: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    clients: list[str] = field(default_factory=list)
    held: trio.Event | None = None
    waiting: int = 0

    def sign_in(self, location: str, **changes: str | None) -> str:
        """Act as a browser whose user signs in at ``location``; return where it is sent then."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        code = f"code-{len(self.codes)} &"
        self.codes[code] = asked
        answer: dict[str, str | None] = {"code": code, "state": asked["state"], "iss": self.url, **changes}
        query = "&".join(
            f"{name}={value.replace(' ', '%20').replace('&', '%26')}" for name, value in answer.items() if value
        )
        return f"{urlsplit(asked['redirect_uri']).path}?{query}"

    def _answer(self, method: str, target: str, body: bytes, authorization: str) -> tuple[int, bytes]:
        path = urlsplit(target).path
        self.asked.append(path)
        if path in self.broken:
            return 500, b"<h1>oh</h1>"
        if path == "/.well-known/openid-configuration":
            return 200, json.dumps(_changed(self._metadata(), self.metadata)).encode()
        if path == "/keys":
            return 200, json.dumps({"keys": [one.as_dict(private=False) for one in (KEY, ED25519)]}).encode()
        assert (method, path) == ("POST", "/token")
        return self._tokens({name: values[0] for name, values in parse_qs(body.decode()).items()}, authorization)

    def _metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize?tenant=1",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "authorization_response_iss_parameter_supported": True,
        }

    def _tokens(self, form: dict[str, str], authorization: str) -> tuple[int, bytes]:
        asked = self.codes.pop(form.get("code", ""), None)
        challenge = urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
        if (
            asked is None
            or asked["code_challenge"] != challenge
            or asked["redirect_uri"] != form["redirect_uri"]
            or form["grant_type"] != "authorization_code"
        ):
            return 400, b'{"error": "invalid_grant"}'
        if authorization:
            name, _, secret = b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
            self.clients.append(f"basic {unquote_plus(name)} {unquote_plus(secret)}")
        else:
            self.clients.append(f"form {form['client_id']} {form.get('client_secret')}")
        if self.answer is not None:
            return 200, self.answer()
        now = int(time.time())
        good = {"iss": self.url, "aud": CLIENT, "sub": "anna", "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
        header, claims = (
            {"alg": self.algorithm, "kid": str(self.key.kid or "k1"), **self.header},
            _changed(good, self.claims),
        )
        registry = _Anything(strict_check_header=False)
        token = jws.serialize_compact(header, json.dumps(claims).encode(), self.key, registry=registry)
        return 200, json.dumps({"access_token": "unused", "token_type": "Bearer", "id_token": token}).encode()

    async def serve(self, stream: trio.SocketStream) -> None:
        async with stream:
            connection, head, body = h11.Connection(h11.SERVER), None, b""
            while True:
                event = connection.next_event()
                if event is h11.NEED_DATA:
                    connection.receive_data(await stream.receive_some(65536))
                elif isinstance(event, h11.Request):
                    head = event
                elif isinstance(event, h11.Data):
                    body += event.data
                else:
                    break
            if head is None:
                return
            if self.held is not None and head.target == b"/token":
                self.waiting += 1
                await self.held.wait()
            authorization = dict(head.headers).get(b"authorization", b"").decode()
            status, content = self._answer(head.method.decode(), head.target.decode(), body, authorization)
            length = str(len(content))
            sent = connection.send(
                h11.Response(status_code=status, headers=[("Content-Length", length), ("Connection", "close")])
            )
            sent += connection.send(h11.Data(data=content)) + connection.send(h11.EndOfMessage())
            # A client may have read enough.
            with suppress(trio.BrokenResourceError):
                await stream.send_all(sent)


def half_hash(text: str) -> str:
    """Return the hash of an access token for EdDSA with Ed25519 (SHA-512, its left half)."""
    return urlsafe_b64encode(hashlib.sha512(text.encode()).digest()[:32]).rstrip(b"=").decode()


def _changed(good: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


@asynccontextmanager
async def open_oidc_provider() -> AsyncIterator[OidcProvider]:
    provider = OidcProvider()
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, provider.serve, 0, host="127.0.0.1"))
        provider.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        yield provider
        nursery.cancel_scope.cancel()
