"""Pages of other origins: none may use the API but those that the settings name, and with cookies only exact ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from http_raw_kit import Edge, open_edge

from preview.errors import ConfigurationError
from preview.settings import load_settings
from preview.user import User

APP = "https://app.example"
PREFLIGHT = (
    "Access-Control-Request-Method: POST",
    "Access-Control-Request-Headers: authorization,x-preview-token",
)


def cors(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.startswith("access-control-")}


async def log_in(edge: Edge) -> str:
    code = edge.app.login_codes.issue(User("ann"))
    answer = await edge.ask(f"GET /login/{code} HTTP/1.1")
    return "Cookie: " + answer.headers["set-cookie"].partition(";")[0]


async def test_by_default_no_page_but_our_own_is_answered(tmp_path: Path) -> None:
    async with open_edge(tmp_path) as edge:
        for origin in (APP, "null", "http://localhost:3000", "http://localhost"):
            answer = await edge.ask("GET /api/v1/previews HTTP/1.1", f"Origin: {origin}", edge.authorization)
            assert (answer.status, cors(answer.headers)) == (200, {})
            answer = await edge.ask("OPTIONS /api/v1/previews HTTP/1.1", f"Origin: {origin}", *PREFLIGHT)
            assert cors(answer.headers) == {}


async def test_a_named_origin_is_answered_and_another_is_not(tmp_path: Path) -> None:
    async with open_edge(tmp_path, cors_origins=f"{APP}, http://localhost:3000") as edge:
        answer = await edge.ask("OPTIONS /api/v1/generations HTTP/1.1", f"Origin: {APP}", *PREFLIGHT)
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (204, APP)
        assert "X-Preview-Token" in answer.headers["access-control-allow-headers"]
        assert "access-control-allow-credentials" not in answer.headers
        for line, status in (("GET /api/v1/previews", 401), ("GET /nowhere", 404), ("GET /healthz", 200)):
            answer = await edge.ask(f"{line} HTTP/1.1", f"Origin: {APP}")
            assert (answer.status, answer.headers["access-control-allow-origin"]) == (status, APP)
            assert answer.headers["vary"] == "Origin"
        for origin in (
            "https://app.example.evil.example", "https://evilapp.example", "http://app.example", "https://app.example:444",
            "https://APP.example", "null", "*", "", "https://app.example,https://x.example",
        ):  # fmt: skip
            for line, fields in (("GET", ()), ("OPTIONS", PREFLIGHT)):
                answer = await edge.ask(f"{line} /healthz HTTP/1.1", f"Origin: {origin}", *fields)
                assert cors(answer.headers) == {}, origin
                assert answer.headers["vary"] == "Origin"


async def test_any_origin_may_where_the_settings_say_so_but_without_cookies(tmp_path: Path) -> None:
    async with open_edge(tmp_path, cors_origins="*") as edge:
        answer = await edge.ask("GET /healthz HTTP/1.1", "Origin: https://x.example", await log_in(edge))
        assert cors(answer.headers)["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers


async def test_a_session_changes_nothing_for_a_page_of_another_origin_unless_it_may_use_cookies(tmp_path: Path) -> None:
    for credentials in (False, True):
        folder = tmp_path / str(credentials)
        async with open_edge(folder, cors_origins=APP, cors_credentials=credentials) as edge:
            cookie = await log_in(edge)
            named = ("Sec-Fetch-Site: cross-site", f"Origin: {APP}", cookie, "Content-Length: 0")
            other = ("Sec-Fetch-Site: cross-site", "Origin: https://x.example", cookie, "Content-Length: 0")
            answer = await edge.ask("POST /api/v1/logout HTTP/1.1", *named)
            assert answer.status == (204 if credentials else 403)
            assert ("access-control-allow-credentials" in answer.headers) is credentials
            assert (await edge.ask("POST /api/v1/logout HTTP/1.1", *other)).status == 403


async def test_our_own_page_behind_a_proxy_that_rewrites_host_may_use_its_session(tmp_path: Path) -> None:
    async with open_edge(tmp_path, public_url="https://Public.example/") as edge:
        cookie = await log_in(edge)
        for origin, status in (("https://public.example", 204), ("http://public.example", 403), ("null", 403)):
            answer = await edge.ask(
                "POST /api/v1/logout HTTP/1.1", f"Origin: {origin}", "Host: 127.0.0.1", cookie, "Content-Length: 0"
            )
            assert answer.status == status, origin


def test_credentials_for_any_origin_are_a_mistake_of_the_configuration() -> None:
    with pytest.raises(ConfigurationError, match="PREVIEW_CORS_CREDENTIALS"):
        load_settings(cors_origins="*", cors_credentials=True)


@pytest.mark.parametrize("value", ["app.example", "https://app.example/", "https://app.example/x", "null", "ftp://x"])
def test_what_is_no_origin_is_told(value: str) -> None:
    with pytest.raises(ConfigurationError, match="PREVIEW_CORS_ORIGINS"):
        load_settings(cors_origins=value)


@pytest.mark.parametrize("value", ["https://x.example", "x.example:80", "a b", "user@x"])
def test_what_is_no_host_name_is_told(value: str) -> None:
    with pytest.raises(ConfigurationError, match="PREVIEW_ALLOWED_HOSTS"):
        load_settings(allowed_hosts=value)
