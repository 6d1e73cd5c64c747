"""Sign-in at an identity provider: what strangers try first, then what users do."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
import trio
from http_kit import World, open_world
from oidc_provider import CLIENT, ED25519, OTHER_KEYS, SECRET, OidcProvider, half_hash, open_oidc_provider
from pydantic import SecretStr

from preview.auth import oidc
from preview.auth.box import SealedBox

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@dataclass
class Place:
    world: World
    provider: OidcProvider

    async def begin(self) -> tuple[str, str]:
        """Where a browser is sent, and its cookie."""
        answer = await self.world.client.get("/login/oidc", headers=BROWSER)
        assert answer.status_code == 303
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert "Path=/login/oidc" in cookie
        return answer.headers["location"], cookie.partition(";")[0]

    async def come_back(self, target: str, cookie: str) -> httpx2.Response:
        self.world.client.cookies.clear()
        return await self.world.client.get(target, headers=BROWSER | {"Cookie": cookie})

    async def sign_in(self, **changes: str | None) -> httpx2.Response:
        location, cookie = await self.begin()
        return await self.come_back(self.provider.sign_in(location, **changes), cookie)

    async def user(self, answer: httpx2.Response) -> str:
        """Return the user whose session an answer started."""
        assert (answer.status_code, answer.headers["location"]) == (303, "/"), answer.text
        session = next(one for one in answer.headers.get_list("set-cookie") if "Path=/;" in f"{one};")
        assert "HttpOnly" in session
        assert "SameSite=Strict" in session
        asked = await self.world.client.get("/api/v1/session", headers={"Cookie": session.partition(";")[0]})
        return str(asked.json()["user_id"])


@asynccontextmanager
async def open_place(folder: Path, **changes: Any) -> AsyncIterator[Place]:
    async with open_oidc_provider() as provider:
        settings = {"oidc_issuer": provider.url, "oidc_client_id": CLIENT, "oidc_client_secret": SecretStr(SECRET)}
        async with open_world(folder, **{**settings, **changes}) as world:
            yield Place(world, provider)


def refused(answer: httpx2.Response) -> str:
    """The reason that a refused browser's page gets; it has no session."""
    assert answer.status_code == 303
    assert not [one for one in answer.headers.get_list("set-cookie") if "sign_in" not in one.partition("=")[0]]
    return str(answer.headers["location"].removeprefix("/?login="))


async def test_an_answer_for_another_browser_signs_nobody_in(tmp_path: Path) -> None:
    async with open_place(tmp_path) as place:
        of_eve, _ = await place.begin()
        _, of_ann = await place.begin()
        # Eve's own answer, slipped to Ann's browser: Ann would work in Eve's account.
        slipped = place.provider.sign_in(of_eve)
        assert refused(await place.come_back(slipped, of_ann)) == "state"
        name = of_ann.partition("=")[0]
        for cookie in ("other=1", f"{name}=x.y.z", f"{name}={place.world.token('ann')}", f"{name}={'x' * 5000}"):
            assert refused(await place.come_back(slipped, cookie)) == "state"
        for target in ("?code=1", "?state=", "?state=1&state=2&code=1", "?" + "&".join("a=1" for _ in range(100))):
            assert refused(await place.come_back(f"/login/oidc/callback{target}", of_ann)) == "state"
        assert "/token" not in place.provider.asked


async def test_the_cookie_of_a_sign_in_shows_nothing(tmp_path: Path) -> None:
    async with open_place(tmp_path) as place:
        location, cookie = await place.begin()
        state = parse_qs(urlsplit(location).query)["state"][0]
        value = cookie.partition("=")[2].strip('"')
        content = urlsafe_b64decode(value)
        assert state.encode() not in content
        assert b"verifier" not in content
        # Each changed bit is noticed, and so is a cookie for something else.
        target = place.provider.sign_in(location)
        for at in (0, 12, 40, len(content) - 1):
            changed = bytearray(content)
            changed[at] ^= 1
            wrong = f"{cookie.partition('=')[0]}={urlsafe_b64encode(changed).decode()}"
            assert refused(await place.come_back(target, wrong)) == "state"
        other = SealedBox(place.world.secret, b"something else").sealed({"state": state, "exp": 2**40})
        assert refused(await place.come_back(target, f"{cookie.partition('=')[0]}={other}")) == "state"
        assert await place.user(await place.come_back(target, cookie)) == "anna"


