"""Code of packages that a build runs, against the caches that later builds of other users read."""

from __future__ import annotations

import shutil
import sys
import tarfile
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from environment_kit import Said, write_wheel
from jail_kit import make_jail
from test_environment_jail import ask, write_source_package
from test_node_environment import run_node, write_manifest, write_package

from preview.environments import EnvironmentCache, EnvironmentRequest, Jail
from preview.environments.folders.environment import Report
from preview.environments.node import build
from preview.environments.node.build import NodeEnvironmentCache
from preview.environments.node.install import Npm
from preview.environments.node.modules import place_modules
from preview.environments.node.prisma import add_adapters
from preview.environments.python.resolving import interpreter_notes
from preview.environments.sandbox import sweep
from preview.environments.sandbox.interpreter import PythonInterpreter
from preview.environments.sandbox.jail import Cage
from preview.environments.sandbox.program import run_program
from preview.environments.sandbox.sweep import read_left, separate
from preview.errors import EnvironmentFailed
from preview.runtime import child_subreaper
from preview.runtime.sandbox import interpreter_paths
from preview.settings import Settings

LIMIT_S = 90
# What hostile code does to every file and folder that it can reach: it appends, replaces, and adds.
ATTACK = """
    def spoil(folder):
        for place, _, names in os.walk(folder):
            for name in names:
                path = os.path.join(place, name)
                for mode in ("a", "w") if name == "METADATA" or name.endswith((".http", ".msgpack")) else ("a",):
                    try:
                        with open(path, mode) as file:
                            file.write("\\nSPO" "ILT = 1\\n")
                    except (OSError, ValueError):
                        pass
            for name in ("sitecustomize.py", "uv.toml", "planted"):
                try:
                    with open(os.path.join(place, name), "x") as file:
                        file.write("SPO" "ILT = 1\\n")
                except OSError:
                    pass
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(cache_dir=tmp_path / "cache", data_dir=tmp_path / "data", uv_offline=True)


@pytest.fixture
async def jail(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Jail]:
    (tmp_path / "home").mkdir()
    (tmp_path / "packages").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path / "packages"))
    for name in ("UV_CACHE_DIR", "npm_config_cache", "NPM_CONFIG_CACHE", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    with child_subreaper():
        yield await make_jail(settings)


def spoilt(*folders: Path) -> list[Path]:
    """Files that hostile code has changed, or has put there."""
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if b"SPOILT" in path.read_bytes()]


def make_project(folder: Path, *lines: str, code: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "requirements.txt").write_text("".join(f"{line}\n" for line in lines))
    (folder / "main.py").write_text(code)
    return folder


def request_of(project: Path, owner: str) -> EnvironmentRequest:
    return EnvironmentRequest(project, server=None, entry="main.py", owner=owner)


def write_hostile_archive(folder: Path, packages: Path, setup: str) -> None:
    """A source package in the index, whose build runs ``setup``."""
    write_source_package(folder, setup)
    (folder / "odd" / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1\n")
    with tarfile.open(packages / "odd-1.tar.gz", "w:gz") as archive:
        archive.add(folder / "odd", "odd-1")


async def tiny_of_others(settings: Settings, jail: Jail, tmp_path: Path) -> str:
    """What another user's later build gets."""
    project = make_project(tmp_path / "later", "tiny", "other")
    async with EnvironmentCache(settings, jail).open_environment(request_of(project, "bob"), Said()) as environment:
        return await ask(environment, "import tiny; print(sorted(name for name in vars(tiny) if name.isupper()))")


@pytest.mark.parametrize("is_local", [True, False])
async def test_what_a_packages_build_writes_is_in_no_other_build(
    settings: Settings, jail: Jail, tmp_path: Path, is_local: bool
) -> None:
    for name in ("tiny", "other"):
        write_wheel(tmp_path / "packages", name)
    attack = f"{ATTACK}\n    for top in {[str(settings.cache_dir), str(tmp_path)]}:\n        spoil(top)"
    project = make_project(tmp_path / "project", "tiny", "./odd" if is_local else "odd")
    if is_local:
        write_source_package(project, attack)
        (project / "requirements.txt").write_text("tiny\n./odd\n")
    else:
        write_hostile_archive(tmp_path, tmp_path / "packages", attack)
    with trio.fail_after(LIMIT_S):
        async with EnvironmentCache(settings, jail).open_environment(request_of(project, "ann"), Said()) as built:
            assert spoilt(built.directory)  # of its own environment, it may do so
        assert await tiny_of_others(settings, jail, tmp_path) == "['VERSION']"
    assert spoilt(jail.uv_cache, jail.npm_cache) == []


