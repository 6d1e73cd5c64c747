"""A compose file gives demanded variables their values."""

from __future__ import annotations

from pathlib import Path

import pytest
from detection_kit import plan_of

FASTAPI = "from fastapi import FastAPI\napp = FastAPI()\n"
READ = 'import os\nx = os.environ["COLOUR"]\n'


def colour(folder: Path, *lines: str, **files: str) -> str | None:
    body = "".join(f"      {line}\n" for line in lines)
    compose = f"services:\n  web:\n    build: .\n    environment:\n{body}"
    found = plan_of(folder, {"main.py": READ + FASTAPI, "docker-compose.yml": compose, **files}).variables.get("COLOUR")
    return None if found is None else found.value


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("- COLOUR=blue", "blue"),
        ('COLOUR: "blue"', "blue"),
        ("COLOUR: blue # of the sea", "blue"),
        ("COLOUR: ${SHADE:-blue}", "blue"),
        ("COLOUR: ${SHADE}", "preview"),
        ("COLOUR: $SHADE", "preview"),
        ("COLOUR: changeme", "preview"),
        ("COLOUR: http://colours:8000", "preview"),
        ("COLOUR: [blue]", "preview"),
    ],
)
def test_a_demanded_variable_gets_the_constant_of_the_compose_file(tmp_path: Path, line: str, value: str) -> None:
    assert colour(tmp_path, line) == value


def test_the_example_comes_before_the_compose_file_and_this_before_the_readme(tmp_path: Path) -> None:
    block = "```\nCOLOUR=green\n```\n"
    assert colour(tmp_path, "- COLOUR=blue", **{"README.md": block}) == "blue"
    assert colour(tmp_path, "- COLOUR=blue", **{"README.md": block, ".env.example": "COLOUR=red\n"}) == "red"


def test_what_nobody_demands_stays_as_it_was(tmp_path: Path) -> None:
    assert (
        colour(
            tmp_path,
            "- COLOUR=blue",
            **{"main.py": READ.replace('environ["COLOUR"]', "getenv('COLOUR', 'a')") + FASTAPI},
        )
        is None
    )
