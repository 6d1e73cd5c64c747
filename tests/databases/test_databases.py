"""Backends that need database servers: their sources, and what is found in them (scripts/generated.py runs them)."""

from __future__ import annotations

import ast
import json
import re
import tomllib

import pytest
from generated_kit import DATABASES, FOUND_AS, Expected, load

from preview.detection import ServiceKind, detect

ALL = load(root=DATABASES)
HARD_CODED = [one for one in ALL if one.hard_coded]
SUPPLIED = frozenset({ServiceKind.POSTGRESQL, ServiceKind.MYSQL, ServiceKind.REDIS})
# What a program reads of its surroundings, but for where it listens.
_READS = re.compile(r"environ\b|getenv|BaseSettings|load_dotenv|process\.env\.(?!PORT\b|NODE_ENV\b)")


def test_each_of_twenty_projects_says_what_is_expected_of_it() -> None:
    assert [one.name for one in ALL] == sorted(folder.name for folder in (DATABASES / "projects").iterdir())
    assert (len(ALL), len(HARD_CODED)) == (20, 10)
    for one in ALL:
        assert one.endpoints
        methods = {request["call"].split()[0] for request in one.requests}
        assert methods >= {"GET", "POST", "DELETE"}, one.name
        assert methods & {"PUT", "PATCH"}, one.name


def test_their_files_can_be_read() -> None:
    for file in (DATABASES / "projects").rglob("*"):
        if file.suffix == ".py":
            ast.parse(file.read_bytes(), str(file))
        elif file.suffix == ".json" and file.name != "tsconfig.json":
            json.loads(file.read_bytes())
        elif file.suffix == ".toml":
            tomllib.loads(file.read_text("utf-8"))


@pytest.mark.parametrize("expected", ALL, ids=lambda one: one.name)
def test_the_servers_of_the_preview_are_found_for_it(expected: Expected) -> None:
    plan = detect(expected.folder, supplied=SUPPLIED)
    assert plan.framework in FOUND_AS.get(expected.framework, {expected.framework})
    assert sorted({need.kind for need in plan.services if need.supplied}) == sorted(expected.services)
    assert plan.warnings == ()


@pytest.mark.parametrize("expected", HARD_CODED, ids=lambda one: one.name)
def test_its_addresses_are_fixed_in_its_source(expected: Expected) -> None:
    for one in expected.hard_coded:
        file, _, text = one.partition(": ")
        assert text in (expected.folder / file).read_text("utf-8")
    for path in expected.folder.rglob("*"):
        if path.suffix in {".py", ".js", ".ts"} and path.name not in {"manage.py", "wsgi.py"}:
            assert _READS.search(path.read_text("utf-8")) is None, path
    assert not (expected.folder / ".env.example").exists()