async def test_one_address_leaves_connections_to_the_provider_for_others(tmp_path: Path) -> None:
    async with open_place(tmp_path, trusted_proxies="127.0.0.1") as place:
        place.provider.held = trio.Event()
        targets = []
        for _ in range(9):
            location, cookie = await place.begin()
            targets.append((place.provider.sign_in(location), cookie))

        async def come(target: str, cookie: str, address: str) -> None:
            headers = BROWSER | {"Cookie": cookie, "X-Forwarded-For": address}
            await place.world.client.get(target, headers=headers)

        async with trio.open_nursery() as nursery:
            # Addresses of one /64 are one person's.
            for number in range(8):
                nursery.start_soon(come, *targets[number], f"2001:db8:0:7::{number + 1}")
            with trio.fail_after(60):
                while place.provider.waiting < 2:  # noqa: ASYNC110  no event says that a connection waits
                    await trio.sleep(0.01)
            nursery.start_soon(come, *targets[8], "2001:db8:0:8::1")
            with trio.fail_after(60):
                while place.provider.waiting < 3:  # noqa: ASYNC110  as above
                    await trio.sleep(0.01)
            assert place.provider.waiting == 3
            place.provider.held.set()


async def test_the_cookie_of_a_sign_in_is_no_token(tmp_path: Path) -> None:
    async with open_place(tmp_path) as place:
        _, cookie = await place.begin()
        headers = {"Authorization": f"Bearer {cookie.partition('=')[2]}"}
        assert (await place.world.client.get("/api/v1/session", headers=headers)).status_code == 401


@pytest.mark.parametrize(
    "changes",
    [
        {"claims": {"aud": "another-client"}},
        {"claims": {"aud": [CLIENT, "another"], "azp": "another"}},
        {"claims": {"iss": "https://another.example"}},
        {"claims": {"exp": 1}},
        {"claims": {"exp": None}},
        {"claims": {"nonce": "of another sign-in"}},
        {"claims": {"nonce": None}},
        {"claims": {"nonce": 7}},
        {"claims": {"iat": None}},
        {"key": OTHER_KEYS["RS256"]},
        {"key": OTHER_KEYS["HS256"], "algorithm": "HS256"},
        {"key": OTHER_KEYS["ES256"], "algorithm": "ES256"},
        {"header": {"kid": "k" * 300}},
        {"header": {"kid": "unknown"}},
        {"answer": lambda: b"{}"},
        {"answer": lambda: b"[]"},
        {"answer": lambda: b'{"id_token": 7}'},
        {"answer": lambda: b'{"id_token": "a.b.c"}'},
        {"answer": lambda: b"[" * 100_000},
        {"answer": lambda: b"x" * 1_000_000},
        {"broken": {"/token"}},
        {"broken": {"/keys"}},
    ],
)
async def test_an_id_token_that_is_not_good_signs_nobody_in(tmp_path: Path, changes: dict[str, Any]) -> None:
    async with open_place(tmp_path) as place:
        for name, value in changes.items():
            setattr(place.provider, name, value)
        assert refused(await place.sign_in()) == "provider"


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://another.example"},
        {"issuer": None},
        {"token_endpoint": "http://192.0.2.1/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"token_endpoint": None},
    ],
)
async def test_a_provider_whose_addresses_cannot_be_trusted_is_not_used(
    tmp_path: Path, metadata: dict[str, Any]
) -> None:
    async with open_place(tmp_path) as place:
        place.provider.metadata = metadata
        for _ in range(3):
            assert refused(await place.world.client.get("/login/oidc", headers=BROWSER)) == "provider"
        # It is asked again later, not by each of those who wait.
        assert place.provider.asked == ["/.well-known/openid-configuration"]


async def test_an_answer_in_the_name_of_another_provider_is_refused(tmp_path: Path) -> None:
    async with open_place(tmp_path) as place:
        assert refused(await place.sign_in(iss="https://another.example")) == "provider"
        assert refused(await place.sign_in(iss=None)) == "provider"
        assert "/token" not in place.provider.asked


async def test_a_code_is_good_once(tmp_path: Path) -> None:
    async with open_place(tmp_path) as place:
        location, cookie = await place.begin()
        target = place.provider.sign_in(location)
        assert await place.user(await place.come_back(target, cookie)) == "anna"
        assert refused(await place.come_back(target, cookie)) == "provider"


async def test_somebody_signs_in_and_the_secret_goes_where_the_provider_takes_it(tmp_path: Path) -> None:
    async with open_place(tmp_path) as place:
        assert await place.user(await place.sign_in()) == "anna"
        assert place.provider.asked.count("/.well-known/openid-configuration") == 1
        assert place.provider.clients == [f"basic {CLIENT} {SECRET}"]
        entries = await place.world.client.get("/api/v1/audit", headers=place.world.headers("anna"))
        assert [one["action"] for one in entries.json()["items"]] == ["signed in"]
    async with open_place(tmp_path / "other", oidc_client_secret=None) as place:
        assert await place.user(await place.sign_in()) == "anna"
        assert place.provider.clients == [f"form {CLIENT} None"]
    async with open_place(tmp_path / "third") as place:
        place.provider.metadata = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
        assert await place.user(await place.sign_in()) == "anna"
        assert place.provider.clients == [f"form {CLIENT} {SECRET}"]


