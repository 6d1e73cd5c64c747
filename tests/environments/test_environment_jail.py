"""What the code of packages can do while an environment is built: real source packages and install scripts."""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from environment_kit import Said, is_alive, wait_for_file, wait_until_gone, write_wheel
from jail_kit import make_jail, newest_child
from test_node_environment import run_node, write_manifest, write_package

from preview.environments import Environment, EnvironmentCache, EnvironmentRequest, Jail
from preview.environments.node.build import NodeEnvironmentCache
from preview.environments.node.modules import place_modules
from preview.errors import EnvironmentFailed
from preview.runtime import child_subreaper
from preview.settings import Settings

LIMIT_S = 90


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(cache_dir=tmp_path / "cache", data_dir=tmp_path / "data", uv_offline=True)
    settings.data_dir.mkdir()
    (settings.data_dir / "secret.txt").write_text("of the service")
    return settings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of the service's user, with the caches of packages elsewhere."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "diary.txt").write_text("dear diary")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm-cache"))
    return home


@pytest.fixture
async def jail(settings: Settings, home: Path) -> AsyncIterator[Jail]:
    with child_subreaper():
        yield await make_jail(settings)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def write_source_package(project: Path, setup: str) -> None:
    """A package whose build runs ``setup`` first; its backend needs nothing installed, and puts the answers into it."""
    package = project / "odd"
    package.mkdir()
    (package / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "odd"\nversion = "1"\n'
    )
    backend = """
        import json, os, pathlib, zipfile
        ANSWERS = {}

        def tried(name, action):
            try:
                ANSWERS[name] = repr(action())
            except Exception as error:
                ANSWERS[name] = type(error).__name__

        def build_wheel(directory, config_settings=None, metadata_directory=None):
            SETUP
            files = {
                "odd.py": "ANSWERS = " + repr(ANSWERS),
                "odd-1.dist-info/METADATA": "Metadata-Version: 2.1\\nName: odd\\nVersion: 1\\n",
                "odd-1.dist-info/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
                "odd-1.dist-info/RECORD": "",
            }
            with zipfile.ZipFile(os.path.join(directory, "odd-1-py3-none-any.whl"), "w") as archive:
                for name, text in files.items():
                    archive.writestr(name, text)
            return "odd-1-py3-none-any.whl"
    """
    indented = textwrap.indent(textwrap.dedent(setup).strip(), " " * 4).lstrip()
    (package / "backend.py").write_text(textwrap.dedent(backend).replace("SETUP", indented))
    (project / "requirements.txt").write_text("./odd\n")


async def ask(environment: Environment, code: str) -> str:
    result = await trio.run_process([environment.python, "-c", code], capture_stdout=True)
    return result.stdout.decode().strip()


async def build_and_ask(settings: Settings, jail: Jail, project: Path, setup: str) -> dict[str, object]:
    """What the build of a package found, by the names that it gave."""
    write_source_package(project, setup)
    with trio.fail_after(LIMIT_S):
        async with EnvironmentCache(settings, jail).open_environment(
            EnvironmentRequest(project, server=None), Said()
        ) as environment:
            answers = json.loads(await ask(environment, "import odd, json; print(json.dumps(odd.ANSWERS))"))
    assert isinstance(answers, dict)
    return answers


async def test_a_packages_build_reads_nothing_of_the_service(
    settings: Settings, jail: Jail, home: Path, project: Path
) -> None:
    paths = {
        "data": settings.data_dir / "secret.txt",
        "home": home / "diary.txt",
        "shadow": Path("/etc/shadow"),
        "service": Path(f"/proc/{os.getpid()}/environ"),
        "environments": settings.cache_dir / "environments" / "other" / "x",
        "workshop": jail.uv_cache / ".preview-builds" / "other" / "x",
    }
    for name in ("environments", "workshop"):
        paths[name].parent.mkdir(parents=True)
        paths[name].write_text("of another build")
    setup = "".join(f"tried({name!r}, lambda: open({str(path)!r}).read())\n" for name, path in paths.items())
    answers = await build_and_ask(settings, jail, project, setup)
    # A number that is another process's inside is no way to the service either.
    assert os.environ["HOME"] not in str(answers.pop("service"))
    assert answers == dict.fromkeys(answers, "FileNotFoundError")


