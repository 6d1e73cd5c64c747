from __future__ import annotations

from pathlib import Path

import pytest
import trio
from http_kit import NEVER_READY, open_world
from structlog.testing import capture_logs

from preview.errors import ConfigurationError, DatabaseUnavailable
from preview.http import create_app, load_config, serve
from preview.http.contracts import v1
from preview.http.core.guard import AccessLogger
from preview.http.server import serve_app
from preview.settings import load_settings
from preview.storage import Database


async def test_alive_and_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_world(tmp_path) as world:
        assert (await world.client.get("/healthz")).json() == {"status": "ok"}
        ready = await world.client.get("/readyz")
        assert (ready.status_code, ready.json()) == (200, {"status": "ready"})

        async def no_answer(*_: object) -> None:
            raise DatabaseUnavailable("gone")

        monkeypatch.setattr(Database, "check", no_answer)
        assert (await world.client.get("/readyz")).json() == {"status": "database_unavailable", "message": "gone"}
        monkeypatch.undo()
        world.service.draining.set()
        stopping = await world.client.get("/readyz")
        assert (stopping.status_code, stopping.json()) == (503, {"status": "stopping"})


async def test_a_full_disk_is_said_and_turns_nobody_away(tmp_path: Path) -> None:
    async with open_world(tmp_path, min_free_disk_bytes=2**62) as world:
        ready = await world.client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "disk_full")
        assert "PREVIEW_MIN_FREE_DISK" in ready.json()["message"]
        v1.Alive.model_validate(ready.json())
        generation = await world.keep(NEVER_READY)
        refused = await world.ask("POST", f"/api/v1/generations/{generation}/preview/launch")
        assert (refused.status_code, refused.json()["code"]) == (507, "disk_full")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/api/v1/nowhere", 404, "not_found"),
        ("PATCH", "/api/v1/previews", 405, "method_not_allowed"),
        ("GET", "/assets/../../app.py", 404, "not_found"),
        ("GET", "/assets/%2e%2e/%2e%2e/app.py", 404, "not_found"),
    ],
)
async def test_what_the_framework_refuses_is_a_problem_too(
    tmp_path: Path, method: str, path: str, status: int, code: str
) -> None:
    answer = await create_app(load_settings(data_dir=tmp_path)).test_client().open(path, method=method, json=None)
    shown = await answer.get_json()
    v1.Problem.model_validate(shown)
    assert (answer.status_code, shown["code"]) == (status, code)
    assert answer.content_type == "application/problem+json"
    if status == 405:
        assert "GET" in answer.headers["Allow"]


async def test_in_plan_an_unknown_address_has_plan_s_shape(tmp_path: Path) -> None:
    answer = await create_app(load_settings(data_dir=tmp_path)).test_client().get("/api/generations/x/nowhere")
    assert (await answer.get_json())["status"] == "not_found"


async def test_a_mistake_of_ours_is_500_with_an_id_and_no_secret(tmp_path: Path) -> None:
    app = create_app(load_settings(data_dir=tmp_path))

    @app.get("/mistake")
    async def mistake() -> str:
        raise RuntimeError("password=hunter2")

    with capture_logs() as logs:
        answer = await app.test_client().get("/mistake")
    shown = await answer.get_json()
    assert (answer.status_code, shown["code"]) == (500, "internal_error")
    assert "hunter2" not in str(shown)
    assert [one["error_id"] for one in logs if "error_id" in one] == [shown["details"]["error_id"]]


async def test_the_page_s_files_are_kept_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    static = tmp_path / "static"
    (static / "assets").mkdir(parents=True)
    (static / "index.html").write_text("page")
    (static / "assets" / "index-BnkZ6wUs.js").write_text("hashed")
    (static / "assets" / "page.js").write_text("plain")
    monkeypatch.setattr("preview.http.routes.browser.STATIC", static)
    client = create_app(load_settings(data_dir=tmp_path)).test_client()
    hashed, plain = await client.get("/assets/index-BnkZ6wUs.js"), await client.get("/assets/page.js")
    assert hashed.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert plain.headers["Cache-Control"] == "no-cache"
    assert "javascript" in (plain.content_type or "")
    page = await client.get("/")
    assert page.headers["Cache-Control"] == "no-cache"
    # Its nonce is new with each answer: nothing of it may be taken from a cache.
    assert not {"ETag", "Last-Modified"} & set(page.headers.keys())
    assert (await client.get("/favicon.svg")).status_code == 404


def test_the_configuration_is_the_operator_s_file_under_our_requirements(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path, bind="127.0.0.1:1234")
    file = tmp_path / "hypercorn.toml"
    file.write_text(
        'bind = ["0.0.0.0:9000"]\nbacklog = 7\nkeep_alive_timeout = 9\nread_timeout = 1\ngraceful_timeout = 60\n'
    )
    config = load_config(settings, file=file)
    assert (config.bind, config.backlog, config.keep_alive_timeout) == (["0.0.0.0:9000"], 7, 9)
    assert (config.read_timeout, config.graceful_timeout) == (None, 3)
    assert config.shutdown_timeout == settings.shutdown_timeout_s
    # Tickets travel in the query, and no log may hold them.
    assert config.logger_class is AccessLogger
    assert load_config(settings, file=file, bind="127.0.0.1:1").bind == ["127.0.0.1:1"]


def test_without_a_file_the_settings_and_our_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_config(load_settings(bind="127.0.0.1:1234"))
    assert config.bind == ["127.0.0.1:1234"]
    assert config.backlog > 1000
    assert config.keep_alive_max_requests > 100_000


@pytest.mark.parametrize("content", ["broken = ", 'unknown_name = 1\nbind = "x"', None])
def test_a_file_that_cannot_be_used_is_a_configuration_error(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "hypercorn.toml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigurationError, match=r"hypercorn\.toml"):
        load_config(load_settings(), file=file)


@pytest.mark.parametrize("bind", ["127.0.0.1:99999", "127.0.0.1:-1", "127.0.0.1:http", "256.0.0.1:0"])
async def test_an_address_that_is_none_is_a_configuration_error(tmp_path: Path, bind: str) -> None:
    config = load_config(load_settings(data_dir=tmp_path), bind=bind)
    with pytest.raises(ConfigurationError, match=f"Cannot listen on {bind}"):
        await serve_app(object(), config, shutdown_trigger=trio.sleep_forever)


def test_the_repository_s_own_file_is_read() -> None:
    load_config(load_settings(), file=Path(__file__).parents[2] / "hypercorn.toml")


async def test_an_address_that_is_taken_is_a_configuration_error(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listeners[0].socket.getsockname()[1]
        with pytest.RaisesGroup(ConfigurationError, flatten_subgroups=True, allow_unwrapped=True):
            await serve(world.service.settings, service=world.service, app=world.app, bind=f"127.0.0.1:{port}")
        for listener in listeners:
            await listener.aclose()
