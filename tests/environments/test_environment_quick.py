"""What makes a build quick: an empty environment is made once, uv is called once, packages are linked, not copied."""

from __future__ import annotations

import errno
import gc
import os
import tarfile
import warnings
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
import trio
from environment_kit import Said, write_wheel
from jail_kit import make_jail
from test_environment_jail import write_source_package

from preview.environments import EnvironmentCache, EnvironmentRequest, Jail
from preview.environments.imports.removed_apis import find_relics
from preview.environments.node.modules import place_modules
from preview.environments.python.output import Output
from preview.environments.python.resolving import may_be_cached
from preview.environments.sandbox import program as uv_module
from preview.environments.sandbox.interpreter import Skeletons, find_interpreter
from preview.environments.sandbox.program import ProgramResult, run_program
from preview.errors import EnvironmentFailed
from preview.runtime import child_subreaper
from preview.settings import Settings

LIMIT_S = 60

MakeRequest = Callable[[str], EnvironmentRequest]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(cache_dir=tmp_path / "cache", data_dir=tmp_path / "data", uv_offline=True)


@pytest.fixture
async def jail(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Jail]:
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    with child_subreaper():
        yield await make_jail(settings)


@pytest.fixture
def make_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeRequest:
    """Projects that require one of the packages of a folder, by its version."""
    packages = tmp_path / "packages"
    packages.mkdir()
    for name in ("first", "second"):
        write_wheel(packages, name)
    monkeypatch.setenv("UV_FIND_LINKS", str(packages))

    def make(requirement: str) -> EnvironmentRequest:
        project = tmp_path / f"project-{requirement}"
        project.mkdir()
        (project / "requirements.txt").write_text(f"{requirement}\n")
        return EnvironmentRequest(project, server=None)

    return make


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What uv is called for, in order."""
    found: list[str] = []

    async def noted(argv: Sequence[str], **options: object) -> ProgramResult:
        found.append(" ".join(argv[1:3]) if argv[1] == "pip" else argv[1])
        return await run_program(argv, **options)  # type: ignore[arg-type]  # as it was called

    monkeypatch.setattr(uv_module, "run_program", noted)
    return found


async def opened(cache: EnvironmentCache, request: EnvironmentRequest) -> Path:
    with trio.fail_after(LIMIT_S):
        async with cache.open_environment(request, Said()) as environment:
            assert environment.how == "built"
            result = await trio.run_process(
                [environment.python, "-c", "import sys; print(sys.prefix)"], capture_stdout=True
            )
            assert result.stdout.decode().strip() == str(environment.directory)
            return environment.directory


def shape(environment: Path) -> dict[str, str]:
    """All but what is installed."""
    return {
        str(path.relative_to(environment)): str(path.readlink()) if path.is_symlink() else oct(path.stat().st_mode)
        for path in environment.rglob("*")
        if "site-packages/" not in str(path) and path.name not in {"requirements.txt", "preview.json"}
    }


async def test_the_second_environment_is_a_copy_of_the_first_empty_one(
    settings: Settings, make_request: MakeRequest, calls: list[str]
) -> None:
    cache = EnvironmentCache(settings)
    first = await opened(cache, make_request("first==1.0"))
    assert calls == ["venv", "pip install"]
    second = await opened(cache, make_request("second==1.0"))
    assert calls == ["venv", "pip install", "pip install"]
    assert shape(first) == shape(second)


async def test_in_a_jail_uv_asks_the_interpreter_of_the_first_environment_alone(
    settings: Settings, jail: Jail, make_request: MakeRequest
) -> None:
    cache, known = EnvironmentCache(settings, jail), jail.uv_cache
    await opened(cache, make_request("first==1.0"))
    asked = sorted(known.glob("interpreter-v*/*/*"))
    assert asked
    await opened(cache, make_request("second==1.0"))
    assert sorted(known.glob("interpreter-v*/*/*")) == asked


async def test_in_a_jail_pinned_packages_are_links_to_the_cache(
    settings: Settings, jail: Jail, make_request: MakeRequest
) -> None:
    directory = await opened(EnvironmentCache(settings, jail), make_request("first==1.0"))
    module = next(directory.glob("lib/python*/site-packages/first/__init__.py"))
    inodes = {path.stat().st_ino for path in jail.uv_cache.rglob("first/__init__.py")}
    assert module.stat().st_ino in inodes


async def test_what_is_warm_needs_one_call_of_uv(
    settings: Settings, jail: Jail, make_request: MakeRequest, calls: list[str]
) -> None:
    cache = EnvironmentCache(settings, jail)
    calls.clear()
    with trio.fail_after(LIMIT_S):
        await cache.warm_up()
    # Once for each Python that projects may get.
    assert calls in (["venv", "pip freeze"], ["venv", "pip freeze"] * 2)
    calls.clear()
    await opened(cache, make_request("first==1.0"))
    assert calls == ["pip install"]


async def test_warming_up_leaves_nothing_in_the_cache_of_environments(settings: Settings, jail: Jail) -> None:
    with trio.fail_after(LIMIT_S):
        await EnvironmentCache(settings, jail).warm_up()
    assert not list((settings.cache_dir / "environments").iterdir())
    assert not (jail.uv_cache / ".preview-builds").exists() or not list((jail.uv_cache / ".preview-builds").rglob("*"))


async def test_a_machine_on_which_nothing_can_be_warmed_up_is_no_error(settings: Settings) -> None:
    broken = settings.model_copy(update={"environment_python": "99.9"})
    with trio.fail_after(LIMIT_S):
        await EnvironmentCache(broken).warm_up()


async def test_a_folder_that_is_no_empty_environment_is_not_kept(tmp_path: Path) -> None:
    with trio.fail_after(LIMIT_S):
        interpreter = await find_interpreter(None, offline=True)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "large").write_bytes(bytes(300 * 1024))
    (tmp_path / "empty").mkdir()
    skeletons = Skeletons()
    skeletons.keep(interpreter, tmp_path / "full")
    assert not skeletons.write(interpreter, tmp_path / "empty")
    assert not list((tmp_path / "empty").iterdir())


async def test_no_folder_stays_open_where_a_file_of_it_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with trio.fail_after(LIMIT_S):
        interpreter = await find_interpreter(None, offline=True)
    for name in ("one", "two"):
        (tmp_path / "full" / name).mkdir(parents=True)
        (tmp_path / "full" / name / "file").touch()
    monkeypatch.setattr(Path, "read_bytes", refused)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with pytest.raises(OSError, match="Too many open files"):
            Skeletons().keep(interpreter, tmp_path / "full")
        gc.collect()
    assert [str(one.message) for one in told] == []


def test_no_folder_stays_open_where_a_package_cannot_be_placed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "environment" / "modules.json").parent.mkdir()
    (tmp_path / "environment" / "modules.json").write_text('{"folders": [""], "no_engine": {}}')
    for name in ("@of/one", "@of/two", "three"):
        (tmp_path / "environment" / "node_modules" / name).mkdir(parents=True)
    (tmp_path / "project").mkdir()
    monkeypatch.setattr("preview.environments.node.modules._put", refused)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with pytest.raises(OSError, match="Too many open files"):
            place_modules(tmp_path / "environment", tmp_path / "project")
        gc.collect()
    assert [str(one.message) for one in told] == []


def refused(*_: object) -> bytes:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def test_what_was_never_downloaded_is_not_looked_for_without_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UV_FIND_LINKS", raising=False)
    assert not may_be_cached(tmp_path / "none", ["flask"])
    for folder in ("wheels-v8/pypi/flask", "wheels-v8/index/0123/django"):
        (tmp_path / folder).mkdir(parents=True)
    assert may_be_cached(tmp_path, ["flask", "django"])
    assert not may_be_cached(tmp_path, ["flask", "other"])
    monkeypatch.setenv("UV_FIND_LINKS", "/packages")
    assert may_be_cached(tmp_path, ["flask", "other"])


def test_a_use_of_what_is_gone_is_found_where_a_line_begins_with_it(tmp_path: Path) -> None:
    packages = tmp_path / "lib" / "python3.11" / "site-packages"
    info = packages / "odd-1.dist-info"
    info.mkdir(parents=True)
    (info / "RECORD").write_text("odd.py,,\n")
    for text, uses in {
        "x = 1\nfrom collections import OrderedDict, Mapping\n": {"collections.Mapping"},
        "class A(dict, collections.Mapping):\n": {"collections.Mapping"},
        "try:\n    from collections import Mapping\nexcept ImportError: pass\n": set(),
        "# from collections import Mapping\nfrom collections import abc\n": set(),
        "class A(collections.abc.Mapping):\n": set(),
        "class A:\n    @asyncio.coroutine\n    def f(self): pass\n": {"asyncio.coroutine"},
        "from collections import OrderedDict\nfrom collections import Mapping": {"collections.Mapping"},
    }.items():
        (packages / "odd.py").write_text(text)
        assert {relic.uses for relic in find_relics(tmp_path, "3.11.7")} == uses, text


async def test_in_a_jail_packages_without_a_version_are_links_too(
    settings: Settings, jail: Jail, make_request: MakeRequest, calls: list[str]
) -> None:
    calls.clear()
    directory = await opened(EnvironmentCache(settings, jail), make_request("first"))
    assert calls == ["venv", "pip freeze", "pip compile", "pip install"]
    assert next(directory.glob("lib/python*/site-packages/first/__init__.py")).stat().st_nlink > 1


async def test_in_a_jail_a_package_without_a_version_that_has_to_be_built_is_built(
    settings: Settings, jail: Jail, make_request: MakeRequest, calls: list[str], tmp_path: Path
) -> None:
    request = make_request("odd>=0")
    write_source_package(tmp_path, "pass")
    with tarfile.open(tmp_path / "packages" / "odd-1.tar.gz", "w:gz") as archive:
        (tmp_path / "odd" / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1\n")
        archive.add(tmp_path / "odd", "odd-1")
    calls.clear()
    directory = await opened(EnvironmentCache(settings, jail), request)
    assert calls == ["venv", "pip freeze", "pip compile", "pip install", "pip install"]
    assert list(directory.glob("lib/python*/site-packages/odd.py"))


async def test_in_a_jail_a_version_that_there_is_not_is_named(
    settings: Settings, jail: Jail, make_request: MakeRequest
) -> None:
    said = Said()
    with trio.fail_after(LIMIT_S), pytest.raises(EnvironmentFailed, match="no-such-package") as raised:
        async with EnvironmentCache(settings, jail).open_environment(make_request("no-such-package>=7"), said):
            pass
    assert raised.value.details["requirement"] == "no-such-package>=7"


def test_what_takes_long_is_told_at_once_and_not_again() -> None:
    said = Said()
    output = Output(said)
    result = ProgramResult(0)
    for line in ("Resolved 2 packages", "Downloading torch (800.0MiB)", " + torch==2.0"):
        output.progress(line)
        result.lines.append(line)
    assert said.text == "Downloading torch (800.0MiB)"
    output.replay(result)
    assert said.text.splitlines() == ["Downloading torch (800.0MiB)", "Resolved 2 packages", " + torch==2.0"]


async def test_in_a_jail_packages_are_links_after_a_version_was_loosened(
    settings: Settings, jail: Jail, make_request: MakeRequest, calls: list[str]
) -> None:
    request = make_request("first==7.0")
    said = Said()
    calls.clear()
    with trio.fail_after(LIMIT_S):
        async with EnvironmentCache(settings, jail).open_environment(request, said) as environment:
            module = next(environment.directory.glob("lib/python*/site-packages/first/__init__.py"))
    assert "first==7.0 (requirements.txt line 1)" in said.text
    assert module.stat().st_nlink > 1
    # What there is not was tried once; from then on versions are chosen first.
    assert calls[2:4] == ["pip install", "pip compile"]
    assert calls.count("pip install") == 2
