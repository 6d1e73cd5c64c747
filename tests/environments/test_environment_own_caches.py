"""The caches of packages that builds in a jail write to: the service's own, unless the operator names others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from environment_kit import Said, write_wheel
from jail_kit import make_jail
from test_node_environment import write_manifest, write_package

from preview.environments import EnvironmentCache, EnvironmentRequest, Jail
from preview.environments.node.build import NodeEnvironmentCache
from preview.runtime import child_subreaper
from preview.settings import Settings

LIMIT_S = 60


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(cache_dir=tmp_path / "cache", data_dir=tmp_path / "data", uv_offline=True)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a user who names no caches."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("UV_CACHE_DIR", "npm_config_cache", "NPM_CONFIG_CACHE", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture
async def jail(settings: Settings) -> AsyncIterator[Jail]:
    with child_subreaper():
        yield await make_jail(settings)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """One that is installed by uv, and by npm."""
    folder = tmp_path / "project"
    folder.mkdir()
    write_package(folder / "one.tgz", "one", "module.exports = 1")
    write_manifest(folder, name="shop", dependencies={"one": "file:one.tgz"})
    (folder / "requirements.txt").write_text(f"./{write_wheel(folder, 'tiny').name}\n")
    return folder


async def build(settings: Settings, jail: Jail, project: Path) -> Path:
    async with EnvironmentCache(settings, jail).open_environment(
        EnvironmentRequest(project, server=None), Said()
    ) as environment:
        return environment.directory


async def test_builds_write_to_the_services_own_caches_and_leave_the_users_alone(
    settings: Settings, jail: Jail, project: Path, home: Path
) -> None:
    assert (jail.uv_cache, jail.npm_cache) == (settings.cache_dir / "uv", settings.cache_dir / "npm")
    with trio.fail_after(LIMIT_S):
        await build(settings, jail, project)
        async with NodeEnvironmentCache(settings, jail).open_environment(EnvironmentRequest(project), Said()):
            pass
    assert list(jail.uv_cache.glob("archive-*"))
    assert (jail.npm_cache / "_cacache").is_dir()
    assert not (home / ".npm").exists()
    assert not (home / ".cache").exists()


async def test_environments_are_hard_links_to_the_services_own_cache(
    settings: Settings, jail: Jail, project: Path
) -> None:
    with trio.fail_after(LIMIT_S):
        folder = await build(settings, jail, project)
    assert next(folder.glob("lib/python*/site-packages/tiny/__init__.py")).stat().st_nlink > 1


async def test_eviction_leaves_the_services_own_caches_alone(settings: Settings, jail: Jail, project: Path) -> None:
    with trio.fail_after(LIMIT_S):
        folder = await build(settings, jail, project)
        before = sorted(jail.uv_cache.rglob("*"))
        cache = EnvironmentCache(settings.model_copy(update={"environment_max_bytes": 1}), jail)
        assert await cache.evict() == 1
    assert not folder.exists()
    assert sorted(jail.uv_cache.rglob("*")) == before


async def test_caches_that_the_operator_names_are_taken(
    settings: Settings, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / ".config" / "uv").mkdir(parents=True)
    (home / ".config" / "uv" / "uv.toml").write_text(f'cache-dir = "{tmp_path}/from-a-file"\n')
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
    with child_subreaper():
        jail = await make_jail(settings)
        assert (jail.uv_cache, jail.npm_cache) == (tmp_path / "from-a-file", tmp_path / "npm")
        # Even where it is the one that uv would take of itself.
        monkeypatch.setenv("UV_CACHE_DIR", str(home / ".cache" / "uv"))
        assert (await make_jail(settings)).uv_cache == home / ".cache" / "uv"
