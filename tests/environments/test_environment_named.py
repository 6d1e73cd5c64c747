"""A project gets the older Python that one of its files names where only that has all of it as it is written."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest
from environment_kit import Said

from preview.environments.folders.layout import Layout
from preview.environments.manifests.stated import Asked, StatedPython, find_stated
from preview.environments.python import choosing
from preview.environments.python.choosing import Choice
from preview.environments.python.drift import NewestPin, day_of_python
from preview.environments.requirements.requirements import RequirementSet, parse_requirement
from preview.environments.sandbox.installed import Installed
from preview.environments.sandbox.interpreter import PythonInterpreter
from preview.errors import EnvironmentFailed
from preview.settings import Settings
from preview.sources import Sources

OLDER = PythonInterpreter("/python3.8", "3.8.18", "3.8.18 linux /")
OWN = platform.python_version()


@pytest.fixture
def choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Choice:
    async def find(requires: str) -> PythonInterpreter | None:
        return OLDER if requires == "==3.8.*" else None

    async def find_newer() -> Installed | None:
        return None

    monkeypatch.setattr(choosing, "_find_any", find)
    monkeypatch.setattr(choosing, "find_newer", find_newer)
    (tmp_path / "environments").mkdir()
    settings = Settings(cache_dir=tmp_path / "cache", data_dir=tmp_path / "data")
    return Choice(settings, Layout(tmp_path / "environments"), is_held=True)


def asked(stated: StatedPython | None = StatedPython(8, "Dockerfile"), requires: str | None = None) -> Asked:  # noqa: B008
    line = parse_requirement("shop==1.0", "requirements.txt line 1")
    return Asked(RequirementSet((line,), requires_python=requires), None, (), frozenset(), stated)


def failed(reason: str = "build") -> EnvironmentFailed:
    return EnvironmentFailed("no", reason=reason, requirement="shop==1.0", origin="requirements.txt line 1")


async def test_the_own_python_comes_first_and_is_not_loosened_then_the_named_one(choice: Choice) -> None:
    said = Said()
    first = await choice.recipe(asked(), said)
    assert (first.interpreter.version, first.ahead_of, first.trial_builds, said.text) == (OWN, "3.8.18", False, "")
    assert choice.is_refused(first, failed())
    second = await choice.recipe(asked(), said)
    assert (second.interpreter, second.ahead_of, second.trial_builds) == (OLDER, OWN, True)
    assert said.text == (
        f"Using Python 3.8.18 (Dockerfile): with {OWN} shop==1.0 (requirements.txt line 1) has no wheel for it"
    )
    assert choice.is_refused(second, failed("conflict"))
    last = await choice.recipe(asked(), said)
    assert (last.interpreter.version, last.ahead_of) == (OWN, None)
    assert said.lines[-1][0].startswith(f"Using Python {OWN} instead of 3.8.18 (Dockerfile): ")
    assert len({first.key, second.key, last.key}) == 3


def pinned(stated: StatedPython | None = None, requires: str | None = None, line: str = "jinja2==2.10") -> Asked:
    required = RequirementSet((parse_requirement(line, "requirements.txt line 1"),), requires_python=requires)
    return Asked(required, None, (), frozenset(), stated)


async def test_what_cannot_be_built_gets_the_newest_python_on_which_its_pins_work(choice: Choice) -> None:
    said = Said()
    first = await choice.recipe(pinned(), said)
    assert (first.interpreter.version, first.has_older, said.text) == (OWN, True, "")
    assert choice.is_refused(first, failed())
    second = await choice.recipe(pinned(), said)
    assert (second.interpreter, second.ahead_of, second.has_older) == (OLDER, None, False)
    assert said.text == f"Using Python 3.8.18: with {OWN} shop==1.0 (requirements.txt line 1) has no wheel for it"
    assert not choice.is_refused(second, failed())


@pytest.mark.parametrize("reason", ["network", "conflict", "disk", "not_found"])
async def test_no_other_failure_changes_the_python(choice: Choice, reason: str) -> None:
    first = await choice.recipe(pinned(), Said())
    assert not choice.is_refused(first, failed(reason))
    assert (await choice.recipe(pinned(), Said())).interpreter.version == OWN


async def test_the_older_python_s_environment_stays_in_use(choice: Choice, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await choice.recipe(pinned(), Said())
    assert choice.is_refused(first, failed())
    second = await choice.recipe(pinned(), Said())
    choice._refusals._passing.clear()
    assert (await choice.recipe(pinned(), Said())).interpreter.version == OWN
    monkeypatch.setattr(Layout, "is_usable", lambda _, key: key == second.key)
    said = Said()
    assert (await choice.recipe(pinned(), said)).interpreter == OLDER
    assert said.text == "Using Python 3.8.18, as before"
    monkeypatch.setattr(Layout, "is_usable", lambda _, key: key in {first.key, second.key})
    assert (await choice.recipe(pinned(), Said())).interpreter.version == OWN


@pytest.mark.parametrize(
    "project",
    [
        pinned(line="jinja2==3.1.2"),  # it works on the own one
        pinned(requires=">=3.9"),  # the manifest says otherwise
        pinned(StatedPython(sys.version_info.minor, "Dockerfile")),  # a file names another one
    ],
)
async def test_there_is_no_older_python_for_all_others(choice: Choice, project: Asked) -> None:
    recipe = await choice.recipe(project, Said())
    assert not recipe.has_older
    assert not choice.is_refused(recipe, failed())


@pytest.mark.parametrize(
    "project",
    [
        asked(None),
        asked(StatedPython(7, "Dockerfile")),
        asked(StatedPython(6, "Dockerfile")),
        asked(StatedPython(sys.version_info.minor, "Dockerfile")),
        asked(requires=">=3.9"),
    ],
    ids=["none named", "not installed", "too old", "the own one", "excluded by the manifest"],
)
async def test_the_own_python_is_taken_where_no_other_one_is_named(choice: Choice, project: Asked) -> None:
    recipe = await choice.recipe(project, Said())
    assert (recipe.interpreter.version, recipe.ahead_of) == (OWN, None)


@pytest.mark.parametrize(
    ("name", "text", "minor"),
    [
        ("tox.ini", "[tox]\nenvlist = py36,py37, {py38}-django\n\n[testenv]\nbasepython = python3.11\n", 8),
        ("tox.ini", "[tox]\nenvlist =\n    py36\n    lint-py39\nskipsdist = true\n", 9),
        ("pyproject.toml", '[tool.black]\ntarget-version = ["py38"]\n', 8),
        ("pyproject.toml", '[tool.ruff]\ntarget-version = "py39"\n[tool.mypy]\npython_version = "3.10"\n', 10),
        ("ruff.toml", 'target-version = "py310"\n', 10),
        ("setup.py", "a=['Programming Language :: Python :: 3.6', 'Programming Language :: Python :: 3.7']", 7),
        ("setup.cfg", "[mypy]\npython_version = 3.8\n", 8),
    ],
)  # fmt: skip
def test_files_of_tools_are_hints(tmp_path: Path, name: str, text: str, minor: int) -> None:
    (tmp_path / "main.py").write_text("")
    (tmp_path / name).write_text(text)
    assert find_stated(Sources(tmp_path), "main.py") == StatedPython(minor, name, is_hint=True)
    (tmp_path / "runtime.txt").write_text("python-3.9.1\n")
    assert find_stated(Sources(tmp_path), "main.py") == StatedPython(9, "runtime.txt")


def test_a_file_without_versions_is_no_hint(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("")
    (tmp_path / "tox.ini").write_text("[tox]\nenvlist = lint\n" + "envlist=\n" * 20_000)
    (tmp_path / "pyproject.toml").write_text('[tool.ruff]\ntarget-version = ""\n')
    assert find_stated(Sources(tmp_path), "main.py") is None


def test_a_named_python_tells_the_day_of_a_project_without_versions() -> None:
    pin = day_of_python(StatedPython(8, "Dockerfile"))
    assert isinstance(pin, NewestPin)
    assert (str(pin.day), pin.why) == ("2021-10-04", "according to Python 3.8 in Dockerfile")
    assert day_of_python(StatedPython(8, "tox.ini", is_hint=True)) is None
    assert day_of_python(StatedPython(10, "Dockerfile")) is None
