"""Whose environments are shared: none with a package that another user's files could have changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import trio
from environment_kit import Said, write_wheel

from preview.environments import EnvironmentCache, EnvironmentRequest
from preview.settings import load_settings

LIMIT_S = 120
MANIFEST = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "tiny"
version = "1.0"
"""
# As setuptools does: what an earlier build has left in `build` goes into the wheel.
BACKEND = """
import pathlib, shutil
def build_wheel(directory, config_settings=None, metadata_directory=None):
    here, name = pathlib.Path(__file__).parent, "tiny-1.0-py3-none-any.whl"
    left = here / "build" / name
    shutil.copy(left if left.exists() else here / name, pathlib.Path(directory) / name)
    return name
"""


@pytest.fixture
def cache(tmp_path: Path) -> EnvironmentCache:
    return EnvironmentCache(load_settings(cache_dir=tmp_path / "cache", data_dir=tmp_path / "data"))


def make(folder: Path) -> Path:
    """A project with a package in a folder of its own."""
    package = folder / "tiny"
    package.mkdir(parents=True)
    (folder / "requirements.txt").write_text("./tiny\n")
    (package / "pyproject.toml").write_text(MANIFEST)
    (package / "backend.py").write_text(BACKEND)
    write_wheel(package, "tiny")
    return folder


async def test_a_stranger_s_copy_of_a_project_never_changes_what_its_owner_runs(
    cache: EnvironmentCache, tmp_path: Path
) -> None:
    own = make(tmp_path / "own")
    copy = Path(shutil.copytree(own, tmp_path / "copy"))
    (copy / "tiny" / "build").mkdir()
    write_wheel(copy / "tiny" / "build", "tiny", more={"tiny/planted.py": ""})
    with trio.fail_after(LIMIT_S):
        async with cache.open_environment(EnvironmentRequest(copy, server=None, owner="eve"), Said()) as hers:
            assert list(hers.directory.glob("lib/*/site-packages/tiny/planted.py"))
        async with cache.open_environment(EnvironmentRequest(own, server=None, owner="ann"), Said()) as mine:
            assert mine.how == "built"
            assert not list(mine.directory.glob("lib/*/site-packages/tiny/planted.py"))
            assert list(mine.directory.glob("lib/*/site-packages/tiny/__init__.py"))


async def test_packages_of_the_index_are_shared_by_all_and_own_ones_by_one_user_s_projects(
    cache: EnvironmentCache, tmp_path: Path
) -> None:
    own, other = make(tmp_path / "own"), tmp_path / "other"
    shutil.copytree(own, other)

    async def key(project: Path, owner: str) -> str:
        return await cache.key_of(EnvironmentRequest(project, server=None, owner=owner))

    assert await key(own, "ann") == await key(other, "ann")
    assert await key(own, "ann") != await key(own, "eve")
    for project in (own, other):
        (project / "requirements.txt").write_text("six==1.17.0\n")
    assert await key(own, "ann") == await key(other, "eve")
    # A repository or an address may answer differently, too.
    (own / "requirements.txt").write_text("tiny @ https://packages.example/tiny.tar.gz\n")
    assert await key(own, "ann") != await key(own, "eve")
