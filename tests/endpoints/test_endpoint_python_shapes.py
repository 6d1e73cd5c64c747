"""Small projects of eight frameworks; `benchmarks/route_tables.py` takes their routes from the running applications."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from preview.detection import detect
from preview.endpoints import extract

SHAPES = Path(__file__).parent / "shapes"
NAMES = sorted(str(file.relative_to(SHAPES)) for file in SHAPES.rglob("*.txt"))


def lay(folder: Path, name: str) -> tuple[str, list[str]]:
    """Write the files of one text; return its application and its true routes."""
    head, *parts = (SHAPES / name).read_text().split("\n--- ")
    files = {file: body for file, _, body in (part.partition("\n") for part in parts)}
    routes = files.pop("routes").split("\n")
    for file, body in files.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body + "\n")
    return head.partition(":")[2].strip(), [line for line in routes if line]


def shape(route: str) -> str:
    return re.sub(r"\{[^}]*(?:\{[^}]*\}[^}]*)?\}", "{}", route)


@pytest.mark.parametrize("name", NAMES)
def test_exactly_the_routes_of_the_running_application_are_read(tmp_path: Path, name: str) -> None:
    _, routes = lay(tmp_path, name)
    found = extract(tmp_path)
    read = {f"{item.method} {item.path}" for item in found.endpoints if item.method not in {"HEAD", "OPTIONS"}}
    assert {shape(route) for route in read} == {shape(route) for route in routes}
    assert found.complete, found.unread
    assert found.target is not None
    assert found.target.framework.removesuffix("-asgi") == name.partition("/")[0]


@pytest.mark.parametrize("name", NAMES)
def test_each_route_names_a_line_of_its_file(tmp_path: Path, name: str) -> None:
    lay(tmp_path, name)
    for item in extract(tmp_path).endpoints:
        assert item.file is not None
        assert item.line is not None
        lines = (tmp_path / item.file).read_text().splitlines()
        assert re.search(r"def |lambda|add_|route|class |\(r|url|get\(", lines[item.line - 1])


# Nothing in these projects starts a server.
WITHOUT_START = {"aiohttp/classes.txt", "tornado/later.txt", "tornado/rules.txt"}


@pytest.mark.parametrize("name", sorted({*NAMES} - WITHOUT_START))
def test_the_plan_names_the_framework(tmp_path: Path, name: str) -> None:
    lay(tmp_path, name)
    assert detect(tmp_path).framework.removesuffix("-asgi") == name.partition("/")[0]


def test_there_are_five_projects_of_each_framework() -> None:
    frameworks = [name.partition("/")[0] for name in NAMES]
    known = {"aiohttp", "blacksheep", "bottle", "falcon", "litestar", "quart", "sanic", "tornado"}
    assert {framework for framework in frameworks if frameworks.count(framework) >= 5} == known
