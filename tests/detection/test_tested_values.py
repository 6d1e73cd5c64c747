"""A project's tests, workflows and compose files give values to variables of a failed start."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from preview.detection.settings import files_of_tests, values_of_tests
from preview.supervisor.mending.container_values import find_example_values

WORKFLOW = ".github/workflows/ci.yml"


def test_a_workflow_gives_the_constants_of_its_jobs_and_steps() -> None:
    text = """
env:
  SHOP_COLOUR: blue
jobs:
  test:
    env: {SHOP_SIZE: "7", SHOP_TOKEN: "${{ secrets.TOKEN }}", APP_ENV: test, TESTING: "1"}
    services:
      db: {image: "postgres:16", env: {POSTGRES_PASSWORD: hidden}}
    steps:
      - run: |
          echo "SHOP_TASTE=sweet" >> .env
          echo 'SHOP_OTHER=no' > notes.txt
      - run: pytest
        env: {SHOP_LEVEL: high, SHOP_EMPTY: ""}
"""
    wanted = {"SHOP_COLOUR": "blue", "SHOP_SIZE": "7", "SHOP_LEVEL": "high", "SHOP_TASTE": "sweet"}
    assert values_of_tests(WORKFLOW, text) == wanted


def test_gitlab_and_compose_files_give_values() -> None:
    gitlab = "variables:\n  SHOP_COLOUR: {value: blue, description: x}\ntest:\n  variables: {SHOP_SIZE: 7}\n"
    assert values_of_tests(".gitlab-ci.yml", gitlab) == {"SHOP_COLOUR": "blue", "SHOP_SIZE": "7"}
    lines = ("services:", "  web:", "    environment:", "      - SHOP_COLOUR=blue", "      - SHOP_SIZE=${SIZE:-7}")
    compose = "\n".join((*lines, "      - SHOP_X=$X"))
    assert values_of_tests("docker-compose.test.yml", compose) == {"SHOP_COLOUR": "blue", "SHOP_SIZE": "7"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tests/conftest.py", 'import os\nos.environ["SHOP_COLOUR"] = "blue"  # before the import\n'),
        ("conftest.py", "    os.environ.setdefault('SHOP_COLOUR', 'blue')\n"),
        ("conftest.py", '    monkeypatch.setenv("SHOP_COLOUR", "blue")\n'),
        ("jest.setup.js", "process.env.SHOP_COLOUR = 'blue';\n"),
        ("test/setup-env.ts", "process.env['SHOP_COLOUR'] ??= 'blue'\n"),
        ("pytest.ini", "[pytest]\nenv =\n    D:SHOP_COLOUR=blue\n"),
        ("tox.ini", "[testenv]\nsetenv =\n    SHOP_COLOUR = blue\ndeps = pytest\n"),
        ("pyproject.toml", '[tool.pytest.ini_options]\nenv = [\n  "SHOP_COLOUR=blue",\n]\n'),
        ("pyproject.toml", '[tool.pytest_env]\nSHOP_COLOUR = "blue"\n[tool.other]\nSHOP_SIZE = "7"\n'),
    ],
)
def test_tests_give_values(name: str, text: str) -> None:
    assert files_of_tests([name]) == [name]
    assert values_of_tests(name, text) == {"SHOP_COLOUR": "blue"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("conftest.py", '# os.environ["SHOP_COLOUR"] = "blue"\nos.environ["SHOP_SIZE"] = str(7)\n'),
        ("conftest.py", 'os.environ["APP_SETTINGS"] = "shop.config.TestingConfig"\nos.environ["KEY_A"] = "changeme"\n'),
        ("tox.ini", "[testenv]\ndeps =\n    SHOP_COLOUR=blue\n"),
        (WORKFLOW, "env: [\n"),
    ],
)
def test_what_is_no_constant_of_the_application_gives_nothing(name: str, text: str) -> None:
    assert values_of_tests(name, text) == {}


def test_sources_of_the_application_are_not_read() -> None:
    assert files_of_tests(["src/config/env.ts", "setup.js", "app/settings.py", "tests/test_shop.py"]) == []


def test_an_example_comes_first_and_no_link_is_followed(tmp_path: Path) -> None:
    project, outside = tmp_path / "shop", tmp_path / "outside"
    outside.mkdir()
    (outside / "ci.yml").write_text("env: {SHOP_SIZE: 7}")
    (project / ".github" / "workflows").mkdir(parents=True)
    (project / WORKFLOW).write_text("env: {SHOP_COLOUR: red, SHOP_LEVEL: high, REDIS_HOST: redis}")
    (project / ".github" / "workflows" / "link.yml").symlink_to(outside / "ci.yml")
    (project / ".env.example").write_text("SHOP_COLOUR=blue\n")
    wanted = {
        "SHOP_COLOUR": ("blue", ".env.example"),
        "SHOP_LEVEL": ("high", WORKFLOW),
        "REDIS_HOST": ("localhost", WORKFLOW),
    }
    assert find_example_values(project, [".env.example"]) == wanted
    (project / ".github").rename(outside / "github")
    (project / ".github").symlink_to(outside / "github")
    assert set(find_example_values(project, [".env.example"])) == {"SHOP_COLOUR"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            WORKFLOW,
            "a: &a {" + ", ".join(f"S{one}: x" for one in range(9_000)) + "}\nenv: *a\nb:\n" + "- env: *a\n" * 1_500,
        ),
        (
            WORKFLOW,
            "a: &a {" + ", ".join(f"S{one}: x" for one in range(7_000)) + "}\n"
            "b: &b [" + ", ".join(["*a"] * 900) + "]\nc: [" + ", ".join(["*b"] * 900) + "]\n",
        ),
        (WORKFLOW, "echo " * 40_000),
        (WORKFLOW, "a: " + "[" * 60_000),
        ("conftest.py", "os.environ[" * 20_000),
        ("conftest.py", 'os.environ["' + "A" * 200_000),
        ("conftest.py", "\n".join(f'os.environ["A{one}"] = "x"' for one in range(9_999))),
        ("tox.ini", "setenv =\n" + " AB=1\n" * 40_000),
    ],
)
def test_a_hostile_file_gives_few_values_in_little_time(name: str, text: str) -> None:
    began = time.process_time()
    assert len(values_of_tests(name, text[:200_000])) <= 200
    assert time.process_time() - began < 2
