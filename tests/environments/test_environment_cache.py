from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
import trio.testing
from environment_kit import Said, wait_for_file, wait_until_gone, write_wheel

from preview.environments import EnvironmentCache, EnvironmentRequest
from preview.environments.folders.layout import Layout
from preview.environments.folders.locks import lock, try_lock
from preview.environments.sandbox.program import program_environment, run_program, run_uv
from preview.errors import ConfigurationError, EnvironmentFailed
from preview.settings import Settings, load_settings

LIMIT_S = 60


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(cache_dir=tmp_path / "cache", data_dir=tmp_path / "data")


@pytest.fixture
def cache(settings: Settings) -> EnvironmentCache:
    return EnvironmentCache(settings)


@pytest.fixture
def root(settings: Settings) -> Path:
    return settings.cache_dir / "environments"


MakeProject = Callable[..., Path]


@pytest.fixture
def make_project(tmp_path: Path) -> MakeProject:
    """A project that requires the local wheel ``uvicorn`` (so that none is supplied) and the given lines."""

    def make(*lines: str, name: str = "project", server: bool = True) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        if server:
            write_wheel(folder, "uvicorn", "99.0")
            lines = (*lines, "./uvicorn-99.0-py3-none-any.whl")
        (folder / "requirements.txt").write_text("\n".join(lines) + "\n")
        return folder

    return make


# A package whose build says that it has begun, then hangs.
HANGING_SETUP = """
import os, pathlib, time
pathlib.Path({flag!r}).write_text(str(os.getpid()))
time.sleep(600)
"""


def hang(project: Path, flag: Path) -> None:
    """Add a local package with a build that never ends, by a backend that needs nothing installed."""
    package = project / "hanging"
    package.mkdir()
    (package / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "hanging"\nversion = "1"\n'
    )
    (package / "backend.py").write_text(HANGING_SETUP.format(flag=str(flag)))
    with (project / "requirements.txt").open("a") as file:
        file.write("./hanging\n")


def left_behind(root: Path) -> list[str]:
    return sorted(entry.name for entry in root.iterdir()) if root.exists() else []


async def ask(python: Path, code: str) -> str:
    result = await trio.run_process([str(python), "-c", code], capture_stdout=True)
    return result.stdout.decode().strip()


@pytest.mark.timed
async def test_an_environment_is_built_then_cached_then_reused(
    cache: EnvironmentCache, make_project: MakeProject, said: Said, root: Path
) -> None:
    project = make_project("./tiny-1.0-py3-none-any.whl")
    write_wheel(project, "tiny")
    with trio.fail_after(LIMIT_S):
        async with cache.open_environment(EnvironmentRequest(project), said) as first:
            assert first.how == "built"
            assert await ask(first.python, "import tiny; print(tiny.VERSION)") == "1.0"
            async with cache.open_environment(EnvironmentRequest(project), said) as second:
                assert (second.how, second.directory) == ("reused", first.directory)
        async with cache.open_environment(EnvironmentRequest(project), said) as third:
            assert (third.how, third.key) == ("cached", first.key)
            assert third.elapsed_s < first.elapsed_s
    assert "+ tiny==1.0" in said.text
    assert left_behind(root) == [first.key, f"{first.key}.lock"]


async def test_a_finished_environments_folders_are_protected(
    cache: EnvironmentCache, make_project: MakeProject, said: Said
) -> None:
    with trio.fail_after(LIMIT_S):
        async with cache.open_environment(EnvironmentRequest(make_project()), said) as environment:
            package = next(environment.directory.glob("lib/*/site-packages/uvicorn"))
            assert package.stat().st_mode & 0o222 == 0


async def test_a_server_is_supplied_where_the_project_brings_none(
    cache: EnvironmentCache, make_project: MakeProject, said: Said
) -> None:
    project = make_project("six==1.17.0", "idna==3.20  # real packages from the index", server=False)
    with trio.fail_after(LIMIT_S):
        async with cache.open_environment(EnvironmentRequest(project), said) as environment:
            assert await ask(environment.python, "import uvicorn, six, idna; print(six.__version__)") == "1.17.0"


async def test_a_project_without_requirements_gets_a_server_and_a_word(
    cache: EnvironmentCache, tmp_path: Path, said: Said
) -> None:
    with trio.fail_after(LIMIT_S):
        async with cache.open_environment(EnvironmentRequest(tmp_path), said) as environment:
            await ask(environment.python, "import uvicorn")
    assert said.lines[0][1] == logging.WARNING


