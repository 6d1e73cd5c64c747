"""When a project gets an older Python that one of its files names."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest
from environment_kit import Said

from preview.environments.folders.layout import Layout
from preview.environments.manifests.stated import Asked, StatedPython
from preview.environments.python import choosing
from preview.environments.python.choosing import Choice
from preview.environments.requirements.requirements import RequirementSet, parse_requirement
from preview.environments.sandbox.interpreter import PythonInterpreter
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
        "Python 3.8.18 is taken: .python-version names 3.8, and jinja2==2.10 (requirements.txt line 1) does not run on "
        f"Python {platform.python_version()}"
    )


@pytest.mark.parametrize(
    "project",
    [
        asked("jinja2==3.1.2", 8),  # it runs on the usual one
        asked("jinja2==2.10", 9),  # not installed
        asked("jinja2==2.10", 7),  # no preview runs on it
        asked("jinja2==2.10", 8, ">=3.9"),  # the manifest says otherwise
    ],
)
async def test_all_others_keep_the_usual_one(choice: Choice, project: Asked) -> None:
    assert (await choice.recipe(project, Said())).interpreter != OLDER


@pytest.mark.parametrize(
    ("requires", "why"),
    [
        ("==3.7.*", "previews run on 3.8 or newer"),
        (">=3.6,<3.8", "previews run on 3.8 or newer"),
        ("==3.9.18", "which is not installed here"),
        (">=3.99", "which is not installed here"),
    ],
)
async def test_the_reason_for_another_python_is_true(choice: Choice, requires: str, why: str) -> None:
    said = Said()
    await choice.recipe(asked("six", 11, requires), said)
    assert f"The project wants Python {requires} (None), {why}: it is tried with" in said.text
