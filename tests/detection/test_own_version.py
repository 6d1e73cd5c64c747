"""A program that asks for its own version finds it, though the project is not installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from detection_kit import FASTAPI, plan_of

ASKS = 'from importlib.metadata import version\nVERSION = version("my-shop")\n'
PYPROJECT = '[project]\nname = "my-shop"\nversion = "1.4.2"\ndependencies = ["fastapi"]\n'


@pytest.mark.parametrize(
    ("files", "version"),
    [
        ({"pyproject.toml": PYPROJECT}, "1.4.2"),
        ({"pyproject.toml": PYPROJECT.replace("my-shop", "My_Shop").replace('version = "1.4.2"', "")}, "0.0.0"),
        ({"setup.py": "from setuptools import setup\nsetup(\n    name='my-shop',\n    version='2.0',\n)\n"}, "2.0"),
        ({"README.md": "# my-shop\n\nA shop.\n"}, "0.0.0"),
        ({"setup.cfg": "[metadata]\nname = my-shop\nversion = 3.1\n"}, "3.1"),
    ],
)
def test_the_project_s_metadata_are_written_where_it_asks(tmp_path: Path, files: dict[str, str], version: str) -> None:
    plan = plan_of(tmp_path, {"main.py": ASKS + FASTAPI, "requirements.txt": "fastapi\n", **files})
    step = next(one for one in plan.steps if one.name == "version")
    assert step.why == "main.py:2 asks for the project's own version"
    subprocess.run([sys.executable, *step.argv[1:]], cwd=tmp_path / step.directory, check=True)
    said = subprocess.run(
        [sys.executable, "-c", ASKS + "print(VERSION)"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert said.stdout.strip() == version


@pytest.mark.parametrize(
    "text",
    [
        'from importlib.metadata import version\nversion("fastapi")\n',
        'def version(name): ...\nversion("my-shop")\n',
        'import pkg_resources\npkg_resources.get_distribution("../my-shop")\n',
    ],
)
def test_other_versions_are_not_written(tmp_path: Path, text: str) -> None:
    plan = plan_of(tmp_path, {"main.py": text + FASTAPI, "pyproject.toml": PYPROJECT})
    assert "version" not in [one.name for one in plan.steps]


@pytest.mark.parametrize("asked", ["__name__", "__package__", '__name__.split(".")[0]'])
def test_a_package_that_asks_by_its_own_name_finds_it(tmp_path: Path, asked: str) -> None:
    asks = f"import importlib.metadata\nVERSION = importlib.metadata.version({asked})\n"
    files = {"my_shop/__init__.py": asks, "main.py": "import my_shop\n" + FASTAPI, "pyproject.toml": PYPROJECT}
    plan = plan_of(tmp_path, files)
    step = next(one for one in plan.steps if one.name == "version")
    assert step.why == "my_shop/__init__.py:2 asks for the project's own version"
    subprocess.run([sys.executable, *step.argv[1:]], cwd=tmp_path / step.directory, check=True)
    subprocess.run([sys.executable, "-c", "import my_shop"], cwd=tmp_path, check=True)


def test_a_name_of_another_package_is_none(tmp_path: Path) -> None:
    asks = "import importlib.metadata\nVERSION = importlib.metadata.version(__name__)\n"
    plan = plan_of(tmp_path, {"other/__init__.py": asks, "main.py": FASTAPI, "pyproject.toml": PYPROJECT})
    assert "version" not in [one.name for one in plan.steps]
