"""When a project gets an older Python that one of its files names."""

from __future__ import annotations

import ast
import platform
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from environment_kit import Said

from preview.environments.folders.layout import Layout
from preview.environments.manifests.stated import Asked, StatedPython
from preview.environments.python import choosing
from preview.environments.python.choosing import Choice
from preview.environments.python.recipe import make_recipe
from preview.environments.requirements.requirements import RequirementSet, parse_requirement
from preview.environments.sandbox.interpreter import PythonInterpreter
from preview.environments.sandbox.program import BUILDER
from preview.runtime.launchers.paths import LAUNCHERS
from preview.settings import Settings

OLDER = PythonInterpreter("/python3.8", "3.8.18", "3.8.18 linux /")


@pytest.fixture
def choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Choice:
    async def find(requires: str) -> PythonInterpreter | None:
        return OLDER if requires == "==3.8.*" else None

    monkeypatch.setattr(choosing, "_find_any", find)
    settings = Settings(cache_dir=tmp_path / "cache", data_dir=tmp_path / "data")
    return Choice(settings, Layout(tmp_path), is_held=False)


def asked(line: str, minor: int, requires: str | None = None) -> Asked:
    required = RequirementSet((parse_requirement(line, "requirements.txt line 1"),), requires_python=requires)
    return Asked(required, None, (), frozenset(), StatedPython(minor, ".python-version"))


async def test_pins_that_fail_on_the_usual_python_get_the_one_that_a_file_names(choice: Choice) -> None:
    said = Said()
    recipe = await choice.recipe(asked("jinja2==2.10", 8), said)
    assert recipe.interpreter == OLDER
    assert said.text == (
        "Using Python 3.8.18: .python-version names 3.8, and jinja2==2.10 (requirements.txt line 1) does not run on "
        f"Python {platform.python_version()}"
    )


@pytest.mark.parametrize(
    ("project", "named"),
    [
        (asked("jinja2==2.10", 7), ".python-version names 3.7"),
        (asked("jinja2==2.10", 6), ".python-version names an older one than previews run on"),
        (asked("jinja2==2.10", 11, "==3.6.*"), "its manifest names an older one than previews run on"),
    ],
)
async def test_the_next_newer_python_is_taken_for_one_that_is_not_there(
    choice: Choice, project: Asked, named: str
) -> None:
    said = Said()
    recipe = await choice.recipe(project, said)
    assert recipe.interpreter == OLDER
    assert f"Using Python 3.8.18: {named}, and jinja2==2.10" in said.text


@pytest.mark.parametrize(
    ("version", "server"), [("3.7.16", "waitress>=2,<3"), ("3.8.18", "waitress>=3"), ("3.11.7", "waitress>=3")]
)
def test_the_server_that_is_added_runs_on_the_python(version: str, server: str) -> None:
    project = replace(asked("flask==1.0.2", 7), server="waitress>=3")
    assert make_recipe(project, PythonInterpreter("/python", version, version)).server == server


@pytest.mark.parametrize("minor", [6, 7])
async def test_a_python_that_previews_do_not_run_on_is_passed_over(monkeypatch: pytest.MonkeyPatch, minor: int) -> None:
    found = PythonInterpreter("/python", f"3.{minor}.9", "")

    async def find(_requires: str) -> PythonInterpreter:
        return found

    async def find_none(_minors: object, _requires: str) -> None:
        return None

    monkeypatch.setattr(choosing, "find_other", find)
    monkeypatch.setattr(choosing, "find_installed", find_none)
    assert await choosing._find_any("<3.8") == (found if minor == 7 else None)


@pytest.mark.parametrize(
    "project",
    [
        asked("jinja2==3.1.2", 8),  # it runs on the usual one
        asked("jinja2==2.10", 9),  # not installed
        asked("jinja2==2.10", 8, ">=3.9"),  # the manifest says otherwise
    ],
)
async def test_all_others_keep_the_usual_one(choice: Choice, project: Asked) -> None:
    assert (await choice.recipe(project, Said())).interpreter != OLDER


def test_programs_that_run_in_a_project_s_python_can_be_read_by_the_oldest_one() -> None:
    # The bridge runs on the service's own Python.
    for file in (*LAUNCHERS.glob("*.py"), *BUILDER.glob("*.py")):
        if file.name != "bridge.py":
            ast.parse(file.read_text("utf-8"), feature_version=(3, 7))


@pytest.mark.parametrize("requires", ["==3.8.3", "3.8.3", ">=3.8,<3.8.10"])
async def test_another_release_of_the_required_minor_version_is_taken(choice: Choice, requires: str) -> None:
    said = Said()
    recipe = await choice.recipe(asked("six", 11, requires), said)
    assert recipe.interpreter == OLDER
    assert f"requires Python {requires} (None), which is not installed here: trying with 3.8.18" in said.text


@pytest.mark.parametrize(
    ("requires", "why"),
    [
        ("==3.6.*", "previews run on 3.7 or newer"),
        (">=3.6,<3.8", "which is not installed here"),
        ("==3.9.18", "which is not installed here"),
        (">=3.99", "which is not installed here"),
    ],
)
async def test_the_reason_for_another_python_is_true(choice: Choice, requires: str, why: str) -> None:
    said = Said()
    await choice.recipe(asked("six", 11, requires), said)
    assert f"The project requires Python {requires} (None), {why}: trying with" in said.text


async def test_the_newest_python_below_the_required_one_is_taken(
    choice: Choice, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = sys.version_info.minor + 3
    newer = PythonInterpreter("/python", f"3.{wanted - 2}.4", "")

    async def find(requires: str) -> PythonInterpreter | None:
        return newer if requires == f"==3.{wanted - 2}.*" else None

    monkeypatch.setattr(choosing, "_find_any", find)
    said = Said()
    assert (await choice.recipe(asked("six", 11, f">=3.{wanted}"), said)).interpreter == newer
    assert f"which is not installed here: trying with {newer.version}" in said.text