async def test_a_later_step_of_a_build_cannot_change_what_was_linked_before(
    settings: Settings, jail: Jail, tmp_path: Path
) -> None:
    """``tiny`` is linked from the cache; then ``odd`` is found missing, and built beside it."""
    for name in ("tiny", "other"):
        write_wheel(tmp_path / "packages", name)
    write_hostile_archive(tmp_path, tmp_path / "packages", f"{ATTACK}\n    spoil({str(jail.uv_cache)!r})")
    project = make_project(tmp_path / "project", "tiny", code="import odd\n")
    with trio.fail_after(LIMIT_S):
        async with EnvironmentCache(settings, jail).open_environment(request_of(project, "ann"), Said()) as built:
            found = spoilt(built.directory)
            assert [path for path in found if path.parent.name == "tiny"]
            assert all(path.stat().st_nlink == 1 for path in found)
        assert await tiny_of_others(settings, jail, tmp_path) == "['VERSION']"
    assert spoilt(jail.uv_cache, jail.npm_cache) == []


async def test_an_emptied_cache_of_a_running_service_is_filled_again(
    settings: Settings, jail: Jail, tmp_path: Path
) -> None:
    cache = EnvironmentCache(settings, jail)
    with trio.fail_after(LIMIT_S):
        for name in ("tiny", "other"):
            write_wheel(tmp_path / "packages", name)
            request = request_of(make_project(tmp_path / name, name), "ann")
            async with cache.open_environment(request, Said()) as environment:
                module = next(environment.directory.glob(f"lib/python*/site-packages/{name}/__init__.py"))
                assert module.stat().st_nlink > 1
            shutil.rmtree(jail.uv_cache)
            jail.uv_cache.mkdir()


@pytest.mark.long
@pytest.mark.parametrize("kept", [0, 1])
async def test_an_interpreter_that_is_missing_in_a_running_services_cache_is_looked_at_again(
    settings: Settings, jail: Jail, tmp_path: Path, kept: int
) -> None:
    cache = EnvironmentCache(settings.model_copy(update={"build_code": "deny"}), jail)
    pythons = set()
    with trio.fail_after(LIMIT_S):
        for name in ("tiny", "other"):
            write_wheel(tmp_path / "packages", name)
            async with cache.open_environment(
                request_of(make_project(tmp_path / name, name), "ann"), Said()
            ) as environment:
                pythons.add((environment.directory / "bin" / "python").readlink())
            known = sorted(jail.uv_cache.glob("interpreter-v*/*/*"))
            assert len(known) > 1
            for path in known:
                if path != known[kept]:
                    path.unlink()
    assert len(pythons) == 1  # where a build fails, another Python is used


def test_an_interpreter_that_was_replaced_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "python").touch()
    interpreter = PythonInterpreter(str(tmp_path / "python"), "3.12.1", "here")
    before = interpreter_notes(interpreter, None)
    assert interpreter_notes(interpreter, None) == before
    (tmp_path / "new").touch()
    (tmp_path / "new").rename(tmp_path / "python")
    assert not before <= interpreter_notes(interpreter, None)
    (tmp_path / "python").unlink()
    assert not interpreter_notes(interpreter, None)


STARTS = """
import os, subprocess, threading
def tried(action):
    try:
        return str(action())
    except OSError as error:
        return type(error).__name__
threading.Thread(target=lambda: print("thread", flush=True)).start()
forks = (os.fork, lambda: subprocess.run(["/bin/true"]), lambda: os.posix_spawn("/bin/true", ["true"], {}))
print(*map(tried, forks))
"""


async def test_what_fills_the_shared_caches_cannot_start_a_program(jail: Jail, tmp_path: Path) -> None:
    folder = tmp_path / "environment"
    folder.mkdir()
    cage = Cage(jail, folder, tmp_path / "scratch", readable=interpreter_paths(Path(sys.executable)), alone=True)
    cage.prepare()
    with trio.fail_after(LIMIT_S):
        result = await run_program([sys.executable, "-I", "-c", STARTS], environment={}, directory=Path("/"), cage=cage)
    assert list(result.lines) == ["thread", "PermissionError PermissionError PermissionError"]