async def test_a_packages_build_writes_nothing_of_the_machine(settings: Settings, jail: Jail, project: Path) -> None:
    places = [
        "/usr/local/lib/python3/x",
        "/etc/cron.d/x",
        str(settings.data_dir / "x"),
        "/x",
        "/proc/sys/vm/swappiness",
    ]
    setup = "".join(f"tried({place!r}, lambda: open({place!r}, 'w'))\n" for place in places)
    answers = await build_and_ask(settings, jail, project, setup)
    assert set(answers.values()) <= {"FileNotFoundError", "OSError", "PermissionError"}


async def test_a_packages_build_changes_nothing_of_the_kernel(settings: Settings, jail: Jail, project: Path) -> None:
    # Root outside is root for the kernel's settings, without any capability; one of them names a program to run.
    setup = """
        def opened(path):
            try:
                os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
                return True
            except OSError:
                return False
        own = {"/proc/" + name for name in os.listdir("/proc") if name.isdigit()}
        own |= {"/proc/self", "/proc/thread-self"}
        tops = {"/proc/" + name for name in os.listdir("/proc")} - own
        walks = [walk for top in tops for walk in os.walk(top)]
        paths = {*tops, *(os.path.join(folder, name) for folder, _, names in walks for name in names)}
        ANSWERS["many"] = len(paths) > 100
        ANSWERS["open"] = [path for path in sorted(paths) if opened(path)][:20]
        tried("memory", lambda: os.path.exists("/dev/mem"))
        tried("sys", lambda: os.listdir("/sys"))
    """
    answers = await build_and_ask(settings, jail, project, setup)
    assert answers == {"many": True, "open": [], "memory": "False", "sys": "FileNotFoundError"}


async def test_what_a_packages_build_writes_for_good_may_wait_for_the_disk(
    settings: Settings, jail: Jail, project: Path
) -> None:
    """As no preview does, whose files end with it: there the call would do nothing, and succeed."""
    assert await build_and_ask(settings, jail, project, 'tried("sync", lambda: os.fsync(999))') == {"sync": "OSError"}


async def test_a_packages_build_sees_no_process_but_its_own_and_has_no_rights(
    settings: Settings, jail: Jail, project: Path
) -> None:
    setup = """
        tried("processes", lambda: max(int(one) for one in os.listdir("/proc") if one.isdigit()) < 1000)
        tried("mount", lambda: os.system("mount -t tmpfs none /tmp 2>/dev/null") == 0)
        tried("rights", lambda: [line.split()[1] for line in open("/proc/self/status") if line.startswith("CapEff")])
    """
    answers = await build_and_ask(settings, jail, project, setup)
    assert answers == {"processes": "True", "mount": "False", "rights": "['0000000000000000']"}


async def test_a_daemon_of_a_packages_build_ends_with_the_build(settings: Settings, jail: Jail, project: Path) -> None:
    flag = project / "odd" / "beats"
    setup = f"""
        import subprocess, sys
        beat = "import time\\nwhile True:\\n open({str(flag)!r}, 'a').write('x'); time.sleep(0.01)"
        subprocess.Popen([sys.executable, "-c", beat], start_new_session=True, stdout=-3, stderr=-3)
        while not os.path.exists({str(flag)!r}): pass
    """
    await build_and_ask(settings, jail, project, setup)
    beats = flag.stat().st_size
    await trio.sleep(0.2)  # twenty beats: nothing tells that something does not happen
    assert flag.stat().st_size == beats


async def test_links_that_a_packages_build_leaves_lead_the_service_nowhere(
    settings: Settings, jail: Jail, project: Path
) -> None:
    victim = settings.data_dir / "secret.txt"
    setup = f"""
        base = pathlib.Path({str(settings.cache_dir / "environments")!r})
        workshop = pathlib.Path({str(jail.uv_cache / ".preview-builds")!r})
        found = [*base.glob(".building-*"), *workshop.glob("*/.building-*")]
        for folder in found:
            (folder / "preview.json").symlink_to({str(victim)!r})
            (folder / "inside").symlink_to(folder / "bin")
        ANSWERS["found"] = len(found)
    """
    answers = await build_and_ask(settings, jail, project, setup)
    assert answers["found"] == 1
    assert victim.read_text() == "of the service"


async def test_what_has_wheels_is_hard_linked_from_the_cache_and_compiled_without_running_it(
    settings: Settings, jail: Jail, project: Path, tmp_path: Path
) -> None:
    wheel = write_wheel(project, "tiny")
    (project / "requirements.txt").write_text(f"./{wheel.name}\n")
    with trio.fail_after(LIMIT_S):
        cache = EnvironmentCache(settings, jail)
        async with cache.open_environment(EnvironmentRequest(project, server=None), Said()) as environment:
            module = next(environment.directory.glob("lib/python*/site-packages/tiny/__init__.py"))
            assert module.stat().st_nlink > 1
            await cache.compile(environment.key)
            assert list((module.parent / "__pycache__").iterdir())
            assert await ask(environment, "import tiny; print(tiny.VERSION)") == "1.0"
    assert not list((tmp_path / "uv-cache" / ".preview-builds").rglob(".building-*"))


