"""A project gets a newer Python than the service's own where that has all of it; else the service's own, and why."""

from __future__ import annotations

import os
import sys
import tarfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest
import trio
from environment_kit import Said, write_wheel
from jail_kit import make_jail

from preview.environments import EnvironmentCache, EnvironmentRequest, Jail
from preview.environments.folders.layout import Layout
from preview.environments.imports.scan import Wanted
from preview.environments.manifests.stated import StatedPython, find_stated
from preview.environments.python import choosing
from preview.environments.python.install import Installation
from preview.environments.python.refusals import Refusals
from preview.environments.python.trial import objection
from preview.environments.requirements.requirements import ProjectRequirement, RequirementSet
from preview.environments.sandbox.installed import Installed
from preview.environments.sandbox.interpreter import PythonInterpreter
from preview.environments.store import eviction
from preview.environments.store.eviction import evict
from preview.errors import EnvironmentFailed
from preview.runtime import child_subreaper
from preview.settings import Settings, load_settings
from preview.sources import Sources

LIMIT_S = 60
OWN = ".".join(map(str, sys.version_info[:3]))
# The same program under another version: what is decided is seen on every machine, whatever is installed there.
NEWER = f"3.{sys.version_info[1] + 1}.99"
GONE = "wave"
SHORT = f"Python 3.{sys.version_info[1] + 1}"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(cache_dir=tmp_path / "cache", data_dir=tmp_path / "data")


@pytest.fixture
async def jail(settings: Settings) -> AsyncIterator[Jail]:
    with child_subreaper():
        yield await make_jail(settings)


@pytest.fixture
def root(settings: Settings) -> Path:
    return settings.cache_dir / "environments"


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture(autouse=True)
def newer(monkeypatch: pytest.MonkeyPatch) -> None:
    modules = frozenset(sys.stdlib_module_names) - {GONE}

    async def find_newer() -> Installed:
        return Installed(PythonInterpreter(sys.executable, NEWER, f"{NEWER} here"), modules)

    monkeypatch.setattr(choosing, "find_newer", find_newer)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all there is of an index."""
    folder = tmp_path / "index"
    folder.mkdir()
    (tmp_path / "simple").mkdir()
    monkeypatch.setenv("UV_DEFAULT_INDEX", (tmp_path / "simple").as_uri())
    monkeypatch.delenv("UV_INDEX_URL", raising=False)
    monkeypatch.delenv("UV_EXTRA_INDEX_URL", raising=False)
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    write_wheel(folder, "uvicorn", "99.0")
    return folder


MakeRequest = Callable[..., EnvironmentRequest]


@pytest.fixture
def make_request(tmp_path: Path) -> MakeRequest:
    def make(*lines: str, main: str = "", manifest: str = "") -> EnvironmentRequest:
        project = tmp_path / "project"
        project.mkdir(exist_ok=True)
        (project / "main.py").write_text(main)
        (project / "requirements.txt").write_text("\n".join(lines) + "\n")
        if manifest:
            (project / "pyproject.toml").write_text(manifest)
        return EnvironmentRequest(project, entry="main.py")

    return make


async def python_of(settings: Settings, jail: Jail, request: EnvironmentRequest, said: Said) -> str:
    """The version that the environment is of."""
    with trio.fail_after(LIMIT_S):
        async with EnvironmentCache(settings, jail).open_environment(request, said) as environment:
            text = (environment.directory / "preview.json").read_text()
    return NEWER if NEWER in text else OWN


PythonWith = Callable[[str], Awaitable[str]]


@pytest.fixture
def python_with(settings: Settings, jail: Jail, index: Path, make_request: MakeRequest, said: Said) -> PythonWith:
    """Finds the Python of a project that requires a package that requires the named one."""

    async def find(name: str) -> str:
        write_wheel(index, "needs_it", requires=(name,))
        return await python_of(settings, jail, make_request("needs_it"), said)

    return find


_BACKEND = """
import zipfile
NAME = {name!r}
FILES = {{
    f"{{NAME}}.py": "",
    f"{{NAME}}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\\nName: {{NAME}}\\nVersion: 1.0\\n",
    f"{{NAME}}-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    f"{{NAME}}-1.0.dist-info/RECORD": "",
}}
def build_wheel(folder, config_settings=None, metadata_directory=None):
    made = f"{{NAME}}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(f"{{folder}}/{{made}}", "w") as archive:
        for file, text in FILES.items():
            archive.writestr(file, text)
    return made