async def test_ten_that_ask_at_once_get_one_build(
    cache: EnvironmentCache, make_project: MakeProject, root: Path
) -> None:
    project = make_project()
    hows: list[str] = []
    sayings = [Said() for _ in range(10)]
    everyone = trio.Event()

    async def launch(said: Said) -> None:
        async with cache.open_environment(EnvironmentRequest(project), said) as environment:
            hows.append(environment.how)
            if len(hows) == len(sayings):
                everyone.set()
            await everyone.wait()

    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:
            for said in sayings:
                nursery.start_soon(launch, said)
    assert sorted(hows) == ["built"] + ["reused"] * 9
    assert sum("waiting for the same environment" in said.text for said in sayings) == 9


async def test_processes_that_ask_at_once_get_one_build(
    make_project: MakeProject, settings: Settings, tmp_path: Path
) -> None:
    project = make_project()
    script = tmp_path / "ask.py"
    script.write_text(
        "import sys, trio\n"
        "from pathlib import Path\n"
        "from preview.environments import EnvironmentCache, EnvironmentRequest\n"
        "from preview.settings import load_settings\n"
        "async def main():\n"
        "    cache = EnvironmentCache(load_settings(cache_dir=Path(sys.argv[1])))\n"
        "    request = EnvironmentRequest(Path(sys.argv[2]))\n"
        "    async with cache.open_environment(request, lambda line, level: None) as environment:\n"
        "        print(environment.how)\n"
        "trio.run(main)\n"
    )
    outputs: list[str] = []

    async def one() -> None:
        argv = [sys.executable, str(script), str(settings.cache_dir), str(project)]
        result = await trio.run_process(argv, capture_stdout=True)
        outputs.append(result.stdout.decode().strip())

    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(one)
    assert sorted(outputs) == ["built", "cached", "cached"]


async def test_a_cancelled_build_leaves_no_process_and_no_folder(
    cache: EnvironmentCache, make_project: MakeProject, said: Said, root: Path, tmp_path: Path
) -> None:
    project = make_project()
    hang(project, tmp_path / "flag")
    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:

            async def build() -> None:
                async with cache.open_environment(EnvironmentRequest(project), said):
                    pytest.fail("the build hangs")

            nursery.start_soon(build)
            pid = int(await wait_for_file(tmp_path / "flag"))
            nursery.cancel_scope.cancel()
        await wait_until_gone(pid)
    assert left_behind(root) == []


async def test_when_the_builder_is_cancelled_one_who_waits_builds(
    cache: EnvironmentCache, make_project: MakeProject, tmp_path: Path
) -> None:
    project = make_project()
    hang(project, tmp_path / "flag")
    got: list[str] = []
    waiting = trio.Event()

    def heard(line: str, level: int) -> None:
        if "waiting for" in line:
            waiting.set()

    async def second() -> None:
        async with cache.open_environment(EnvironmentRequest(project), heard) as environment:
            got.append(environment.how)

    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as outer, trio.open_nursery() as inner:

            async def first() -> None:
                async with cache.open_environment(EnvironmentRequest(project), Said()):
                    pytest.fail("the build hangs")

            inner.start_soon(first)
            await wait_for_file(tmp_path / "flag")
            outer.start_soon(second)
            await waiting.wait()
            # The content decides the key, which is computed already: what is built next can be built.
            shutil.rmtree(project / "hanging")
            write_wheel(project, "hanging")
            (project / "hanging-1.0-py3-none-any.whl").rename(project / "hanging.zip")
            _make_buildable(project / "hanging")
            inner.cancel_scope.cancel()
    assert got == ["built"]


def _make_buildable(package: Path) -> None:
    package.mkdir()
    (package / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "hanging"\nversion = "1.0"\n'
    )
    (package / "backend.py").write_text(
        "import pathlib, shutil\n"
        "def build_wheel(directory, config_settings=None, metadata_directory=None):\n"
        "    name = 'hanging-1.0-py3-none-any.whl'\n"
        "    shutil.copy(pathlib.Path(__file__).parent.parent / 'hanging.zip', pathlib.Path(directory) / name)\n"
        "    return name\n"
    )


