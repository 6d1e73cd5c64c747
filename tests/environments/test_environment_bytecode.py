"""Compiling what was handed out, beside its use."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import trio
from environment_kit import Said, write_wheel
from jail_kit import make_jail

from preview.environments import EnvironmentCache, EnvironmentRequest
from preview.environments.folders.layout import Layout
from preview.runtime import child_subreaper
from preview.settings import Settings

LIMIT_S = 60


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(cache_dir=tmp_path / "cache", data_dir=tmp_path / "data", uv_offline=True)


@pytest.fixture
def layout(settings: Settings) -> Layout:
    return Layout(settings.cache_dir / "environments")


@pytest.fixture
def request_tiny(tmp_path: Path) -> EnvironmentRequest:
    project = tmp_path / "project"
    project.mkdir()
    wheel = write_wheel(project, "tiny", more={"tiny/broken.py": "def :\n", "tiny/data/plain.txt": "no module"})
    (project / "requirements.txt").write_text(f"./{wheel.name}\n")
    return EnvironmentRequest(project, server=None)


def tiny(directory: Path) -> Path:
    return next(directory.glob("lib/python*/site-packages/tiny"))


def folders(directory: Path) -> list[Path]:
    return [Path(folder) for folder, _, _ in os.walk(directory) if Path(folder) != directory]


async def wait_until_compiled(layout: Layout, key: str) -> None:
    while not layout.is_compiled(key):  # noqa: ASYNC110  a process does it
        await trio.sleep(0.01)


async def test_what_is_built_is_handed_out_before_it_is_compiled(
    settings: Settings, layout: Layout, request_tiny: EnvironmentRequest
) -> None:
    with trio.fail_after(LIMIT_S):
        async with EnvironmentCache(settings).open_environment(request_tiny, Said()) as environment:
            assert not layout.is_compiled(environment.key)
            assert not list(environment.directory.rglob("*.pyc"))


async def test_the_compiler_compiles_what_was_handed_out_and_protects_it(
    settings: Settings, layout: Layout, request_tiny: EnvironmentRequest
) -> None:
    cache = EnvironmentCache(settings)
    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(cache.run_compiler)
            async with cache.open_environment(request_tiny, Said()) as environment:
                await wait_until_compiled(layout, environment.key)
            nursery.cancel_scope.cancel()
    package = tiny(environment.directory)
    assert [path.name.partition(".")[0] for path in package.glob("__pycache__/*")] == ["__init__"]
    assert not (package / "data" / "__pycache__").exists()
    assert [path for path in folders(environment.directory) if stat.S_IMODE(path.stat().st_mode) != 0o555] == []


async def test_in_a_jail_it_is_compiled_too(
    settings: Settings, layout: Layout, request_tiny: EnvironmentRequest
) -> None:
    with trio.fail_after(LIMIT_S), child_subreaper():
        cache = EnvironmentCache(settings, await make_jail(settings))
        async with cache.open_environment(request_tiny, Said()) as environment:
            await cache.compile(environment.key)
    assert list(tiny(environment.directory).glob("__pycache__/*.pyc"))
    assert [entry.name for entry in layout.root.iterdir() if entry.name.startswith(".")] == []


async def test_compiled_modules_count_towards_the_bound_on_size(
    settings: Settings, layout: Layout, request_tiny: EnvironmentRequest
) -> None:
    cache = EnvironmentCache(settings)
    with trio.fail_after(LIMIT_S):
        async with cache.open_environment(request_tiny, Said()) as environment:
            before = layout.size_bytes(environment.key)
            await cache.compile(environment.key)
    compiled = sum(path.stat().st_size for path in environment.directory.rglob("*.pyc"))
    assert layout.size_bytes(environment.key) == before + compiled > before


async def test_a_cancelled_compiler_leaves_no_process_and_its_environment_is_compiled_at_the_next_use(
    settings: Settings, layout: Layout, request_tiny: EnvironmentRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, begun = EnvironmentCache(settings), trio.Event()

    async def hang(*_: object, **__: object) -> None:
        begun.set()
        await trio.sleep_forever()

    with trio.fail_after(LIMIT_S):
        with monkeypatch.context() as patched:
            patched.setattr("preview.environments.store.bytecode.run_program", hang)
            async with trio.open_nursery() as nursery:
                await nursery.start(cache.run_compiler)
                async with cache.open_environment(request_tiny, Said()) as environment:
                    await begun.wait()
                    nursery.cancel_scope.cancel()
        assert not layout.is_compiled(environment.key)
        again = EnvironmentCache(settings)
        async with trio.open_nursery() as nursery:
            await nursery.start(again.run_compiler)
            async with again.open_environment(request_tiny, Said()):
                await wait_until_compiled(layout, environment.key)
            nursery.cancel_scope.cancel()


async def test_an_environment_that_is_being_removed_is_not_compiled(settings: Settings, layout: Layout) -> None:
    layout.root.mkdir(parents=True)
    with trio.fail_after(LIMIT_S):
        await EnvironmentCache(settings).compile("0" * 32)
    assert not layout.is_compiled("0" * 32)


async def test_without_a_compiler_that_runs_nothing_waits_for_one(
    settings: Settings, request_tiny: EnvironmentRequest
) -> None:
    cache = EnvironmentCache(settings)
    with trio.fail_after(LIMIT_S):
        for _ in range(3):
            async with cache.open_environment(request_tiny, Said()):
                pass


async def test_a_marker_without_content_is_no_environment(
    settings: Settings, layout: Layout, request_tiny: EnvironmentRequest
) -> None:
    """As a machine leaves it that loses its power before the disk has it all."""
    cache = EnvironmentCache(settings)
    with trio.fail_after(LIMIT_S):
        async with cache.open_environment(request_tiny, Said()) as environment:
            pass
        (environment.directory / "preview.json").write_text("")
        assert not layout.is_usable(environment.key)
        async with cache.open_environment(request_tiny, Said()) as again:
            assert again.how == "built"
