from __future__ import annotations

import runpy
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio
from http_kit import PATIENCE_S, make_settings
from hypercorn.config import Config
from hypercorn.trio import serve as hypercorn_serve

import preview
from preview.errors import ConfigurationError, ServiceStopping
from preview.http import PreviewApp, create_app
from preview.http.contracts import v1
from preview.service import open_service
from preview.user import User

EXAMPLE = Path(__file__).parents[2] / "examples" / "embed_fastapi.py"


@asynccontextmanager
async def hypercorn(app: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """Hypercorn's own trio worker, as ``hypercorn -k trio`` runs it."""
    config = Config.from_mapping({"bind": ["127.0.0.1:0"], "graceful_timeout": 0.5, "errorlog": None})
    stop = trio.Event()
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            serving = partial(hypercorn_serve, app, config, shutdown_trigger=stop.wait, mode="asgi")
            addresses: list[str] = await nursery.start(serving)
            async with httpx2.AsyncClient(base_url=addresses[0], trust_env=False, timeout=PATIENCE_S) as client:
                yield client
            stop.set()


@pytest.fixture
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = make_settings(tmp_path)
    monkeypatch.setenv("PREVIEW_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("PREVIEW_CACHE_DIR", str(settings.cache_dir))
    monkeypatch.setenv("PREVIEW_PORT_MIN", "23201")
    monkeypatch.setenv("PREVIEW_PORT_MAX", "23300")


@pytest.mark.usefixtures("_in_folder")
async def test_the_example_serves_previews_under_its_prefix_with_its_own_users_and_generations() -> None:
    example = runpy.run_path(str(EXAMPLE))
    ann, bob = {"X-Host-User": "ann"}, {"X-Host-User": "bob"}
    base = "/preview/api/v1/generations/hello/preview"
    async with hypercorn(example["app"]) as client:
        assert (await client.get("/")).json()["host"]
        assert (await client.get("/preview/healthz")).json() == {"status": "ok"}
        assert (await client.post(f"{base}/launch")).status_code == 401
        assert (await client.post(f"{base}/launch", headers=bob)).status_code == 403
        unknown = await client.get("/preview/api/v1/generations/none/preview/status", headers=ann)
        assert (unknown.status_code, unknown.json()["code"]) == (404, "generation_not_found")
        assert unknown.json()["instance"] == "/preview/api/v1/generations/none/preview/status"

        answer = await client.post(f"{base}/launch", headers=ann | {"Prefer": "wait=60"})
        assert answer.status_code == 201, answer.text
        v1.Launched.model_validate(answer.json())
        assert answer.headers["location"] == f"/preview/api/v1/previews/{answer.json()['id']}"
        assert (await client.get(answer.headers["location"], headers=ann)).json()["status"] == "running"

        token = {"X-Preview-Token": answer.json()["session_token"]}
        said = await client.post(f"{base}/request", headers=ann | token, json={"method": "GET", "path": "/"})
        assert "hello" in said.json()["body"]
        log = await client.get(f"{base}/logs/stream?follow=false", headers=ann)
        assert "somebody says hello" in log.text
        # The host keeps its generations itself, and signs its users in itself.
        assert (await client.get("/preview/api/v1/generations", headers=ann)).status_code == 404
    assert not example["preview"].is_running


async def test_alone_behind_hypercorn_the_lifespan_opens_and_closes_the_service(tmp_path: Path) -> None:
    app = create_app(make_settings(tmp_path))
    assert not app.is_running
    async with hypercorn(app) as client:
        assert (await client.get("/readyz")).json() == {"status": "ready"}
        assert (await client.get("/login/none")).status_code == 401
        previews = app.backend.previews
        assert app.is_running
    assert not app.is_running
    assert not previews.all_active


async def test_a_service_that_cannot_open_fails_the_start_up_with_its_reason(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    sent: list[dict[str, Any]] = []
    messages = iter([{"type": "lifespan.startup"}])

    async def receive() -> dict[str, Any]:
        return next(messages)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    app = create_app(make_settings(tmp_path, data_dir=blocked))
    with trio.fail_after(60):
        await app({"type": "lifespan", "asgi": {}, "state": {}}, receive, send)
    assert [one["type"] for one in sent] == ["lifespan.startup.failed"]
    assert "PREVIEW_DATA_DIR" in sent[0]["message"]


async def test_an_app_that_does_not_run_says_so(tmp_path: Path) -> None:
    app = create_app(make_settings(tmp_path))
    with pytest.raises(ServiceStopping):
        _ = app.backend
    client = app.test_client()
    assert (await client.get("/healthz")).status_code == 200
    assert (await client.get("/readyz")).status_code == 503
    answer = await client.get("/api/v1/previews")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "2"


async def test_a_host_may_bring_an_open_service_and_signs_its_users_in_itself(tmp_path: Path) -> None:
    async def nobody(scope: Mapping[str, Any]) -> None:
        return None

    settings = make_settings(tmp_path)
    with trio.fail_after(60):
        async with open_service(settings) as service:
            app = create_app(service=service, authenticate=nobody)
            async with app.running() as opened:
                assert opened is service
                client = app.test_client()
                assert (await client.get("/api/v1/previews")).status_code == 401
                # There is no session to give where tokens are not ours.
                assert (await client.get(f"/login/{app.login_codes.issue(User('ann'))}")).status_code == 404
            assert not service.draining.is_set()


async def test_running_twice_at_a_time_answers_with_the_first_service(tmp_path: Path) -> None:
    app = create_app(make_settings(tmp_path))
    with trio.fail_after(60):
        async with app.running() as service, app.attached(service):
            assert app.backend.service is service


def test_settings_come_from_the_environment_where_none_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREVIEW_DATA_DIR", str(tmp_path))
    assert create_app().settings.data_dir == tmp_path
    monkeypatch.setenv("PREVIEW_PORT_MIN", "none")
    with pytest.raises(ConfigurationError):
        create_app()


def test_the_asgi_module_holds_the_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREVIEW_DATA_DIR", str(tmp_path))
    # Another test may have had it imported.
    monkeypatch.delitem(sys.modules, "preview.asgi", raising=False)
    found = runpy.run_module("preview.asgi")
    assert isinstance(found["app"], PreviewApp)


def test_the_package_offers_what_it_says() -> None:
    for name in preview.__all__:
        assert getattr(preview, name).__module__.startswith("preview.")
    assert set(preview.__all__) <= set(dir(preview))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = preview.nothing
