"""Sentences while an environment is built for long: what is being done, and for how many seconds."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
import trio
import trio.testing
from environment_kit import Said, write_wheel
from hypothesis import given
from hypothesis import strategies as st
from test_environment_cache import hang
from test_node_environment import write_manifest, write_package

from preview.environments import EnvironmentCache, EnvironmentRequest
from preview.environments.node.build import NodeEnvironmentCache
from preview.environments.sandbox import progress
from preview.environments.sandbox.progress import Progress, open_progress
from preview.settings import Settings

LIMIT_S = 90


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(progress, "_SILENCE_S", 0.2)
    return Settings(cache_dir=tmp_path / "cache", data_dir=tmp_path / "data", uv_offline=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


async def until_said(said: Said, sentence: str) -> None:
    while re.search(sentence, said.text) is None:  # noqa: ASYNC110  a line that a program's output leads to
        await trio.sleep(0.05)


async def test_a_python_package_that_is_built_for_long_is_named(settings: Settings, project: Path) -> None:
    write_wheel(project, "uvicorn", "99.0")
    (project / "requirements.txt").write_text("./uvicorn-99.0-py3-none-any.whl\n")
    hang(project, project.parent / "flag")
    said = Said()

    async def build() -> None:
        async with EnvironmentCache(settings).open_environment(EnvironmentRequest(project), said):
            pass

    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(build)
            await until_said(said, r"building hanging from source: \d+ s so far")
            nursery.cancel_scope.cancel()


async def test_an_install_script_that_runs_for_long_is_named(settings: Settings, project: Path) -> None:
    write_package(project / "slow.tgz", "slow", "", scripts={"install": "sleep 600"})
    write_manifest(project, name="shop", dependencies={"slow": "file:slow.tgz"})
    said = Said()

    async def build() -> None:
        async with NodeEnvironmentCache(settings).open_environment(EnvironmentRequest(project), said):
            pass

    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(build)
            await until_said(said, r"building slow from source: \d+ s so far")
            nursery.cancel_scope.cancel()
    assert "npm info" not in said.text


async def test_nothing_is_said_beside_lines_and_after_the_end(autojump_clock: trio.testing.MockClock) -> None:
    said = Said()

    async def work() -> None:
        async with open_progress(said) as report:
            for _ in range(5):
                await trio.sleep(3)
                report("a line", 20)
            await trio.sleep(9)
            raise ValueError("as it is")

    with pytest.raises(ValueError, match="as it is"):
        await work()
    await trio.sleep(60)
    assert said.text.splitlines()[5:] == [
        "preparing the environment: 19 s so far",
        "preparing the environment: 23 s so far",
    ]


async def test_an_installation_of_minutes_prints_a_line_every_five_seconds(
    autojump_clock: trio.testing.MockClock,
) -> None:
    times: list[float] = []
    async with open_progress(lambda _line, _level: times.append(trio.current_time())) as report:
        began = trio.current_time()
        report.begin("installing packages")
        await trio.sleep(300)
        ended = trio.current_time()
    gaps = [later - earlier for earlier, later in itertools.pairwise([began, *times, ended])]
    assert max(gaps) <= 5
    assert len(times) >= 60


@given(st.lists(st.text() | st.from_regex(r"   (Building|Built) [a-z]{1,3}==1"), max_size=20))
async def test_whatever_an_installer_prints_makes_a_sentence(lines: list[str]) -> None:
    report = Progress(Said())
    for line in lines:
        report.hear(line)
    assert report.sentence.endswith(": 0 s so far")
    assert report.sentence.isprintable()
