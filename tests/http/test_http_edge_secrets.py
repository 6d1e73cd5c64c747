"""A secret that comes in goes nowhere: no answer, no log, no metric, no database holds it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from http_raw_kit import Edge, open_edge
from hypothesis import given, settings
from hypothesis import strategies as st

from preview.auth import issue_token
from preview.cli.local.hosting import configure_logging
from preview.errors import Unauthenticated
from preview.http.core.errors import problem_of
from preview.http.core.guard import without_secrets
from preview.user import User

SECRET = "sesame-0123456789-sesame-0123456789-sesame"
ACCESS_LOG = (
    "accesslog = '-'\nerrorlog = '-'\n"
    "access_log_format = '%(h)s %(R)s %(Uq)s %(q)s %(f)s %({Cookie}i)s %({Authorization}i)s'\n"
)

# Where a secret may come in; ``{}`` is the secret.
PLANTED = [
    ("GET /api/v1/previews HTTP/1.1", ["Authorization: Bearer {}"]),
    ("GET /api/v1/previews HTTP/1.1", ["Authorization: Basic {}"]),
    ("GET /api/v1/previews HTTP/1.1", ["Authorization: {}"]),
    ("GET /api/v1/previews HTTP/1.1", ["Authorization: Bearer x{}", "Authorization: Bearer {}"]),
    ("GET /api/v1/previews HTTP/1.1", ["Cookie: {cookie}={}"]),
    ("GET /api/v1/previews HTTP/1.1", ["Cookie: {cookie}={}; {cookie}=x"]),
    ("GET /api/v1/previews HTTP/1.1", ["X-Preview-Token: {}"]),
    ("GET /api/v1/previews?ticket={} HTTP/1.1", []),
    ("GET /nowhere?ticket={} HTTP/1.1", ["Referer: http://localhost/?ticket={}"]),
    ("GET /api/v1/generations/none/preview/logs/stream?ticket={} HTTP/1.1", []),
    ("GET /api/generations/none/preview/logs/stream?ticket={} HTTP/1.1", []),
    ("GET /api/v1/generations/none/preview/logs/stream?ticket={}&tail=x HTTP/1.1", []),
    ("GET /login/{} HTTP/1.1", []),
    ("GET /login/{} HTTP/1.1", ["Accept: text/html"]),
    ("HEAD /login/{} HTTP/1.1", []),
    ("POST /login/{} HTTP/1.1", ["Content-Length: 0"]),
    ("GET /login/{} HTTP/1.1", ["Host: elsewhere.example"]),
    ("GET /login/{}/more HTTP/1.1", []),
    ("GET http://localhost/login/{} HTTP/1.1", []),
    ("GET /broken HTTP/1.1", ["Authorization: Bearer {}", "X-Preview-Token: {}", "Cookie: {cookie}={}"]),
    ("GET /healthz HTTP/1.1", ["Proxy-Authorization: Basic {}", "X-Api-Key: {}"]),
]  # fmt: skip

ENVELOPES = [
    '{"method": "GET", "path": "/", "headers": {"X-Preview-Token": "SECRET"}}',
    '{"method": "GET", "path": "/", "headers": {"Authorization": "Bearer SECRET", "a b": "c"}}',
    '{"method": "GET", "path": "/", "headers": {"Authorization": "Bearer SECRET\\r\\nX: 1"}}',
    '{"method": "GET", "path": "/", "headers": {"Authorization": 5}, "body": "SECRET"}',
    '{"method": "GET", "headers": {"Authorization": "SECRET"}, "query": "SECRET"}',
    '{"method": "GET", "path": "/", "headers": "SECRET"}',
    'SECRET',
]  # fmt: skip


@contextmanager
def own_log(log_format: str) -> Iterator[None]:
    """The service's own log as the command sets it up, with everything in it, on the standard error of this moment."""
    configure_logging("DEBUG", log_format)
    # Else loggers would go on writing to this one's file in later tests.
    structlog.configure(cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.reset_defaults()
        for name in ("hypercorn.access", "hypercorn.error"):
            logging.getLogger(name).handlers.clear()


def break_something(edge: Edge) -> None:
    @edge.app.get("/broken")
    async def broken() -> str:
        from quart import request

        token, cookie = request.headers["Authorization"], request.headers["Cookie"]
        raise RuntimeError(len(token + cookie))


@pytest.mark.parametrize("log_format", ["console", "json"])
async def test_a_secret_that_comes_in_goes_nowhere(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], log_format: str
) -> None:
    shown: list[str] = []
    with own_log(log_format):
        async with open_edge(tmp_path, config=ACCESS_LOG) as edge:
            break_something(edge)
            cookie = edge.app.backend.session_cookie
            for line, fields in PLANTED:
                filled = [field.replace("{cookie}", cookie).replace("{}", SECRET) for field in fields]
                answer = await edge.ask(line.replace("{}", SECRET), *filled)
                assert answer.status >= 400 or "HEAD" in line or "healthz" in line or "text/html" in str(fields), line
                shown += [f"{line} {answer.headers} {answer.text}"]
            generation = await made_generation(edge)
            for prefix in ("/api/v1", "/api"):
                for envelope in ENVELOPES:
                    body = envelope.replace("SECRET", SECRET).encode()
                    line = f"POST {prefix}/generations/{generation}/preview/request HTTP/1.1"
                    fields = [edge.authorization, f"Content-Length: {len(body)}", f"X-Preview-Token: {SECRET}"]
                    answer = await edge.ask(line, *fields, body=body)
                    assert answer.status in {400, 403, 503}
                    shown += [f"{line} {answer.headers} {answer.text}"]
            shown += [(await edge.ask("GET /metrics HTTP/1.1")).text]
    logged = "".join(capfd.readouterr())
    assert "RuntimeError" in logged
    assert "GET /login/- " in logged
    assert [one for one in shown if SECRET in one] == []
    assert SECRET not in logged
    assert not await holds(edge, SECRET)


