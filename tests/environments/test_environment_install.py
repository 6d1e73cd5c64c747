from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from environment_kit import Said, use_wheels, wait_for_file, wait_until_gone, write_wheel

from preview.environments import EnvironmentCache, EnvironmentRequest
from preview.environments.sandbox.program import run_program
from preview.errors import EnvironmentFailed
from preview.settings import load_settings

LIMIT_S = 60


@pytest.fixture
def cache(tmp_path: Path) -> EnvironmentCache:
    return EnvironmentCache(load_settings(cache_dir=tmp_path / "cache", data_dir=tmp_path / "data"))


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return use_wheels(tmp_path, monkeypatch)


def project(folder: Path, requirements: str, **files: str) -> EnvironmentRequest:
    folder.mkdir()
    (folder / "requirements.txt").write_text(requirements)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return EnvironmentRequest(folder, server=None, entry="main.py" if "main" in files else None)


async def versions(cache: EnvironmentCache, request: EnvironmentRequest, said: Said) -> dict[str, str]:
    """What is installed, by name."""
    with trio.fail_after(LIMIT_S):
        async with cache.open_environment(request, said) as environment:
            found = environment.directory.glob("lib/*/site-packages/*.dist-info")
            pairs = (path.name.removesuffix(".dist-info").split("-") for path in found)
            return {pair[0]: pair[1] for pair in pairs}


async def test_a_pin_that_is_not_there_is_loosened_and_told_again_when_cached(
    cache: EnvironmentCache, index: Path, tmp_path: Path
) -> None:
    write_wheel(index, "tiny", "1.5")
    request = project(tmp_path / "project", "tiny==1.2\n")
    for _ in range(2):
        said = Said()
        assert await versions(cache, request, said) == {"tiny": "1.5"}
        assert "tiny==1.2 (requirements.txt line 1) is not available for this Python: tiny>=1.2,<2" in said.text


async def test_a_package_that_is_nowhere_is_left_out(cache: EnvironmentCache, index: Path, tmp_path: Path) -> None:
    write_wheel(index, "tiny")
    said = Said()
    assert await versions(cache, project(tmp_path / "project", "tiny\nnosuch==1\n"), said) == {"tiny": "1.0"}
    assert "nosuch==1 (requirements.txt line 2) is not in the package index: it is left out" in said.text


async def test_pins_that_contradict_each_other_are_loosened(
    cache: EnvironmentCache, index: Path, tmp_path: Path
) -> None:
    write_wheel(index, "upper", "1.0", requires=("lower>=1.5",))
    for version in ("1.0", "1.6"):
        write_wheel(index, "lower", version)
    said = Said()
    found = await versions(cache, project(tmp_path / "project", "upper==1.0\nlower==1.0\n"), said)
    assert found == {"upper": "1.0", "lower": "1.6"}, said.text
    assert "lower==1.0 (requirements.txt line 2)" in said.text


async def test_an_import_that_no_manifest_names_is_added(cache: EnvironmentCache, index: Path, tmp_path: Path) -> None:
    for name in ("tiny", "brought", "missing"):
        write_wheel(index, name, requires=("brought",) if name == "tiny" else ())
    said = Said()
    text = "import tiny, brought, json, local_thing\nfrom missing import VERSION\n"
    request = project(tmp_path / "project", "tiny\n", main=text, local_thing="")
    assert await versions(cache, request, said) == {"tiny": "1.0", "brought": "1.0", "missing": "1.0"}
    assert 'missing is added: main.py imports "missing", and no manifest mentions it' in said.text
    assert "brought is added" not in said.text


async def test_an_import_that_the_index_does_not_know_is_told(
    cache: EnvironmentCache, index: Path, tmp_path: Path
) -> None:
    write_wheel(index, "tiny")
    said = Said()
    request = project(tmp_path / "project", "tiny\n", main="import nowhere\n")
    assert await versions(cache, request, said) == {"tiny": "1.0"}
    assert "nowhere (main.py) is not in the package index: it is left out" in said.text


async def test_a_group_says_which_version_of_an_import_is_meant(
    cache: EnvironmentCache, index: Path, tmp_path: Path
) -> None:
    for version in ("1.0", "2.0"):
        write_wheel(index, "helperlib", version)
    write_wheel(index, "fastapi")
    request = project(tmp_path / "project", "fastapi\n", main="import helperlib\n")
    (request.project / "pyproject.toml").write_text('[project]\n[dependency-groups]\ndev = ["helperlib<2"]\n')
    assert (await versions(cache, request, Said()))["helperlib"] == "1.0"