async def test_a_cancelled_build_in_a_jail_leaves_no_process_and_no_file(
    settings: Settings, jail: Jail, project: Path, tmp_path: Path
) -> None:
    flag = project / "odd" / "begun"
    write_source_package(project, f"pathlib.Path({str(flag)!r}).write_text('x')\nimport time\ntime.sleep(600)")
    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:

            async def build() -> None:
                async with EnvironmentCache(settings, jail).open_environment(
                    EnvironmentRequest(project, server=None), Said()
                ):
                    pass

            nursery.start_soon(build)
            await wait_for_file(flag)
            started = newest_child("bwrap")
            assert is_alive(started)
            nursery.cancel_scope.cancel()
        await wait_until_gone(started)
    left = [path for place in (settings.cache_dir, tmp_path / "uv-cache") for path in place.rglob(".building-*")]
    assert left + list(settings.cache_dir.rglob(".scratch-*")) == []


async def test_an_operator_who_wants_no_builds_has_none(
    settings: Settings, jail: Jail, home: Path, project: Path
) -> None:
    (home / ".config" / "uv").mkdir(parents=True)
    (home / ".config" / "uv" / "uv.toml").write_text("no-build = true\n")
    with pytest.raises(EnvironmentFailed):
        await build_and_ask(settings, jail, project, "pass")


async def test_an_operator_who_wants_no_install_scripts_has_none(
    settings: Settings, jail: Jail, home: Path, project: Path
) -> None:
    (home / ".npmrc").write_text("ignore-scripts=true\n")
    write_package(project / "one.tgz", "one", "module.exports = 1", scripts={"postinstall": "echo ran > ran"})
    write_manifest(project, name="shop", dependencies={"one": "file:one.tgz"})
    with trio.fail_after(LIMIT_S):
        async with NodeEnvironmentCache(settings, jail).open_environment(
            EnvironmentRequest(project), lambda *_: None
        ) as environment:
            folder = environment.directory / "node_modules" / "one"
            assert sorted(path.name for path in folder.iterdir()) == ["index.js", "package.json"]


async def test_an_install_script_runs_and_reads_nothing_of_the_service(
    settings: Settings, jail: Jail, home: Path, project: Path
) -> None:
    secrets = [settings.data_dir / "secret.txt", home / "diary.txt", Path("/etc/shadow")]
    read = "; ".join(f"cat {path} >> found 2>/dev/null" for path in secrets)
    scripts = {"postinstall": f"{read}; setsid sleep 600 >/dev/null 2>&1 & echo ran > ran; id -u >> ran"}
    write_package(project / "one.tgz", "one", "module.exports = 1", scripts=scripts)
    write_manifest(project, name="shop", dependencies={"one": "file:one.tgz"})
    with trio.fail_after(LIMIT_S):
        async with NodeEnvironmentCache(settings, jail).open_environment(
            EnvironmentRequest(project), lambda *_: None
        ) as environment:
            place_modules(environment.directory, project)
            folder = environment.directory / "node_modules" / "one"
            assert (folder / "ran").read_text().split()[0] == "ran"
            found = folder / "found"
            assert not found.exists() or found.read_text() == ""
            assert run_node(environment, project, "console.log(require('one'))") == "1"


async def test_links_that_an_install_script_leaves_lead_the_service_nowhere(
    settings: Settings, jail: Jail, project: Path
) -> None:
    victim = settings.data_dir / "secret.txt"
    aim = f"cd ../..; rm -f modules.json; ln -s {victim} modules.json; ln -s {victim} preview.json"
    scripts = {"postinstall": f"{aim}; mkdir -p node_modules/.bin; ln -s {victim.parent}/new node_modules/.bin/yarn"}
    write_package(project / "one.tgz", "one", "module.exports = 1", scripts=scripts)
    write_manifest(project, name="shop", dependencies={"one": "file:one.tgz"})
    with trio.fail_after(LIMIT_S):
        async with NodeEnvironmentCache(settings, jail).open_environment(EnvironmentRequest(project), lambda *_: None):
            pass
    assert victim.read_text() == "of the service"
    assert sorted(path.name for path in settings.data_dir.iterdir()) == ["sandbox", "secret.txt"]