async def made_generation(edge: Edge) -> str:
    body = b'{"files": {"main.py": "x"}}'
    line = "POST /api/v1/generations HTTP/1.1"
    answer = await edge.ask(line, edge.authorization, f"Content-Length: {len(body)}", body=body)
    assert answer.status == 201
    return answer.headers["location"].rpartition("/")[2]


async def holds(edge: Edge, text: str) -> bool:
    """Whether any file of the service holds the text."""
    files = [path for path in edge.settings.data_dir.rglob("*") if path.is_file() and path.name != "secret"]
    return any(text.encode() in path.read_bytes() for path in files)


async def test_what_the_service_gives_out_is_kept_nowhere_as_it_is(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with open_edge(tmp_path, config=ACCESS_LOG) as edge:
        code = edge.app.login_codes.issue(User("ann"))
        login = await edge.ask(f"GET /login/{code} HTTP/1.1")
        session = login.headers["set-cookie"].partition("=")[2].partition(";")[0]
        token = issue_token(edge.settings, edge.secret, "ann", tier=None, ttl_s=60)
        for fields in (f"Cookie: {edge.app.backend.session_cookie}={session}", f"Authorization: Bearer {token}"):
            assert (await edge.ask("GET /api/v1/previews HTTP/1.1", fields)).status == 200
        given = [code, session, token, edge.secret]
        assert [one for one in given if await holds(edge, one)] == []
    logged = "".join(capfd.readouterr())
    assert [one for one in given if one in logged] == []


async def test_a_line_of_the_access_log_cannot_be_forged(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async with open_edge(tmp_path, config="accesslog = '-'\nerrorlog = '-'\n") as edge:
        await edge.ask("GET /a%0a127.0.0.1%20-%20forged%0d%1b[2K HTTP/1.1", "Referer: /a\tb")
    logged = "".join(capfd.readouterr())
    assert "\\n127.0.0.1 - forged\\r\\x1b[2K" in logged
    assert "\x1b[2K" not in logged


@settings(deadline=None)
@given(st.text())
def test_no_text_breaks_a_line_of_the_log(text: str) -> None:
    assert len(without_secrets(text).splitlines()) <= 1


@settings(deadline=None)
@given(st.text())
def test_whatever_a_host_says_of_a_user_it_refuses_stays_in_its_header(text: str) -> None:
    challenge = problem_of(Unauthenticated(text)).headers["WWW-Authenticate"]
    assert challenge.isascii()
    assert challenge.isprintable()
    assert challenge.count('"') == 6


async def test_an_error_that_repeats_what_was_sent_is_data_and_no_document(tmp_path: Path) -> None:
    script = "<script>alert(1)</script>"
    cases: list[tuple[str, list[str], bytes]] = [
        (f"GET /{script} HTTP/1.1", [], b""),
        (f"GET /api/v1/previews?status={script} HTTP/1.1", ["auth"], b""),
        (f"GET /api/v1/previews/{script} HTTP/1.1", ["auth"], b""),
        ("GET / HTTP/1.1", [f"Host: {script}"], b""),
        ("POST /api/v1/generations HTTP/1.1", ["auth"], b'{"files": {"<script>": 5}}'),
        ("POST /api/v1/generations HTTP/1.1", ["auth", f"Content-Type: {script}"], b"{}"),
        (f"{script} / HTTP/1.1", [], b""),
    ]
    async with open_edge(tmp_path) as edge:
        for line, fields, body in cases:
            sent: list[Any] = [edge.authorization if one == "auth" else one for one in fields]
            answer = await edge.ask(line, *sent, f"Content-Length: {len(body)}", "Accept: text/html", body=body)
            assert 400 <= answer.status < 500, line
            assert answer.headers["content-type"].startswith(("application/problem+json", "application/json")), line
            assert answer.headers["x-content-type-options"] == "nosniff"