def fail(package: Path, attempts: Path) -> None:
    """A package whose build fails, and counts how often it was tried."""
    package.mkdir()
    (package / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    (package / "backend.py").write_text(f"open({str(attempts)!r}, 'a').write('x')\nraise RuntimeError('kaboom')\n")


async def test_a_failure_names_the_requirement_and_leaves_nothing(
    cache: EnvironmentCache, make_project: MakeProject, said: Said, root: Path, tmp_path: Path
) -> None:
    project = make_project("./failing")
    fail(project / "failing", tmp_path / "attempts")
    (project / "requirements.txt").write_text("flask @ ./failing\n")
    with trio.fail_after(LIMIT_S), pytest.raises(EnvironmentFailed) as raised:
        async with cache.open_environment(EnvironmentRequest(project), said):
            pytest.fail("it cannot be built")
    assert "kaboom" in raised.value.message
    assert raised.value.details["origin"] == "requirements.txt line 1"
    assert raised.value.details["output"]
    assert any(level == logging.ERROR for _, level in said.lines)
    assert left_behind(root) == []


async def test_those_who_waited_for_a_failing_build_fail_with_it(
    cache: EnvironmentCache, make_project: MakeProject, tmp_path: Path
) -> None:
    project = make_project("flask @ ./failing")
    attempts = tmp_path / "attempts"
    fail(project / "failing", attempts)
    messages: list[str] = []

    async def launch() -> None:
        try:
            async with cache.open_environment(EnvironmentRequest(project), Said()):
                pytest.fail("the build fails")
        except EnvironmentFailed as error:
            messages.append(error.message)

    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(launch)
        built = len(attempts.read_text())
        await launch()  # a later one tries again
    assert len(messages) == 4
    assert len(set(messages)) == 1
    assert "kaboom" in messages[0]
    assert len(attempts.read_text()) == 2 * built


async def test_a_build_has_a_deadline(
    make_project: MakeProject, settings: Settings, said: Said, tmp_path: Path
) -> None:
    project = make_project()
    hang(project, tmp_path / "flag")
    cache = EnvironmentCache(settings.model_copy(update={"environment_build_timeout_s": 0.5}))
    with trio.fail_after(LIMIT_S), pytest.raises(EnvironmentFailed, match=r"not ready within 0\.5 s"):
        async with cache.open_environment(EnvironmentRequest(project), said):
            pytest.fail("the build hangs")


async def test_what_a_killed_build_left_is_removed_by_the_next(
    cache: EnvironmentCache, make_project: MakeProject, said: Said, root: Path
) -> None:
    project = make_project()
    with trio.fail_after(LIMIT_S):
        async with cache.open_environment(EnvironmentRequest(project), said) as environment:
            key = environment.key
        (root / f".building-{key}-1-abcd" / "lib").mkdir(parents=True)
        (root / key / "preview.json").unlink()
        async with cache.open_environment(EnvironmentRequest(project), said) as environment:
            assert environment.how == "built"
    assert left_behind(root) == [key, f"{key}.lock"]


async def test_offline_a_cached_package_is_enough(make_project: MakeProject, settings: Settings, said: Said) -> None:
    project = make_project("six==1.17.0")
    with trio.fail_after(LIMIT_S):
        async with EnvironmentCache(settings).open_environment(EnvironmentRequest(project), said):
            pass
        other = settings.model_copy(update={"cache_dir": settings.cache_dir / "other", "uv_offline": True})
        async with EnvironmentCache(other).open_environment(EnvironmentRequest(project), said) as environment:
            assert environment.how == "built"


async def test_offline_a_missing_package_is_named(
    make_project: MakeProject, settings: Settings, said: Said, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "empty"))
    cache = EnvironmentCache(settings.model_copy(update={"uv_offline": True}))
    with trio.fail_after(LIMIT_S), pytest.raises(EnvironmentFailed) as raised:
        async with cache.open_environment(EnvironmentRequest(make_project("six==1.17.0")), said):
            pytest.fail("nothing is cached")
    assert raised.value.details["reason"] == "offline"
    assert raised.value.details["requirement"] == "six==1.17.0"


