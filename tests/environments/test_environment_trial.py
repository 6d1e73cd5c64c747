"""A project gets a newer Python than the service's own where that has all of it; else the service's own, and why."""

from __future__ import annotations

import os
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from environment_kit import Said, write_wheel

from preview.environments import EnvironmentCache, EnvironmentRequest, choosing
from preview.environments.eviction import evict
from preview.environments.installed import Installed
from preview.environments.interpreter import Interpreter
from preview.environments.layout import Layout
from preview.environments.manifests.stated import StatedPython, find_stated
from preview.environments.refusals import Refusals
from preview.errors import EnvironmentFailed
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
def root(settings: Settings) -> Path:
    return settings.cache_dir / "environments"


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture(autouse=True)
def newer(monkeypatch: pytest.MonkeyPatch) -> None:
    modules = frozenset(sys.stdlib_module_names) - {GONE}

    async def find_newer() -> Installed:
        return Installed(Interpreter(sys.executable, NEWER, f"{NEWER} here"), modules)

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


async def python_of(settings: Settings, request: EnvironmentRequest, said: Said) -> str:
    """The version that the environment is of."""
    with trio.fail_after(LIMIT_S):
        async with EnvironmentCache(settings).open_environment(request, said) as environment:
            text = (environment.directory / "preview.json").read_text()
    return NEWER if NEWER in text else OWN


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
    settings: Settings, index: Path, make_request: MakeRequest, said: Said
) -> None:
    write_wheel(index, "shop")
    assert await python_of(settings, make_request("shop==1.0", main="import json"), said) == NEWER
    assert "is taken" not in said.text
    # What the installer said of it is told.
    assert "shop==1.0" in said.text


async def test_a_package_that_would_have_to_be_built_keeps_the_own_python(
    settings: Settings, index: Path, make_request: MakeRequest, said: Said
) -> None:
    write_sdist(index, "shop")
    assert await python_of(settings, make_request("shop==1.0"), said) == OWN
    assert f"Python {OWN} is taken, not {NEWER}: shop==1.0 (requirements.txt line 1) has no wheel for it" in said.text
    assert "error" not in said.text


async def test_what_is_not_to_be_had_there_is_tried_once(
    settings: Settings, root: Path, index: Path, make_request: MakeRequest, said: Said
) -> None:
    write_sdist(index, "shop")
    request = make_request("shop==1.0")
    assert await python_of(settings, request, said) == OWN
    [refusal] = those_in(root, "*.refused")
    before = refusal.stat()
    again = Said()
    assert await python_of(settings, request, again) == OWN
    assert f"Python {OWN} is taken" in again.text
    assert refusal.stat().st_mtime_ns == before.st_mtime_ns
    assert len(those_in(root, "[0-9a-f]" * 32)) == 1
    assert not those_in(root, ".*")


async def test_many_launches_at_once_of_what_is_refused_all_get_the_own_python(
    settings: Settings, index: Path, make_request: MakeRequest
) -> None:
    write_sdist(index, "shop")
    request, cache = make_request("shop==1.0"), EnvironmentCache(settings)
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
    settings: Settings, root: Path, index: Path, make_request: MakeRequest, said: Said
) -> None:
    assert await python_of(settings, make_request("uvicorn", main=f"import {GONE}"), said) == OWN
    assert f'Python {OWN} is taken, not {NEWER}: it imports "{GONE}", which newer ones do not have' in said.text
    assert not those_in(root, "*.refused")


async def test_a_module_that_it_can_do_without_does_not(
    settings: Settings, index: Path, make_request: MakeRequest, said: Said
) -> None:
    main = f"try:\n    import {GONE}\nexcept ImportError:\n    {GONE} = None\n"
    assert await python_of(settings, make_request("uvicorn", main=main), said) == NEWER


async def test_a_package_that_uses_what_newer_ones_lack_keeps_the_own_python(
    settings: Settings, index: Path, make_request: MakeRequest, said: Said
) -> None:
    uses = "import imp\n" if sys.version_info < (3, 12) else "from collections import Mapping\n"
    write_wheel(index, "shop", more={"shop/old.py": uses})
    assert await python_of(settings, make_request("shop==1.0"), said) == OWN
    assert f"Python {OWN} is taken, not {NEWER}: shop uses " in said.text
    # What the installer said of the trial is not told as well.
    assert said.text.count("Resolved ") == 1


