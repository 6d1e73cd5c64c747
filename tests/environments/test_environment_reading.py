"""Previews that have users of their own can read an environment, whatever the umask and the installer's cache."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
from environment_kit import Said, write_wheel
from jail_kit import make_jail

from preview.environments import EnvironmentCache, EnvironmentRequest
from preview.environments.folders.layout import Layout, measure_and_protect
from preview.environments.folders.locks import FileLock, lock
from preview.environments.folders.reading import Opener
from preview.environments.store.held import HeldEnvironments
from preview.runtime import child_subreaper
from preview.settings import Settings

LIMIT_S = 60


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(cache_dir=tmp_path / "cache", data_dir=tmp_path / "data", uv_offline=True)


@pytest.fixture
def layout(settings: Settings) -> Layout:
    return Layout(settings.cache_dir / "environments")


def make_request(project: Path, name: str) -> EnvironmentRequest:
    project.mkdir()
    wheel = write_wheel(project, name, more={f"{name}/data/plain.txt": "no module"})
    (project / "requirements.txt").write_text(f"./{wheel.name}\n")
    return EnvironmentRequest(project, server=None)


def closed(directory: Path) -> list[str]:
    """Entries that another user cannot read."""
    found = []
    for one in [directory, *directory.rglob("*")]:
        mode = one.lstat().st_mode
        wanted = 0o005 if stat.S_ISDIR(mode) or mode & stat.S_IXUSR else 0o004
        if not one.is_symlink() and mode & wanted != wanted:
            found.append(str(one.relative_to(directory)))
    # Only the service reads its markers.
    return [name for name in found if name not in ("preview.json", "readable.json", "compiled.json")]


@pytest.mark.parametrize("jailed", [False, True])
async def test_what_is_built_and_compiled_under_a_strict_umask_is_readable(
    settings: Settings, layout: Layout, tmp_path: Path, jailed: bool
) -> None:
    jail = await make_jail(settings) if jailed else None
    request = make_request(tmp_path / "project", "tiny")
    with trio.fail_after(LIMIT_S), umask(0o077), child_subreaper():
        cache = EnvironmentCache(settings, jail)
        async with cache.open_environment(request, Said()) as environment:
            assert closed(environment.directory) == []
            await cache.compile(environment.key)
            assert layout.is_compiled(environment.key)
            assert list(environment.directory.rglob("*.pyc")) != []
            assert closed(environment.directory) == []


async def test_closed_files_of_the_installers_cache_are_copied_and_stay_closed(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    cache = EnvironmentCache(settings)
    request = make_request(tmp_path / "one", "tiny")
    with trio.fail_after(LIMIT_S):
        async with cache.open_environment(request, Said()) as first:
            files = [one for one in (tmp_path / "uv").rglob("tiny/**/*") if one.stat().st_nlink > 1 and one.is_file()]
            assert files != []
            for number, one in enumerate(files):
                one.chmod(0o700 if number % 2 else 0o600)
            (tmp_path / "one" / "requirements.txt").write_text("./tiny-1.0-py3-none-any.whl\ntiny\n")
            async with cache.open_environment(request, Said()) as second:
                assert second.key != first.key
                assert closed(second.directory) == []
                assert {stat.S_IMODE(one.stat().st_mode) for one in files} == {0o600, 0o700}


def write_old(layout: Layout, tmp_path: Path) -> Path:
    """An environment that an older version has built: protected, with a closed file of the installer's cache."""
    directory = layout.directory("0" * 32)
    package = directory / "lib" / "package"
    package.mkdir(parents=True)
    (directory / "bin").mkdir()
    (directory / "bin" / "python").touch()
    (tmp_path / "cached").write_text("x = 1\n")
    measure_and_protect(directory, {})
    (directory / "readable.json").unlink()
    package.chmod(0o700)
    os.link(tmp_path / "cached", package / "module.py")
    package.chmod(0o500)
    (tmp_path / "cached").chmod(0o600)
    return directory


def test_an_older_versions_environment_is_mended(layout: Layout, tmp_path: Path) -> None:
    directory = write_old(layout, tmp_path)
    assert not layout.is_readable(directory.name)
    assert closed(directory) == ["lib/package", "lib/package/module.py"]
    layout.make_readable(directory.name)
    assert layout.is_readable(directory.name)
    assert closed(directory) == []
    assert (directory / "lib/package/module.py").read_text() == "x = 1\n"
    assert stat.S_IMODE((directory / "lib/package").stat().st_mode) == 0o555
    assert stat.S_IMODE((tmp_path / "cached").stat().st_mode) == 0o600


async def test_an_environment_without_the_mark_is_mended_when_it_is_taken(
    settings: Settings, layout: Layout, tmp_path: Path
) -> None:
    request = make_request(tmp_path / "project", "tiny")
    with trio.fail_after(LIMIT_S):
        async with EnvironmentCache(settings).open_environment(request, Said()) as built:
            key = built.key
        (built.directory / "readable.json").unlink()
        built.directory.chmod(0o700)
        async with EnvironmentCache(settings).open_environment(request, Said()) as taken:
            assert (taken.key, taken.how) == (key, "cached")
            assert layout.is_readable(key)
            assert closed(taken.directory) == []


def test_many_links_to_one_closed_file_with_a_hole_become_one_copy_with_a_hole(tmp_path: Path) -> None:
    """A package's build could otherwise fill the disk by names alone."""
    directory, size = tmp_path / "environment", 1 << 40
    directory.mkdir()
    with (tmp_path / "cached").open("wb") as file:
        file.truncate(size)
        file.write(b"begin")
        file.seek(1 << 30)
        file.write(b"middle")
    (tmp_path / "cached").chmod(0o700)
    for number in range(10):
        os.link(tmp_path / "cached", directory / str(number))
    Opener().open_all(directory)
    copies = [one.stat() for one in directory.iterdir()]
    assert len({one.st_ino for one in copies}) == 1
    assert len(copies) == 10
    assert (copies[0].st_size, stat.S_IMODE(copies[0].st_mode)) == (size, 0o755)
    assert copies[0].st_blocks * 512 < 1 << 24
    assert (tmp_path / "cached").stat().st_nlink == 1
    with (directory / "0").open("rb") as file:
        assert file.read(6) == b"begin\0"
        file.seek((1 << 30) - 1)
        assert file.read(8) == b"\0middle\0"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    directory = tmp_path / "environment"
    directory.mkdir()
    secret = tmp_path / "secret"
    secret.touch()
    secret.chmod(0o600)
    (directory / "link").symlink_to(secret)
    measure_and_protect(directory, {})
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


async def test_a_lock_is_released_if_the_cancellation_comes_after_the_result(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    environments = HeldEnvironments(layout, lambda _: True, trio.CapacityLimiter(1), timeout_s=LIMIT_S)
    layout.root.mkdir(parents=True)
    taken = await lock(layout.lock("key"), exclusive=False)

    async def find(_key: str, _build: object) -> tuple[FileLock, str]:
        await trio.lowlevel.checkpoint()
        scope.cancel()
        return taken, "cached"

    async def build() -> None: ...

    monkeypatch.setattr(environments, "_find_or_build", find)
    with trio.CancelScope() as scope:
        async with environments.hold("key", build, Said()):
            await trio.sleep_forever()
    with trio.fail_after(LIMIT_S):
        (await lock(layout.lock("key"), exclusive=True)).release()