def cut_network(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")


async def test_without_a_network_ranges_are_met_from_the_package_cache(
    make_project: MakeProject, cache: EnvironmentCache, said: Said, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    with trio.fail_after(LIMIT_S):
        async with cache.open_environment(EnvironmentRequest(make_project("six>=1.16", name="first")), said):
            pass
        cut_network(monkeypatch)
        # uv trusts its copy of the index for a while; without it, it must ask and find nobody.
        monkeypatch.setenv("UV_REFRESH", "1")
        other = EnvironmentCache(settings.model_copy(update={"cache_dir": settings.cache_dir / "other"}))
        async with other.open_environment(
            EnvironmentRequest(make_project("six>=1.16", name="second")), said
        ) as environment:
            assert environment.how == "built"


async def test_without_network_and_cache_the_failure_says_so(
    make_project: MakeProject, cache: EnvironmentCache, said: Said, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cut_network(monkeypatch)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "empty"))
    with trio.fail_after(LIMIT_S), pytest.raises(EnvironmentFailed) as raised:
        async with cache.open_environment(EnvironmentRequest(make_project("six>=1.16")), said):
            pytest.fail("there is nowhere to get it from")
    assert raised.value.details["reason"] == "network"


async def test_a_cache_folder_that_cannot_be_made_is_said(
    make_project: MakeProject, tmp_path: Path, said: Said
) -> None:
    (tmp_path / "file").write_text("")
    cache = EnvironmentCache(load_settings(cache_dir=tmp_path / "file"))
    with pytest.raises(EnvironmentFailed, match="PREVIEW_CACHE_DIR"):
        async with cache.open_environment(EnvironmentRequest(make_project()), said):
            pytest.fail("there is no folder")


async def test_the_configured_python_is_used(make_project: MakeProject, settings: Settings, said: Said) -> None:
    wanted = settings.model_copy(update={"environment_python": sys.executable})
    with trio.fail_after(LIMIT_S):
        async with EnvironmentCache(wanted).open_environment(EnvironmentRequest(make_project()), said) as environment:
            assert await ask(environment.python, "import sys; print(sys.base_prefix)") == sys.base_prefix


@pytest.mark.parametrize("wanted", ["/nowhere/python", "99.9"])
async def test_a_configured_python_that_is_not_there_is_a_configuration_error(
    make_project: MakeProject, settings: Settings, said: Said, wanted: str
) -> None:
    cache = EnvironmentCache(settings.model_copy(update={"environment_python": wanted, "uv_offline": True}))
    with trio.fail_after(LIMIT_S), pytest.raises(ConfigurationError, match="PREVIEW_ENVIRONMENT_PYTHON"):
        async with cache.open_environment(EnvironmentRequest(make_project()), said):
            pytest.fail("there is no such Python")


def fake_environment(root: Path, key: str, *, size: int = 100, unused_s: float = 0) -> None:
    (root / key / "bin").mkdir(parents=True)
    (root / key / "bin").chmod(0o555)
    (root / key / "preview.json").write_text(f'{{"size_bytes": {size}}}')
    (root / f"{key}.lock").touch()
    then = time.time() - unused_s
    os.utime(root / f"{key}.lock", (then, then))


A, B, C = ("a" * 32, "b" * 32, "c" * 32)


async def test_environments_unused_for_long_are_evicted(cache: EnvironmentCache, root: Path) -> None:
    fake_environment(root, A, unused_s=31 * 24 * 3600)
    fake_environment(root, B, unused_s=29 * 24 * 3600)
    assert await cache.evict() == 1
    assert left_behind(root) == [B, f"{B}.lock"]


async def test_the_longest_unused_go_first_until_the_rest_fits(settings: Settings, root: Path) -> None:
    for key, age in ((A, 10), (B, 30), (C, 20)):
        fake_environment(root, key, unused_s=age)
    cache = EnvironmentCache(settings.model_copy(update={"environment_max_bytes": 150}))
    assert await cache.evict() == 2
    assert left_behind(root) == [A, f"{A}.lock"]


async def test_an_environment_in_use_is_never_evicted(
    settings: Settings, make_project: MakeProject, said: Said
) -> None:
    tight = settings.model_copy(update={"environment_max_bytes": 1})
    here, elsewhere = EnvironmentCache(tight), EnvironmentCache(tight)
    with trio.fail_after(LIMIT_S):
        async with here.open_environment(EnvironmentRequest(make_project()), said) as environment:
            assert await here.evict() == 0
            assert await elsewhere.evict() == 0
            assert environment.python.exists()
        assert await elsewhere.evict() == 1
        assert not environment.directory.exists()


async def test_leftovers_of_killed_builds_are_evicted_but_not_a_build_under_way(
    cache: EnvironmentCache, root: Path
) -> None:
    for key in (A, B):
        (root / f".building-{key}-1-ab" / "lib").mkdir(parents=True)
    held = try_lock(root / f"{B}.lock", exclusive=True)
    assert held is not None
    assert await cache.evict() == 0
    held.release()
    assert left_behind(root) == [f".building-{B}-1-ab", f"{B}.lock"]


async def test_evicting_from_a_folder_that_is_not_there_is_fine(cache: EnvironmentCache) -> None:
    assert await cache.evict() == 0


def test_a_marker_that_cannot_be_read_counts_nothing(tmp_path: Path) -> None:
    (tmp_path / A).mkdir()
    (tmp_path / A / "preview.json").write_text('{"size_bytes": "many"}')
    assert Layout(tmp_path).size_bytes(A) == 0
    assert Layout(tmp_path).size_bytes(B) == 0


async def test_who_waits_for_a_removed_lock_file_gets_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    first = try_lock(path, exclusive=True)
    assert first is not None
    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:

            async def wait() -> None:
                held = await lock(path, exclusive=True)
                assert path.stat().st_ino == os.fstat(held.fd).st_ino
                held.release()
                held.release()

            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            assert try_lock(path, exclusive=False) is None
            first.remove()
            first.release()


async def test_a_program_that_is_cancelled_dies_with_its_children(tmp_path: Path) -> None:
    flag = tmp_path / "pid"
    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:
            code = f"sleep 600 & echo $! > {flag}; wait"
            nursery.start_soon(
                lambda: run_program(["/bin/sh", "-c", code], environment={"PATH": os.defpath}, directory=tmp_path)
            )
            pid = int(await wait_for_file(flag))
            nursery.cancel_scope.cancel()
        await wait_until_gone(pid)


async def test_output_without_line_ends_is_cut_and_the_last_part_is_kept(tmp_path: Path) -> None:
    heard: list[str] = []
    code = "printf '%0100000d' 7; printf '\\n\\nend'; exit 3"
    with trio.fail_after(LIMIT_S):
        result = await run_program(["/bin/sh", "-c", code], environment={}, directory=tmp_path, say=heard.append)
    assert result.code == 3
    assert heard[-1] == "end"
    assert max(map(len, heard)) <= 16 * 1024


def test_the_installer_sees_nothing_of_the_service_but_the_way_to_packages() -> None:
    seen = program_environment(
        {"HOME": "/h", "UV_INDEX_URL": "i", "https_proxy": "p", "PREVIEW_JWT_SECRET": "s", "UV_PYTHON": "x", "FOO": "1"}
    )
    assert seen == {"HOME": "/h", "UV_INDEX_URL": "i", "https_proxy": "p"}


async def test_a_missing_installer_is_a_configuration_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> str:
        raise FileNotFoundError

    monkeypatch.setattr("uv.find_uv_bin", missing)
    with pytest.raises(ConfigurationError, match="uv is missing"):
        await run_uv(["--version"], offline=False)


def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    code = (
        f"import fcntl, time; f = open({str(path)!r}, 'w'); fcntl.flock(f, fcntl.LOCK_EX); "
        "print(flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert try_lock(path, exclusive=False) is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    held = try_lock(path, exclusive=False)
    assert held is not None
    held.release()


async def test_an_environment_that_cannot_be_removed_stays_and_is_no_loss(
    cache: EnvironmentCache, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_environment(root, A, unused_s=31 * 24 * 3600)
    (root / f".building-{B}-1-ab").mkdir()

    def refuse(path: Path) -> None:
        raise PermissionError(1, "not permitted")

    monkeypatch.setattr("preview.environments.store.eviction.remove_tree", refuse)
    assert await cache.evict() == 0
    assert f".building-{B}-1-ab" in left_behind(root)


async def test_an_environment_without_a_lock_file_goes_by_its_folders_age(cache: EnvironmentCache, root: Path) -> None:
    fake_environment(root, A)
    (root / f"{A}.lock").unlink()
    os.utime(root / A, (0, 0))
    assert await cache.evict() == 1
    assert left_behind(root) == []


async def test_a_lock_that_cannot_be_made_keeps_the_environment(cache: EnvironmentCache, root: Path) -> None:
    fake_environment(root, A, unused_s=31 * 24 * 3600)
    (root / f"{A}.lock").unlink()
    (root / f"{A}.lock").mkdir()
    os.utime(root / f"{A}.lock", (0, 0))
    assert await cache.evict() == 0
    assert A in left_behind(root)


async def test_options_and_constraints_reach_the_installer(
    cache: EnvironmentCache, make_project: MakeProject, said: Said
) -> None:
    project = make_project("six", "--pre", "-c limits.txt")
    (project / "limits.txt").write_text("six==1.16.0\n")
    with trio.fail_after(LIMIT_S):
        async with cache.open_environment(EnvironmentRequest(project), said) as environment:
            assert await ask(environment.python, "import six; print(six.__version__)") == "1.16.0"