@pytest.mark.parametrize(
    ("line", "minors", "is_taken"),
    [
        ("shop==1.0", (sys.version_info[1] - 1, sys.version_info[1]), False),
        ("shop==1.0", (sys.version_info[1], sys.version_info[1] + 1), True),
        ("shop==1.0", (sys.version_info[1] - 1,), True),
        ("shop==1.0", (), True),
        ("shop>=1", (sys.version_info[1],), True),
    ],
    ids=["own only", "both", "neither", "nothing", "not pinned"],
)
async def test_a_pinned_package_that_names_the_own_python_and_not_the_newer_keeps_it(
    settings: Settings,
    index: Path,
    make_request: MakeRequest,
    said: Said,
    line: str,
    minors: tuple[int, ...],
    is_taken: bool,
) -> None:
    listed = "".join(f"Classifier: Programming Language :: Python :: 3.{minor}\n" for minor in minors)
    metadata = f"Metadata-Version: 2.1\nName: shop\nVersion: 1.0\n{listed}"
    write_wheel(index, "shop", more={"shop-1.0.dist-info/METADATA": metadata})
    assert await python_of(settings, make_request(line), said) == (NEWER if is_taken else OWN)
    refused = f"shop==1.0 (requirements.txt line 1) does not say that it runs on {SHORT}"
    assert (refused in said.text) is not is_taken


@pytest.mark.parametrize(
    ("requires", "expected"),
    [(f">={OWN}", NEWER), (f"<3.{sys.version_info[1] + 1}", OWN), ("", NEWER)],
    ids=["both", "own only", "nothing"],
)
async def test_what_the_project_says_of_its_python_decides(
    settings: Settings, index: Path, make_request: MakeRequest, said: Said, requires: str, expected: str
) -> None:
    manifest = f'[project]\nname = "x"\nversion = "1"\nrequires-python = "{requires}"\n' if requires else ""
    assert await python_of(settings, make_request("uvicorn", manifest=manifest), said) == expected
    assert "is taken, not" not in said.text


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (".python-version", "3.{minor}.4\n"),
        (".python-version", "cpython-3.{minor}\n"),
        ("runtime.txt", "python-3.{minor}.9"),
        (".tool-versions", "nodejs 20.1.0\npython 3.{minor}.4\n"),
        ("Dockerfile", "FROM node:20 AS page\nRUN true\nFROM --platform=linux/amd64 python:3.{minor}-slim AS base\n"),
        ("Dockerfile", "from ghcr.io/astral-sh/uv:python3.{minor}-bookworm\n"),
        ("environment.yml", "name: shop\ndependencies:\n  - python=3.{minor}\n"),
    ],
)
async def test_a_python_that_is_named_anywhere_is_not_gone_beyond(
    settings: Settings, index: Path, make_request: MakeRequest, said: Said, file: str, text: str
) -> None:
    request = make_request("uvicorn")
    place = request.project / file
    place.write_text(text.format(minor=sys.version_info[1]))
    assert await python_of(settings, request, said) == OWN
    assert f"not {NEWER}: {file} names 3.{sys.version_info[1]}" in said.text
    place.write_text(text.format(minor=sys.version_info[1] + 1))
    assert await python_of(settings, request, said) == NEWER


async def test_what_names_no_version_says_nothing(
    settings: Settings, index: Path, make_request: MakeRequest, said: Said
) -> None:
    request = make_request("uvicorn")
    (request.project / "Dockerfile").write_text("FROM python:latest\nRUN pip install x==3.8\n")
    (request.project / ".python-version").write_text("shop\n")
    assert await python_of(settings, request, said) == NEWER


