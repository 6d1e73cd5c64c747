"""Tokens that two readers could take differently, and tokens that try to choose how they are checked."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
import trio
from auth_provider import NOW, SECRET, Clock, claims, key_for, key_set, segment, sign
from joserfc.jwk import OctKey

from preview.auth import JwtAuthenticator
from preview.errors import Unauthenticated
from preview.settings import Settings


def authenticator(**more: Any) -> JwtAuthenticator:
    return JwtAuthenticator(Settings(data_dir=Path("/nowhere"), **more), SECRET, now=Clock(NOW))


async def reason(token: str, **more: Any) -> object:
    with pytest.raises(Unauthenticated) as caught:
        await authenticator(**more).authenticate(token)
    return caught.value.details["reason"]


@pytest.mark.parametrize(
    "header",
    [
        b'{"alg":"none","alg":"HS256"}',
        b'{"alg":"HS256","alg":"none"}',
        b'{"alg":"HS256","kid":"a","kid":"b"}',
        b'{"alg":"HS256","x":{"y":1,"y":2}}',
    ],
)
async def test_a_header_that_says_a_thing_twice_is_refused(header: bytes) -> None:
    assert await reason(f"{segment(header)}.{segment(claims())}.{segment(b's' * 32)}") == "malformed"


@pytest.mark.parametrize("repeated", [b'"sub":"eve"', b'"exp":9999999999', b'"aud":"preview"', b'"x":{"y":1,"y":2}'])
async def test_signed_claims_that_say_a_thing_twice_are_refused(repeated: bytes) -> None:
    payload = b'{"sub":"anna","aud":"preview","exp":%d,%s}' % (NOW + 60, repeated)
    assert await reason(sign(payload)) == "malformed"


@pytest.mark.parametrize("depth", [500, 2000])
@pytest.mark.parametrize(("begin", "end"), [(b"[", b"]"), (b'{"a":', b"}")])
async def test_signed_claims_of_any_depth_are_read_or_refused(depth: int, begin: bytes, end: bytes) -> None:
    depth = min(depth, 5000 // len(begin))
    nested = begin * depth + (b"1" if begin != b"[" else b"") + end * depth
    payload = b'{"sub":"anna","aud":"preview","exp":%d,"deep":%s}' % (NOW + 60, nested)
    try:
        found = await authenticator().authenticate(sign(payload))
    except Unauthenticated:
        return
    assert found.user.id == "anna"


KIDS = [
    "../../../dev/null",
    "/dev/null",
    "' OR 1=1 --",
    "key\x00",
    "$(id)",
    "http://127.0.0.1:1/key",
    "\ud83d\ude00",
    "",
]


@pytest.mark.parametrize("kid", KIDS)
@pytest.mark.parametrize("secret", [b"", b"\0" * 32, b"null"])
async def test_no_key_id_leads_to_another_key(kid: str, secret: bytes) -> None:
    # As those do who let the id choose a file (CVE-2018-0114 and its like): an empty or a known key.
    key = OctKey.import_key(secret.ljust(32, b"x"))
    assert await reason(sign(claims(), key, kid=kid)) == "signature"


async def test_addresses_of_keys_in_a_token_are_never_asked(tmp_path: Path) -> None:
    """``jku`` and ``x5u`` name a server of the attacker's, which has the key that signed the token."""
    (tmp_path / "keys.json").write_text(json.dumps(key_set(key_for("RS256"))))
    public: dict[str, Any] = {"jwt_algorithm": "RS256", "jwks_file": tmp_path / "keys.json"}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/keys"
        for field in ("jku", "x5u"):
            for more in ({}, public):
                token = sign(claims(), OctKey.import_key("y" * 43), "HS256", **{field: address})
                assert await reason(token, **more) in {"signature", "algorithm"}, field
        await trio.lowlevel.checkpoint()
        with pytest.raises(BlockingIOError):
            listener.accept()
