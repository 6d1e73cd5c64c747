"""Under which name the service is reached, and what a request target may name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from http_raw_kit import Answer, open_edge
from hypothesis import given, settings
from hypothesis import strategies as st
from quart_trio import QuartTrio

from preview.errors import HostNotAllowed, InvalidRequest
from preview.http import create_app
from preview.http.core.guard import HostCheck, host_names
from preview.settings import load_settings

OURS = [
    "localhost", "localhost:8000", "LOCALHOST", "localhost.", "app.localhost:1", "127.0.0.1", "127.0.0.1:9999", "[::1]",
    "[::1]:8000", "10.1.2.3", "[2001:db8::1]:80", "named.example", "a.below.example", "below.example", "public.example",
    "bound.example:8000", "node.example",
]  # fmt: skip
OTHERS = [
    "elsewhere.example", "localhost.elsewhere.example", "xlocalhost", "127.0.0.1.elsewhere.example",
    "named.example.com",
    "xnamed.example", "notbelow.example", "0x7f.1", "2130706433", "127.1", "xn--e1afmkfd.example",
]  # fmt: skip
NO_HOSTS = [
    "", " ", "a b", "user@localhost", "localhost/", "localhost#", "localhost?x", "http://localhost", "[::1", "::1",
    "localhost:x", "localhost:80:80", "local,host", "localhost\\", "[v1.x]", "l\u00f6calhost",
    "%6cocalhost", "localhost:-1",
]  # fmt: skip


def check(**changes: Any) -> HostCheck:
    return HostCheck(host_names(load_settings(**changes)))


CHECK = check(
    allowed_hosts="named.example, .below.example",
    public_url="https://Public.example/app",
    node_public_url="https://Node.example:8443",
    bind="bound.example:80",
)


@pytest.mark.parametrize("host", OURS)
def test_our_names_pass(host: str) -> None:
    CHECK.check(host)


@pytest.mark.parametrize("host", OTHERS)
def test_another_name_is_refused_with_what_to_do(host: str) -> None:
    with pytest.raises(HostNotAllowed, match="PREVIEW_ALLOWED_HOSTS"):
        CHECK.check(host)


@pytest.mark.parametrize("host", NO_HOSTS)
def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(InvalidRequest):
        CHECK.check(host)


def test_a_star_lets_every_name_pass_but_nothing_that_is_none() -> None:
    anybody = check(allowed_hosts="*")
    anybody.check("elsewhere.example")
    with pytest.raises(InvalidRequest):
        anybody.check("a b")


@settings(deadline=None)
@given(st.text())
def test_any_text_passes_or_is_refused(host: str) -> None:
    try:
        CHECK.check(host)
    except InvalidRequest:
        return
    assert host.isascii()
    assert "@" not in host


async def test_a_page_that_rebinds_its_name_to_loopback_reaches_nothing(tmp_path: Path) -> None:
    async with open_edge(tmp_path) as edge:
        for path in ("/", "/healthz", "/openapi.json", "/api/v1/previews", "/metrics", "/login/x", "/nowhere"):
            answer = await edge.ask(f"GET {path} HTTP/1.1", "Host: rebound.example", edge.authorization)
            assert (answer.status, "host_not_allowed" in answer.text) == (421, True), path
            assert "set-cookie" not in answer.headers
        plan = await edge.ask("GET /api/generations/x/preview/status HTTP/1.1", "Host: rebound.example")
        assert (plan.status, '"error": "host_not_allowed"' in plan.text) == (421, True)


async def test_prometheus_and_health_checks_reach_the_service_by_the_name_of_its_container(tmp_path: Path) -> None:
    async with open_edge(tmp_path) as edge:
        for path in ("/healthz", "/readyz", "/metrics"):
            assert (await edge.ask(f"GET {path} HTTP/1.1", "Host: preview:8000")).status == 200, path
            for host in ("preview.elsewhere.example", "preview.local"):
                assert (await edge.ask(f"GET {path} HTTP/1.1", f"Host: {host}")).status == 421, (path, host)
        for path in ("/", "/api/v1/previews", "/openapi.json", "/metrics/", "/healthz/../api/v1/previews"):
            assert (await edge.ask(f"GET {path} HTTP/1.1", "Host: preview:8000", edge.authorization)).status == 421


async def test_the_address_that_is_listened_on_and_health_checks_without_a_host_pass(tmp_path: Path) -> None:
    async with open_edge(tmp_path) as edge:
        host, port = edge.address
        assert (await edge.ask("GET /healthz HTTP/1.1", f"Host: {host}:{port}")).status == 200
        (answer,) = await edge.send(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert answer.status == 200
        (answer,) = await edge.send(b"GET /healthz HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n")
        assert answer.status == 400


async def test_the_settings_name_further_hosts(tmp_path: Path) -> None:
    async with open_edge(tmp_path, allowed_hosts="named.example", public_url="https://public.example") as edge:
        for host in ("named.example", "public.example:443"):
            assert (await edge.ask("GET /healthz HTTP/1.1", f"Host: {host}")).status == 200
        assert (await edge.ask("GET /healthz HTTP/1.1", "Host: elsewhere.example")).status == 421


async def test_an_absolute_target_is_taken_only_for_the_host_that_is_named(tmp_path: Path) -> None:
    cases = [
        ("http://localhost/healthz", "localhost", 200),
        ("HTTP://LOCALHOST/healthz", "localhost", 200),
        ("https://localhost:1/healthz", "localhost:1", 200),
        ("http://localhost", "localhost", 200),
        ("http://elsewhere.example/healthz", "localhost", 400),
        ("http://localhost/healthz", "elsewhere.example", 400),
        ("http://elsewhere.example/healthz", "elsewhere.example", 421),
        ("http://localhost@elsewhere.example/healthz", "localhost", 400),
        ("http://u:p@localhost/healthz", "u:p@localhost", 400),
        ("http://[::1]/healthz", "[::1]", 200),
        ("http://[::1/healthz", "localhost", 404),
        ("file:///etc/passwd", "localhost", 404),
        ("gopher://localhost/healthz", "localhost", 404),
        ("http:/healthz", "localhost", 200),
        ("localhost:80", "localhost", 404),
        ("*", "localhost", 404),
        ("?x=1", "localhost", 404),
        ("healthz", "localhost", 404),
        ("#", "localhost", 404),
    ]
    async with open_edge(tmp_path) as edge:
        for target, host, expected in cases:
            answer = await edge.ask(f"GET {target} HTTP/1.1", f"Host: {host}")
            assert answer.status == expected, (target, host, answer.text)


async def test_a_method_for_proxies_reaches_nothing(tmp_path: Path) -> None:
    async with open_edge(tmp_path) as edge:
        for line in ("CONNECT elsewhere.example:443 HTTP/1.1", "CONNECT localhost:80 HTTP/1.1", "TRACE / HTTP/1.1"):
            answer = await edge.ask(line, "X-Secret: sesame")
            assert answer.status in {400, 404, 405}, line
            assert "sesame" not in answer.text


PATHS = [
        "//elsewhere.example", "///elsewhere.example/%2e%2e", "//elsewhere.example/healthz", "/\\elsewhere.example",
        "/%5celsewhere.example", "/%2f%2felsewhere.example", "/%2F/elsewhere.example", "//healthz", "/healthz/",
        "/docs/", "//docs", "/.//elsewhere.example", "/x/..//elsewhere.example", "/%09/elsewhere.example",
        "/%0d%0aLocation:%20http:%2f%2felsewhere.example", "/login//elsewhere.example", "/login/%0d%0aX:%201",
        "/assets/%2e%2e/%2e%2e/app.py", "/assets/..%2f..%2fapp.py", "/assets/%00", "/assets/..%5c..%5capp.py",
        "/assets/%ff", "/assets//etc/passwd", "/assets/%252e%252e%252fapp.py", "/favicon.svg/..", "/%00",
        "/api/v1/generations/%00/preview/status", "/api/v1/generations/..%2f..%2fx", "/api/v1/previews/%ff%fe",
        "/api/v1/generations/" + "a" * 8000, "/" + "%2e%2e%2f" * 500, "/" + "a/" * 3000, "/;x=1", "/%F0%9F%92%A9",
    ]  # fmt: skip


async def test_no_path_leads_elsewhere_or_breaks_anything(tmp_path: Path) -> None:
    async with open_edge(tmp_path) as edge:
        for path in PATHS:
            leads_nowhere(path, await edge.ask(f"GET {path} HTTP/1.1", edge.authorization))


def leads_nowhere(path: str, answer: Answer) -> None:
    assert answer.status < 500, path
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "x" not in answer.headers
    location = answer.headers.get("location", "/")
    # Relative to this service, or with its own name.
    assert location.startswith(("/", "http://localhost/"))
    assert not location.startswith(("//", "/\\"))
    assert "PreviewApp" not in answer.text


async def test_a_login_link_leads_to_the_page_whatever_the_request_says(tmp_path: Path) -> None:
    async with open_edge(tmp_path, allowed_hosts="*", trusted_proxies="127.0.0.1") as edge:
        for fields in (
            ["Host: elsewhere.example"],
            ["X-Forwarded-Host: elsewhere.example"],
            ["X-Forwarded-Prefix: //elsewhere.example"],
            ["Forwarded: host=elsewhere.example"],
        ):
            answer = await edge.ask("GET /login/used?next=//elsewhere.example HTTP/1.1", "Accept: text/html", *fields)
            assert (answer.status, answer.headers["location"]) == (303, "/?login=login_code")


async def test_fields_that_may_stand_once_are_not_taken_twice(tmp_path: Path) -> None:
    async with open_edge(tmp_path) as edge:
        for name, value in [
            ("Authorization", "Bearer x"),
            ("Origin", "http://localhost"),
            ("X-Preview-Token", "x"),
            ("Content-Type", "text/html"),
        ]:
            answer = await edge.ask("GET /api/v1/previews HTTP/1.1", f"{name}: {value}", f"{name.upper()}: {value}")
            assert (answer.status, "repeated" in answer.text) == (400, True), name


def test_where_it_is_mounted_the_host_application_checks_the_host() -> None:
    app = create_app(load_settings())
    assert isinstance(app, QuartTrio)
    scope = {"headers": [(b"host", b"elsewhere.example")], "http_version": "1.1", "path": "/"}
    app.check(scope)
    with pytest.raises(HostNotAllowed):
        create_app(load_settings(allowed_hosts="named.example")).check(scope)