async def test_what_is_nearest_to_the_application_names_its_python(tmp_path: Path) -> None:
    (tmp_path / "backend" / "app").mkdir(parents=True)
    (tmp_path / "backend" / "app" / "main.py").write_text("")
    (tmp_path / "Dockerfile").write_text("FROM python:3.9\n")
    sources = Sources(tmp_path)
    assert find_stated(sources, "backend/app/main.py") == StatedPython(9, "Dockerfile")
    (tmp_path / "backend" / "Dockerfile").write_text("FROM python:3.10\nFROM python:3.13\n")
    assert find_stated(Sources(tmp_path), "backend/app/main.py") == StatedPython(13, "backend/Dockerfile")
    assert find_stated(Sources(tmp_path), "main.py") == StatedPython(9, "Dockerfile")


async def test_pins_that_install_on_newer_pythons_and_fail_there_keep_the_own_one(
    settings: Settings, index: Path, make_request: MakeRequest, said: Said
) -> None:
    write_wheel(index, "requests", "2.20.0")
    write_wheel(index, "requests", "2.25.1")
    await python_of(settings, make_request("requests==2.20.0"), said)
    assert f"not {NEWER}: requests==2.20.0 (requirements.txt line 1) does not run on Python {NEWER}" in said.text


@pytest.mark.parametrize("configured", ["own", sys.executable])
async def test_a_configured_python_is_taken_without_trial(
    settings: Settings, index: Path, make_request: MakeRequest, said: Said, configured: str
) -> None:
    chosen = settings.model_copy(update={"environment_python": configured})
    assert await python_of(chosen, make_request("uvicorn"), said) == OWN
    assert "is taken" not in said.text


async def test_a_project_whose_imports_are_not_known_gets_the_own_python(
    settings: Settings, index: Path, make_request: MakeRequest, said: Said
) -> None:
    request = EnvironmentRequest(make_request("uvicorn").project)
    assert await python_of(settings, request, said) == OWN
    assert "is taken" not in said.text


async def test_the_own_python_as_it_is_configured_gives_way_to_one_that_the_project_wants(
    settings: Settings, index: Path, make_request: MakeRequest, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def find_any(requires: str) -> Interpreter:
        return Interpreter(sys.executable, NEWER, f"{NEWER} for {requires}")

    monkeypatch.setattr(choosing, "_find_any", find_any)
    own = settings.model_copy(update={"environment_python": "own"})
    manifest = f'[project]\nname = "x"\nversion = "1"\nrequires-python = ">={NEWER}"\n'
    assert await python_of(own, make_request("uvicorn", manifest=manifest), said) == NEWER
    assert f"Python {NEWER} is taken: the project wants >={NEWER}" in said.text


async def test_requirements_that_contradict_each_other_are_for_the_own_python_to_mend(
    settings: Settings, index: Path, make_request: MakeRequest, said: Said
) -> None:
    write_wheel(index, "shop")
    write_wheel(index, "till", requires=("shop<1",))
    assert await python_of(settings, make_request("shop==1.0", "till==1.0"), said) == OWN
    assert f"not {NEWER}: what it requires contradicts itself as it is written" in said.text


async def test_the_log_says_which_python_it_is(
    settings: Settings, index: Path, make_request: MakeRequest, said: Said
) -> None:
    async with EnvironmentCache(settings).open_environment(make_request("uvicorn"), said) as environment:
        assert environment.said == f"environment ready in {environment.elapsed_s:.2f} s (built, Python {NEWER})"


async def test_an_error_that_is_not_the_python_s_is_told_of_the_own_one_too(
    settings: Settings, root: Path, index: Path, make_request: MakeRequest, said: Said
) -> None:
    with pytest.raises(EnvironmentFailed, match="fastapi"):
        await python_of(settings, make_request("fastapi==1.0", "uvicorn"), said)
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
        assert refusals.note(f"{number:032x}", EnvironmentFailed("no", reason="build"))
    assert refusals.why(f"{299:032x}") == "something that it requires has no wheel for it"
    assert refusals.why(f"{0:032x}") is None


async def test_a_refusal_is_forgotten_after_a_week(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    old, new = layout.refusal("a" * 32), layout.refusal("b" * 32)
    for path, days in ((old, 8), (new, 6)):
        path.write_text("why")
        os.utime(path, (time.time() - days * 24 * 3600,) * 2)
    assert evict(layout, max_age_s=1e9, max_bytes=1 << 40) == 0
    assert (old.exists(), new.exists()) == (False, True)
