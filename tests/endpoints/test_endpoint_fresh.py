"""The projects of `benchmarks/fresh`, written before the reader was tried on them, and their own route tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_endpoint_python_shapes import shape

from preview.endpoints import extract

FRESH = Path(__file__).parents[2] / "benchmarks" / "fresh"
TEXTS = sorted(str(file.relative_to(FRESH)) for file in FRESH.glob("*/*.txt"))
FOLDERS = sorted(folder.name for folder in (FRESH / "node").iterdir())


def read(folder: Path) -> set[str]:
    found = extract(folder).endpoints
    return {f"{item.method} {shape(item.path)}" for item in found if item.method not in {"HEAD", "OPTIONS"}}


@pytest.mark.parametrize("name", TEXTS)
def test_python_projects_have_the_routes_of_the_running_application(tmp_path: Path, name: str) -> None:
    _, *parts = (FRESH / name).read_text().split("\n--- ")
    files = {file: body for file, _, body in (part.partition("\n") for part in parts)}
    routes = {shape(line) for line in files.pop("routes").split("\n") if line}
    for file, body in files.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(body + "\n")
    there = read(tmp_path)
    assert routes == there


@pytest.mark.parametrize("name", FOLDERS)
def test_node_projects_have_the_routes_of_the_running_framework(name: str) -> None:
    expected = json.loads((FRESH / "node" / name / "expected.json").read_text())
    wanted = {f"{item['method']} {shape(item['path'])}" for item in expected}
    assert read(FRESH / "node" / name) == {one for one in wanted if not one.startswith(("HEAD ", "OPTIONS "))}