@pytest.mark.parametrize("line", ["./broken", "broken @ file:broken"])
async def test_a_local_package_that_cannot_be_built_is_not_replaced_by_one_of_its_name(
    cache: EnvironmentCache, index: Path, tmp_path: Path, line: str
) -> None:
    write_wheel(index, "tiny")
    write_wheel(index, "broken")  # a stranger's
    request = project(tmp_path / "project", f"tiny\n{line}\n", main="import broken\n")
    (request.project / "broken").mkdir()
    (request.project / "broken" / "pyproject.toml").write_text("[build-system]\nrequires = []\nbuild-backend = 'no'\n")
    with pytest.raises(EnvironmentFailed, match="broken"):
        await versions(cache, request, Said())


async def test_the_code_of_a_package_does_not_see_what_the_installer_was_told(
    cache: EnvironmentCache, index: Path, tmp_path: Path
) -> None:
    write_wheel(index, "tiny")
    request = project(tmp_path / "project", "tiny\n./curious\n")
    (request.project / "curious").mkdir()
    (request.project / "curious" / "pyproject.toml").write_text(
        "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"
    )
    text = f"import os\nopen({str(tmp_path / 'seen')!r}, 'w').write(' '.join(os.environ))\nraise OSError\n"
    (request.project / "curious" / "backend.py").write_text(text)
    with pytest.raises(EnvironmentFailed):
        await versions(cache, request, Said())
    seen = (tmp_path / "seen").read_text().split()
    assert [name for name in seen if name.startswith(("UV_", "PIP_", "PYTHONPATH", "PREVIEW_"))] == []


async def test_older_packages_are_told_with_their_company(cache: EnvironmentCache, index: Path, tmp_path: Path) -> None:
    for version in ("1.0", "2.9"):
        write_wheel(index, "werkzeug", version)
    for name in ("flask", "jinja2", "markupsafe", "setuptools"):
        write_wheel(index, name, requires=("werkzeug",) if name == "flask" else ())
    said = Said()
    found = await versions(cache, project(tmp_path / "project", "flask==1.0\n"), said)
    assert found == {"flask": "1.0", "werkzeug": "1.0", "setuptools": "1.0"}
    assert (
        "flask==1.0 (requirements.txt line 1) is compatible with werkzeug<2.1, setuptools<81, so these are used"
        in said.text
    )


async def test_a_python_that_is_not_there_is_told_and_the_project_tried(
    cache: EnvironmentCache, index: Path, tmp_path: Path
) -> None:
    write_wheel(index, "fastapi")
    (tmp_path / "project").mkdir()
    text = '[project]\nrequires-python = ">=3.99"\ndependencies = ["fastapi"]\n'
    (tmp_path / "project" / "pyproject.toml").write_text(text)
    said = Said()
    assert await versions(cache, EnvironmentRequest(tmp_path / "project", server=None), said) == {"fastapi": "1.0"}
    assert "The project requires Python >=3.99 (pyproject.toml), which is not installed here" in said.text


GUARDED = """
import os, sys, trio
from pathlib import Path
from preview.environments.sandbox.program import run_program
code = "import os, pathlib, time; pathlib.Path(os.environ['FLAG']).write_text(str(os.getpid())); time.sleep(600)"
trio.run(lambda: run_program([sys.executable, "-c", code], environment=dict(os.environ), directory=Path("/")))
"""


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="util-linux is not installed")
async def test_a_program_dies_with_the_service(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    with trio.fail_after(LIMIT_S):
        service = await trio.lowlevel.open_process(
            [sys.executable, "-c", GUARDED], env={**os.environ, "FLAG": str(flag)}, stdout=subprocess.DEVNULL
        )
        try:
            pid = int(await wait_for_file(flag))
        finally:
            service.send_signal(signal.SIGKILL)
            await service.wait()
        await wait_until_gone(pid)


async def test_a_program_that_is_not_there_is_an_error() -> None:
    with pytest.raises(OSError, match="No such file"):
        await run_program(["/nowhere/program"], environment={}, directory=Path("/"))
