"""Launches in containers: of all previews by the setting, and of single ones that ask for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
import trio
from engine_kit import IN_TIME_S, engine_or_skip, own_runtime
from launch_kit import ANN, Rig, ask, command, open_rig, story

from preview.core.lifecycle import State
from preview.errors import InvalidGeneration
from preview.runtime.cgroups.home import home_name
from preview.runtime.container import Engine
from preview.settings import Settings

# Listens by itself, so a bridge in the container forwards connections to it.
SERVES = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
        self.wfile.write(open('/proc/1/cmdline', 'rb').read().split(bytes(1))[3])
    log_message = lambda *_: None
print("up", flush=True)
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
FILES = {"serve.py": SERVES}

OpenRig = Callable[..., AbstractAsyncContextManager[Rig]]


@pytest.fixture
def open_contained(
    make_settings_in: Callable[..., Settings], launch_cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> OpenRig:
    engine = engine_or_skip()

    @asynccontextmanager
    async def opened(**values: object) -> AsyncIterator[Rig]:
        named = {"container_engine": f"unix://{engine}", "container_runtime": own_runtime(), **values}
        settings = make_settings_in(cache_dir=launch_cache_dir, stop_grace_s=2, **named)
        with trio.fail_after(IN_TIME_S):
            async with open_rig(settings, monkeypatch) as rig:
                yield rig
            label = f"preview.data={home_name(settings.data_dir)}"
            assert await Engine(engine).labelled(label) == []

    return opened


async def test_all_previews_run_in_containers_where_the_setting_says_so(open_contained: OpenRig) -> None:
    async with open_contained(isolation="container") as rig:
        preview = await rig.start(FILES, command("python", "serve.py"))
        assert preview.record.state is State.RUNNING, story(preview)
        assert preview.confinement is not None
        assert preview.confinement.runtime == "container"
        assert (await ask(preview)).content.endswith(b"preview_join.py")
        assert any(line.startswith("isolation: container, network none") for line in story(preview))
        assert "up" in story(preview)
        first = preview.record.pid
        await rig.service.previews.restart(ANN, "g1")
        assert (await ask(preview)).content.endswith(b"preview_join.py")
        assert preview.record.pid != first
        await rig.service.previews.stop("g1")


@pytest.mark.long
async def test_a_launch_may_ask_for_a_container_and_another_one_not(open_contained: OpenRig) -> None:
    async with open_contained() as rig:
        preview = await rig.start(FILES, command("python", "serve.py", isolation="container"))
        assert preview.record.state is State.RUNNING, story(preview)
        assert (await ask(preview)).content.endswith(b"preview_join.py")
        assert preview.confinement is not None
        assert preview.confinement.runtime == "container"
        await rig.service.previews.stop("g1")
        preview = await rig.start({**FILES, "other.py": ""}, command("python", "serve.py"))
        assert preview.record.state is State.RUNNING, story(preview)
        assert preview.confinement is not None
        assert preview.confinement.runtime != "container"
        assert not (await ask(preview)).content.endswith(b"preview_join.py")


async def test_without_an_engine_a_launch_that_asks_for_a_container_fails_with_a_sentence(rig: Rig) -> None:
    with pytest.raises(InvalidGeneration, match="this service offers no containers") as raised:
        await rig.start(FILES, command("python", "serve.py", isolation="container"))
    assert raised.value.details["reason"] == "isolation_not_available"
