"""The projects of `benchmarks/second`, `third` and `fourth`, for which no reader was written, and their routes."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_endpoint_python_shapes import shape

from preview.endpoints import extract

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TEXTS = sorted(
    str(file.relative_to(BENCHMARKS))
    for name in ("second", "third", "fourth")
    for file in (BENCHMARKS / name).rglob("*.txt")
)
# What is still read wrongly: routes that are not found, and found ones that the application does not have.
WRONG: dict[str, tuple[set[str], set[str]]] = {
    # An ASGI handler accepts any method; the framework's table of HTTP routes lacks it.
    "second/litestar/clinic.txt": (set(), {"* /raw"}),
    "fourth/litestar/estate.txt": (set(), {"* /estate/raw"}),
}


def unmatched(routes: set[str], others: set[str]) -> set[str]:
    """Return the routes for which the others have none; ``*`` stands for any method."""
    paths: dict[str, set[str]] = {}
    for route in others:
        method, path = route.split(" ", 1)
        paths.setdefault(path, set()).add(method)
    pairs = ((route, *route.split(" ", 1)) for route in routes)
    return {
        route
        for route, method, path in pairs
        if not (paths.get(path, set()) & {method, "*"} or (method == "*" and path in paths))
    }


@pytest.mark.parametrize("name", TEXTS)
def test_the_routes_of_the_running_application_are_read(tmp_path: Path, name: str) -> None:
    _, *parts = (BENCHMARKS / name).read_text().split("\n--- ")
    files = {file: body for file, _, body in (part.partition("\n") for part in parts)}
    routes = {shape(line) for line in files.pop("routes").split("\n") if line}
    for file, body in files.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(body + "\n")
    found = {f"{item.method} {shape(item.path)}" for item in extract(tmp_path).endpoints}
    found = {route for route in found if not route.startswith(("HEAD ", "OPTIONS "))}
    assert (unmatched(routes, found), unmatched(found, routes)) == WRONG.get(name, (set(), set()))