"""


def write_sdist(folder: Path, name: str) -> None:
    """A package that has to be built."""
    source = folder / f"{name}-1.0"
    source.mkdir()
    (source / "PKG-INFO").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    (source / "backend.py").write_text(_BACKEND.format(name=name))
    with tarfile.open(folder / f"{name}-1.0.tar.gz", "w:gz") as archive:
        archive.add(source, source.name)


def those_in(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.glob(pattern))


async def test_a_project_that_is_had_in_it_gets_the_newer_python(
    settings: Settings, jail: Jail, index: Path, make_request: MakeRequest, said: Said
) -> None:
    write_wheel(index, "shop")
    assert await python_of(settings, jail, make_request("shop==1.0", main="import json"), said) == NEWER
    assert "Using Python" not in said.text
    # What the installer said of it is told.
    assert "shop==1.0" in said.text


@pytest.mark.long
async def test_a_package_that_would_have_to_be_built_keeps_the_own_python(
    settings: Settings, jail: Jail, index: Path, make_request: MakeRequest, said: Said
) -> None:
    write_sdist(index, "shop")
    assert await python_of(settings, jail, make_request("shop==1.0"), said) == OWN
    assert (
        f"Using Python {OWN} instead of {NEWER}: shop==1.0 (requirements.txt line 1) has no wheel for it" in said.text
    )
    assert "error" not in said.text


@pytest.mark.long
async def test_what_is_not_to_be_had_there_is_tried_once(
    settings: Settings, jail: Jail, root: Path, index: Path, make_request: MakeRequest, said: Said
) -> None:
    write_sdist(index, "shop")
    request = make_request("shop==1.0")
    assert await python_of(settings, jail, request, said) == OWN
    [refusal] = those_in(root, "*.refused")
    before = refusal.stat()
    again = Said()
    assert await python_of(settings, jail, request, again) == OWN
    assert f"Using Python {OWN}" in again.text
    assert refusal.stat().st_mtime_ns == before.st_mtime_ns
    assert len(those_in(root, "[0-9a-f]" * 32)) == 1
    assert not those_in(root, ".*")


@pytest.mark.long
async def test_many_launches_at_once_of_what_is_refused_all_get_the_own_python(
    settings: Settings, jail: Jail, index: Path, make_request: MakeRequest
) -> None:
    write_sdist(index, "shop")
    request, cache = make_request("shop==1.0"), EnvironmentCache(settings, jail)
    found: list[str] = []

    async def launch() -> None:
        async with cache.open_environment(request, Said()) as environment:
            found.append((environment.directory / "preview.json").read_text())

    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(launch)
    assert len(found) == 5
    assert not any(NEWER in one for one in found)


async def test_a_module_that_newer_ones_do_not_have_keeps_the_own_python(
    settings: Settings, jail: Jail, root: Path, index: Path, make_request: MakeRequest, said: Said
) -> None:
    assert await python_of(settings, jail, make_request("uvicorn", main=f"import {GONE}"), said) == OWN
    assert f'Using Python {OWN} instead of {NEWER}: it imports "{GONE}", which newer ones do not have' in said.text
    assert not those_in(root, "*.refused")


async def test_a_module_that_it_can_do_without_does_not(
    settings: Settings, jail: Jail, index: Path, make_request: MakeRequest, said: Said
) -> None:
    main = f"try:\n    import {GONE}\nexcept ImportError:\n    {GONE} = None\n"
    assert await python_of(settings, jail, make_request("uvicorn", main=main), said) == NEWER


async def test_a_package_that_uses_what_newer_ones_lack_keeps_the_own_python(
    settings: Settings, jail: Jail, index: Path, make_request: MakeRequest, said: Said
) -> None:
    uses = "import imp\n" if sys.version_info < (3, 12) else "from collections import Mapping\n"
    write_wheel(index, "shop", more={"shop/old.py": uses})
    assert await python_of(settings, jail, make_request("shop==1.0"), said) == OWN
    assert f"Using Python {OWN} instead of {NEWER}: shop uses " in said.text
    # What the installer said of the trial is not told as well.
    assert said.text.count("Resolved ") == 1


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "minors", "is_taken"),
    [
        ("shop", (9, sys.version_info[1]), False),
        ("shop", (8,), False),
        ("shop", (sys.version_info[1], sys.version_info[1] + 1), True),
        ("shop", (), True),
        ("sortedcontainers", (8,), True),
    ],
    ids=["own only", "older", "both", "nothing", "well known"],
)
async def test_a_package_that_names_versions_and_not_the_newer_keeps_the_own_python(
    index: Path, python_with: PythonWith, said: Said, name: str, minors: tuple[int, ...], is_taken: bool
) -> None:
    listed = "".join(f"Classifier: Programming Language :: Python :: 3.{minor}\n" for minor in minors)
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{listed}"
    write_wheel(index, name, more={f"{name}-1.0.dist-info/METADATA": metadata})
    assert await python_with(name) == (NEWER if is_taken else OWN)
    assert (f"{name} 1.0 does not say that it runs on {SHORT}" in said.text) is not is_taken


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "version", "is_taken"),
    [("six", "1.15.0", False), ("six", "1.16.0", True), ("typing_extensions", "4.5.0", False)],
)
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="they run on neither")
async def test_a_version_that_is_known_to_fail_there_keeps_the_own_python(
    index: Path, python_with: PythonWith, name: str, version: str, is_taken: bool
) -> None:
    write_wheel(index, name, version)
    assert await python_with(name) == (NEWER if is_taken else OWN)


@pytest.mark.parametrize(
    ("marker", "is_taken"),
    [
        (f"python_version < '3.{sys.version_info[1] + 1}'", False),
        (f"python_full_version >= '{NEWER}'", False),
        ("nothing == 'known'", False),
        ("python_version >= '3.8'", True),
        ("sys_platform == 'win32'", True),
    ],
)
def test_a_line_that_applies_in_one_of_them_alone_speaks_against_the_newer(marker: str, is_taken: bool) -> None:
    text = f"shop==1.0 ; {marker}"
    item = ProjectRequirement(text, "shop", frozenset(), True, "requirements.txt line 1", text)
    found = objection(RequirementSet((item,)), frozenset(), frozenset(), NEWER, OWN)
    assert (found is None) is is_taken
    assert is_taken or (found or "").endswith("(requirements.txt line 1) is for some versions of Python only")


@pytest.mark.long
@pytest.mark.parametrize(
    ("text", "is_taken"),
    [
        ("import configparser\nx = configparser.SafeConfigParser()\n", False),
        ("import imp\n", False),
        ("# configparser.SafeConfigParser\n", True),
        ("try:\n    import imp\nexcept ImportError:\n    imp = None\n", True),
    ],
    ids=["attribute", "module", "comment", "guarded"],
)
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="the own Python does not have it either")
async def test_what_any_file_of_the_project_uses_counts(
    settings: Settings,
    jail: Jail,
    index: Path,
    make_request: MakeRequest,
    said: Said,
    text: str,
    is_taken: bool,
) -> None:
    request = make_request("uvicorn")
    (request.project / "plugins").mkdir()
    (request.project / "plugins" / "one.py").write_text(text)
    assert await python_of(settings, jail, request, said) == (NEWER if is_taken else OWN)
    assert (f"instead of {NEWER}: plugins/one.py uses " in said.text) is not is_taken


async def test_an_environment_of_the_own_python_that_is_there_is_used(
    settings: Settings, jail: Jail, index: Path, make_request: MakeRequest, said: Said
) -> None:
    request = make_request("uvicorn")
    own = settings.model_copy(update={"environment_python": "own"})
    assert await python_of(own, jail, request, said) == OWN
    assert await python_of(settings, jail, request, said) == OWN
    assert "Using Python" not in said.text


async def test_what_is_named_after_the_environment_was_built_counts_at_the_next_launch(
    settings: Settings, jail: Jail, index: Path, make_request: MakeRequest, said: Said
) -> None:
    request, cache = make_request("uvicorn"), EnvironmentCache(settings, jail)
    keys = [await cache.key_of(request)]
    (request.project / ".python-version").write_text(f"3.{sys.version_info[1]}\n")
    keys.append(await cache.key_of(request))
    (request.project / ".python-version").unlink()
    keys.append(await cache.key_of(request))
    assert keys[0] == keys[2] != keys[1]


@pytest.mark.long
async def test_the_key_is_that_of_what_is_opened_also_after_a_refusal(
    settings: Settings, jail: Jail, index: Path, make_request: MakeRequest, said: Said
) -> None:
    write_sdist(index, "shop")
    request, cache = make_request("shop==1.0"), EnvironmentCache(settings, jail)
    before = await cache.key_of(request)
    async with cache.open_environment(request, said) as environment:
        assert environment.key != before
        assert await cache.key_of(request) == environment.key


async def test_without_a_sandbox_nothing_is_shared_and_the_own_python_taken(
    settings: Settings, index: Path, make_request: MakeRequest, said: Said
) -> None:
    async with EnvironmentCache(settings).open_environment(make_request("uvicorn"), said) as environment:
        assert environment.language == f"Python {OWN}"


@pytest.mark.long
async def test_a_range_means_what_it_would_in_the_own_python(
    settings: Settings, jail: Jail, index: Path, make_request: MakeRequest, said: Said
) -> None:
    write_wheel(index, "shop", "0.9")
    write_sdist(index, "shop")
    async with EnvironmentCache(settings, jail).open_environment(make_request("shop"), said) as environment:
        assert environment.language == f"Python {OWN}"
    assert "shop==1.0" in said.text


@pytest.mark.long
async def test_a_trial_that_takes_too_long_gives_way(
    settings: Settings, jail: Jail, index: Path, make_request: MakeRequest, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Installation.run

    async def hangs(self: Installation, wanted: Sequence[Wanted]) -> None:
        if self._is_trial:
            await trio.sleep_forever()
        await real(self, wanted)

    monkeypatch.setattr(Installation, "run", hangs)
    short = settings.model_copy(update={"environment_build_timeout_s": 10})
    assert await python_of(short, jail, make_request("uvicorn"), said) == OWN
    assert f"instead of {NEWER}: it was not ready within 5 s" in said.text


@pytest.mark.parametrize(
    ("requires", "expected"),
    [(f">={OWN}", NEWER), (f"<3.{sys.version_info[1] + 1}", OWN), ("", NEWER)],
    ids=["both", "own only", "nothing"],
)
async def test_what_the_project_says_of_its_python_decides(
    settings: Settings, jail: Jail, index: Path, make_request: MakeRequest, said: Said, requires: str, expected: str
) -> None:
    manifest = f'[project]\nname = "x"\nversion = "1"\nrequires-python = "{requires}"\n' if requires else ""
    assert await python_of(settings, jail, make_request("uvicorn", manifest=manifest), said) == expected
    assert "instead of" not in said.text


@pytest.mark.long
@pytest.mark.parametrize(
    ("file", "text"),
    [
        (".python-version", "3.{minor}.4\n"),
        (".python-version", "cpython-3.{minor}\n"),
        ("runtime.txt", "python-3.{minor}.9"),
        (".tool-versions", "nodejs 20.1.0\npython 3.{minor}.4\n"),
        ("Dockerfile", "FROM node:20 AS page\nRUN true\nFROM --platform=linux/amd64 python:3.{minor}-slim AS base\n"),
        ("Dockerfile", "from ghcr.io/astral-sh/uv:python3.{minor}-bookworm\n"),
        ("Dockerfile", "ARG PYTHON_VERSION=3.{minor}.4\nFROM python:${{PYTHON_VERSION}}-slim as base\n"),
        ("docker/Dockerfile", "  FROM python:3.{minor}\n"),
        ("mise.toml", '[tools]\npython = "3.{minor}"\n'),
        ("environment.yml", "name: shop\ndependencies:\n  - python=3.{minor}\n"),
    ],
)
async def test_a_python_that_is_named_anywhere_is_not_gone_beyond(
    settings: Settings, jail: Jail, index: Path, make_request: MakeRequest, said: Said, file: str, text: str
) -> None:
    request = make_request("uvicorn")
    place = request.project / file
    place.parent.mkdir(exist_ok=True)
    place.write_text(text.format(minor=sys.version_info[1] + 1))
    assert await python_of(settings, jail, request, said) == NEWER
    place.write_text(text.format(minor=sys.version_info[1]))
    assert await python_of(settings, jail, request, said) == OWN
    assert f"instead of {NEWER}: {file} names 3.{sys.version_info[1]}" in said.text


async def test_what_names_no_version_says_nothing(
    settings: Settings, jail: Jail, index: Path, make_request: MakeRequest, said: Said
) -> None:
    request = make_request("uvicorn")
    (request.project / "Dockerfile").write_text("FROM python:latest\nRUN pip install x==3.8\n")
    (request.project / ".python-version").write_text("shop\n")
    assert await python_of(settings, jail, request, said) == NEWER


async def test_what_is_nearest_to_the_application_names_its_python(tmp_path: Path) -> None:
    (tmp_path / "backend" / "app").mkdir(parents=True)
    (tmp_path / "backend" / "app" / "main.py").write_text("")
    (tmp_path / "Dockerfile").write_text("FROM python:3.9\n")
    sources = Sources(tmp_path)
    assert find_stated(sources, "backend/app/main.py") == StatedPython(9, "Dockerfile")
    (tmp_path / "backend" / "Dockerfile").write_text("FROM python:3.10\nFROM python:3.13\n")
    assert find_stated(Sources(tmp_path), "backend/app/main.py") == StatedPython(10, "backend/Dockerfile")
    assert find_stated(Sources(tmp_path), "main.py") == StatedPython(9, "Dockerfile")


async def test_pins_that_install_on_newer_pythons_and_fail_there_keep_the_own_one(
    settings: Settings, jail: Jail, index: Path, make_request: MakeRequest, said: Said
) -> None:
    write_wheel(index, "requests", "2.20.0")
    write_wheel(index, "requests", "2.25.1")
    await python_of(settings, jail, make_request("requests==2.20.0"), said)
    assert f"instead of {NEWER}: requests==2.20.0 (requirements.txt line 1) does not run on Python {NEWER}" in said.text


@pytest.mark.long
@pytest.mark.parametrize("configured", ["own", sys.executable])
async def test_a_configured_python_is_taken_without_trial(
    settings: Settings, jail: Jail, index: Path, make_request: MakeRequest, said: Said, configured: str
) -> None:
    chosen = settings.model_copy(update={"environment_python": configured})
    assert await python_of(chosen, jail, make_request("uvicorn"), said) == OWN
    assert "Using Python" not in said.text


async def test_a_project_whose_imports_are_not_known_gets_the_own_python(
    settings: Settings, jail: Jail, index: Path, make_request: MakeRequest, said: Said
) -> None:
    request = EnvironmentRequest(make_request("uvicorn").project)
    assert await python_of(settings, jail, request, said) == OWN
    assert "Using Python" not in said.text


async def test_the_own_python_as_it_is_configured_gives_way_to_one_that_the_project_wants(
    settings: Settings, jail: Jail, index: Path, make_request: MakeRequest, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def find_any(requires: str) -> PythonInterpreter:
        return PythonInterpreter(sys.executable, NEWER, f"{NEWER} for {requires}")

    monkeypatch.setattr(choosing, "_find_any", find_any)
    own = settings.model_copy(update={"environment_python": "own"})
    manifest = f'[project]\nname = "x"\nversion = "1"\nrequires-python = ">={NEWER}"\n'
    assert await python_of(own, jail, make_request("uvicorn", manifest=manifest), said) == NEWER
    assert f"Using Python {NEWER}: the project requires >={NEWER}" in said.text


@pytest.mark.long
async def test_requirements_that_contradict_each_other_are_for_the_own_python_to_mend(
    settings: Settings, jail: Jail, index: Path, make_request: MakeRequest, said: Said
) -> None:
    write_wheel(index, "shop")
    write_wheel(index, "till", requires=("shop<1",))
    assert await python_of(settings, jail, make_request("shop==1.0", "till==1.0"), said) == OWN
    assert f"instead of {NEWER}: its requirements contradict each other" in said.text


async def test_the_log_says_which_python_it_is(
    settings: Settings, jail: Jail, index: Path, make_request: MakeRequest, said: Said
) -> None:
    async with EnvironmentCache(settings, jail).open_environment(make_request("uvicorn"), said) as environment:
        assert environment.said == f"environment ready in {environment.elapsed_s:.2f} s (built, Python {NEWER})"


async def test_an_error_that_is_not_the_python_s_is_told_of_the_own_one_too(
    settings: Settings, jail: Jail, root: Path, index: Path, make_request: MakeRequest, said: Said
) -> None:
    with pytest.raises(EnvironmentFailed, match="fastapi"):
        await python_of(settings, jail, make_request("fastapi==1.0", "uvicorn"), said)
    assert not those_in(root, ".*")


async def test_a_network_that_was_down_is_forgotten_soon(tmp_path: Path, mock_clock: trio.testing.MockClock) -> None:
    refusals = Refusals(Layout(tmp_path))
    assert refusals.note("a" * 32, EnvironmentFailed("no network", reason="network"))
    assert refusals.why("a" * 32) == "something that it requires could not be fetched for it"
    mock_clock.jump(61)
    assert refusals.why("a" * 32) is None
    assert not those_in(tmp_path, "*")


async def test_a_full_disk_is_no_reason_for_another_python(tmp_path: Path) -> None:
    refusals = Refusals(Layout(tmp_path))
    for reason in ("disk", "timeout"):
        assert not refusals.note("a" * 32, EnvironmentFailed("full", reason=reason))
    assert refusals.why("a" * 32) is None


async def test_what_cannot_be_written_down_is_remembered_for_a_while(tmp_path: Path) -> None:
    refusals = Refusals(Layout(tmp_path / "nothing"))
    for number in range(300):
        assert refusals.note(f"{number:032x}", EnvironmentFailed("no", reason="no_version"))
    assert refusals.why(f"{299:032x}") == "something that it requires is not available for it"
    assert refusals.why(f"{0:032x}") is None
    assert not those_in(tmp_path, "*")


@pytest.mark.parametrize("reason", ["network", "build", "other", "memory", "offline", "slow", None])
async def test_what_may_be_better_in_a_moment_is_not_written_down(tmp_path: Path, reason: str | None) -> None:
    refusals = Refusals(Layout(tmp_path))
    assert refusals.note("a" * 32, EnvironmentFailed("no", reason=reason))
    assert refusals.why("a" * 32)
    assert not those_in(tmp_path, "*")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", None),
        (b"\xff\xfe\x00", None),
        (b"one\nline", "one line"),
        (b"x" * 10_000, "x" * 1024),
        (b"\x1b[31mred", None),
    ],
    ids=["empty", "garbage", "lines", "long", "escapes"],
)
async def test_a_refusal_that_somebody_else_wrote_does_no_harm(tmp_path: Path, content: bytes, why: str | None) -> None:
    layout = Layout(tmp_path)
    layout.refusal("a" * 32).write_bytes(content)
    assert Refusals(layout).why("a" * 32) == why


async def test_what_is_no_file_is_no_refusal(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    (tmp_path / "elsewhere").write_text("secret")
    layout.refusal("a" * 32).symlink_to(tmp_path / "elsewhere")
    layout.refusal("b" * 32).mkdir()
    os.mkfifo(layout.refusal("c" * 32))
    assert [Refusals(layout).why(key * 32) for key in "abc"] == [None, None, None]


async def test_of_too_many_refusals_the_oldest_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eviction, "_MOST_REFUSED", 2)
    layout = Layout(tmp_path)
    for hours, key in enumerate("abcd"):
        layout.refusal(key * 32).write_text("why")
        os.utime(layout.refusal(key * 32), (time.time() - hours * 3600,) * 2)
    evict(layout, max_age_s=1e9, max_bytes=1 << 40)
    assert [path.name[0] for path in those_in(tmp_path, "*.refused")] == ["a", "b"]


async def test_a_refusal_is_forgotten_after_a_week(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    old, new = layout.refusal("a" * 32), layout.refusal("b" * 32)
    for path, days in ((old, 8), (new, 6)):
        path.write_text("why")
        os.utime(path, (time.time() - days * 24 * 3600,) * 2)
    assert evict(layout, max_age_s=1e9, max_bytes=1 << 40) == 0
    assert (old.exists(), new.exists()) == (False, True)