def test_files_with_further_links_are_copied(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("cached")
    (tmp_path / "cache").chmod(0o755)
    folder = tmp_path / "environment" / "bin"
    folder.mkdir(parents=True)
    (folder / "linked").hardlink_to(tmp_path / "cache")
    (folder / "own").write_text("own")
    (folder / "link").symlink_to(tmp_path / "cache")
    before = (folder / "own").stat().st_ino
    separate(tmp_path / "environment")
    (folder / "linked").write_text("changed")
    assert (tmp_path / "cache").read_text() == "cached"
    assert (folder / "linked").stat().st_mode & 0o777 == 0o755
    assert (folder / "own").stat().st_ino == before
    assert (folder / "link").is_symlink()


def test_what_a_program_left_is_read_as_a_file_of_limited_size(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("text")
    (tmp_path / "link").symlink_to(tmp_path / "text")
    assert read_left(tmp_path / "text") == "text"
    assert read_left(tmp_path / "text", 3) == ""
    assert read_left(tmp_path) == ""
    with pytest.raises(OSError, match="link"):
        read_left(tmp_path / "link")


async def test_what_an_install_script_writes_is_in_no_other_build(
    settings: Settings, jail: Jail, tmp_path: Path
) -> None:
    tops = f"{jail.npm_cache} {jail.uv_cache} $npm_config_cache {settings.cache_dir}"
    attack = f"for one in $(find {tops} -type f 2>/dev/null); do echo SPOILT >> $one; done; true"
    plant = f"mkdir -p {jail.npm_cache}/_cacache && echo SPOILT > {jail.npm_cache}/_cacache/planted; true"
    with trio.fail_after(LIMIT_S):
        for owner, scripts in (("ann", {"preinstall": attack, "postinstall": plant}), ("bob", {})):
            project = tmp_path / owner
            project.mkdir()
            write_package(project / "one.tgz", "one", "module.exports = 1")
            write_package(project / "two.tgz", "two", "module.exports = 2", scripts=scripts)
            write_manifest(project, name="shop", dependencies={"one": "file:one.tgz", "two": "file:two.tgz"})
            async with NodeEnvironmentCache(settings, jail).open_environment(
                EnvironmentRequest(project, owner=owner), Said()
            ) as environment:
                place_modules(environment.directory, project)
                if owner == "ann":  # of its own environment, it may change all
                    assert spoilt(environment.directory)
                    continue
                assert run_node(environment, project, "console.log(require('one') + require('two'))") == "3"
        assert spoilt(jail.npm_cache, jail.uv_cache) == []


async def test_no_npm_with_the_shared_cache_sees_what_install_scripts_have_left(
    settings: Settings, jail: Jail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prisma's adapters are installed last: the folder may have links into the cache then, and settings of npm."""
    seen: list[Cage | None] = []

    async def added(npm: Npm, report: Report) -> bool:
        seen.append(npm.cage)
        return await add_adapters(npm, report)

    monkeypatch.setattr(build, "add_adapters", added)
    leave = (
        'mkdir -p ../@prisma/client && echo \'{"version": "6.16.2"}\' > ../@prisma/client/package.json'
        f" && ln -s {jail.npm_cache} ../@prisma/adapter-pg && echo cache={jail.npm_cache} > ../../.npmrc"
    )
    project = tmp_path / "project"
    project.mkdir()
    write_package(project / "one.tgz", "one", "module.exports = 1", scripts={"postinstall": leave})
    write_manifest(project, name="shop", dependencies={"one": "file:one.tgz"})
    request = EnvironmentRequest(project, owner="ann")
    with trio.fail_after(LIMIT_S):
        async with NodeEnvironmentCache(settings, jail).open_environment(request, Said()):
            files = {path.name for path in jail.npm_cache.rglob("*")}
    [cage] = seen
    assert cage is not None
    assert jail.npm_cache not in cage.writable
    assert cage.variables["npm_config_cache"] != str(jail.npm_cache)
    assert not {"package.json", "adapter-pg"} & files


def test_a_large_file_with_all_its_links_inside_is_not_copied(tmp_path: Path) -> None:
    """Code of packages may have made it: a copy of each link would fill the service's disk."""
    with (tmp_path / "large").open("wb") as file:
        file.truncate(2**30)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").hardlink_to(tmp_path / "large")
    separate(tmp_path)
    status = (tmp_path / "large").stat()
    assert (status.st_nlink, status.st_blocks) == (2, 0)


def test_copies_get_names_that_no_package_has_taken(tmp_path: Path) -> None:
    folder = tmp_path / "environment"
    folder.mkdir()
    (tmp_path / "cache").write_text("cached")
    names = ["x", "x.preview-copy", "y" * 255]
    for name in names:
        (folder / name).hardlink_to(tmp_path / "cache")
    separate(folder)
    assert (tmp_path / "cache").stat().st_nlink == 1
    assert sorted(path.name for path in folder.iterdir()) == names


def test_files_with_several_links_are_counted_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "_MOST_LINKED", 2)
    for name in ("one", "two", "three"):
        separate(tmp_path)
        (tmp_path / name).touch()
        (tmp_path / f"{name}-again").hardlink_to(tmp_path / name)
    with pytest.raises(EnvironmentFailed, match="more than 2 files"):
        separate(tmp_path)


@pytest.mark.long
def test_many_links_of_one_file_take_no_memory_each(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for number in range(20_000):
        (tmp_path / f"link-{number}").hardlink_to(tmp_path / "file")
    tracemalloc.start()
    try:
        separate(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 500_000
    finally:
        tracemalloc.stop()
