"""Small projects of Node's frameworks, compared with the tables of the running frameworks.

``benchmarks/node_truth.py`` writes each ``expected.json`` from the real packages.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from preview.endpoints import extract

PROJECTS = Path(__file__).parent / "node_projects"
NAMES = sorted(folder.name for folder in PROJECTS.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_the_endpoints_are_those_of_the_running_framework(name: str) -> None:
    found = extract(PROJECTS / name)
    expected = json.loads((PROJECTS / name / "expected.json").read_text())
    read = {(item.method, item.path) for item in found.endpoints}
    # A framework's table does not tell a HEAD of the project from the one of each GET.
    read -= {("HEAD", path) for method, path in read if method == "GET"}
    assert read == {(item["method"], item["path"]) for item in expected}
    assert found.complete
    assert not found.unread


@pytest.mark.parametrize("name", NAMES)
def test_each_endpoint_names_its_framework_and_its_place(name: str) -> None:
    found = extract(PROJECTS / name)
    assert found.target is not None
    assert found.target.framework == name.partition("-")[0]
    for item in found.endpoints:
        assert item.file is not None
        assert item.line is not None
        assert (PROJECTS / name / item.file).is_file()


def test_there_are_five_projects_of_each_framework() -> None:
    frameworks = [name.partition("-")[0] for name in NAMES]
    assert {name: frameworks.count(name) for name in frameworks} == dict.fromkeys(
        ("elysia", "express", "fastify", "hono", "koa", "nestjs"), 5
    )