async def test_a_person_whom_the_provider_refuses_is_told(tmp_path: Path) -> None:
    async with open_place(tmp_path) as place:
        assert refused(await place.sign_in(code=None, error="access_denied")) == "refused"
        location, cookie = await place.begin()
        target = place.provider.sign_in(location, code=None, error="<script>")
        answer = await place.world.client.get(target, headers={"Accept": "application/json", "Cookie": cookie})
        assert answer.status_code == 401
        assert answer.json()["details"]["reason"] == "refused"


async def test_only_those_sign_in_whom_the_operator_admits(tmp_path: Path) -> None:
    admitted = {"oidc_user_claim": "email", "oidc_users": ("bob@other.example", "*@Example.com")}
    async with open_place(tmp_path, **admitted) as place:
        for email, is_verified, told in (
            ("anna@example.com", True, None),
            ("bob@other.example", True, None),
            ("eve@other.example", True, "user"),
            ("eve@example.com.other.example", True, "user"),
            ("eve@example.com", None, "user"),
            ("eve@example.com", "true", "user"),
            (["eve@example.com"], True, "user"),
            (" eve@example.com", True, "user"),
        ):
            place.provider.claims = {"email": email, "email_verified": is_verified}
            answer = await place.sign_in()
            if told is None:
                assert await place.user(answer) == email
            else:
                assert refused(answer) == told
        # An invited person's id is nobody else's.
        place.provider.claims = {"email": "invited:anna-2345@example.com", "email_verified": True}
        assert refused(await place.sign_in()) == "user"
        # A claim that names nobody.
        place.provider.claims = {"email": None}
        assert refused(await place.sign_in()) == "user"


async def test_a_name_that_reads_like_a_domain_admits_nobody(tmp_path: Path) -> None:
    admitted = {"oidc_user_claim": "preferred_username", "oidc_users": ("*@example.com",)}
    async with open_place(tmp_path, **admitted) as place:
        place.provider.claims = {"preferred_username": "*@example.com"}
        assert refused(await place.sign_in()) == "user"


async def test_the_newer_name_of_eddsa_is_taken_with_a_hash_of_the_access_token(tmp_path: Path) -> None:
    async with open_place(tmp_path) as place:
        place.provider.key, place.provider.algorithm = ED25519, "Ed25519"
        place.provider.claims = {"at_hash": half_hash("unused")}
        assert await place.user(await place.sign_in()) == "anna"


async def test_the_provider_may_go_away_after_it_was_asked_once(tmp_path: Path) -> None:
    async with open_place(tmp_path) as place:
        place.provider.broken = {"/.well-known/openid-configuration"}
        assert refused(await place.world.client.get("/login/oidc", headers=BROWSER)) == "provider"
    async with open_place(tmp_path / "other") as place:
        assert await place.user(await place.sign_in()) == "anna"
        place.provider.broken = {"/.well-known/openid-configuration"}
        assert await place.user(await place.sign_in()) == "anna"


async def test_keys_stay_until_newer_ones_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_place(tmp_path) as place:
        assert await place.user(await place.sign_in()) == "anna"
        monkeypatch.setattr(oidc, "_FRESH_S", 0.0)
        # The next description has the same keys, and they are not fetched again; then another address without keys.
        assert await place.user(await place.sign_in()) == "anna"
        assert place.provider.asked.count("/keys") == 1
        place.provider.metadata = {"jwks_uri": f"{place.provider.url}/moved"}
        place.provider.broken = {"/moved"}
        assert await place.user(await place.sign_in()) == "anna"
        assert place.provider.asked.count("/moved") == 1


async def test_a_link_preview_begins_no_sign_in_and_without_a_provider_there_is_none(tmp_path: Path) -> None:
    async with open_place(tmp_path) as place:
        assert (await place.world.client.head("/login/oidc")).status_code == 204
        assert (await place.world.client.head("/login/oidc/callback")).status_code == 204
        page = await place.world.client.get("/")
        assert f'<meta name="sign-in" content="{place.provider.url.removeprefix("http://")}" />' in page.text
    async with open_world(tmp_path / "other") as world:
        for path in ("/login/oidc", "/login/oidc/callback"):
            assert (await world.client.get(path)).status_code == 404
        assert '<meta name="sign-in" content="" />' in (await world.client.get("/")).text


async def test_where_a_provider_decides_who_users_are_nobody_is_the_operator_by_name(tmp_path: Path) -> None:
    async with open_place(tmp_path) as place:
        answer = await place.world.client.get("/api/v1/operator/users", headers=place.world.headers("local"))
        assert answer.status_code == 403
