"""The quick walk finds what ``ast.walk`` does."""

from __future__ import annotations

import ast
import sysconfig
from pathlib import Path

import pytest

from preview.sources.repair import FIELDS, below

STANDARD = Path(sysconfig.get_path("stdlib"))
# They say what stands above them, and have nothing below.
LEAVES = (ast.expr_context, ast.operator, ast.boolop, ast.unaryop, ast.cmpop, ast.type_ignore)


@pytest.mark.parametrize(
    "name", ["ast.py", "typing.py", "asyncio/base_events.py", "test/test_patma.py", "http/client.py"]
)
def test_it_finds_all_nodes_but_operators_once(name: str) -> None:
    file = STANDARD / name
    if not file.exists():
        pytest.skip(f"this Python came without {name}")
    tree = ast.parse(file.read_text())
    found = below(tree)
    assert len({id(node) for node in found}) == len(found)
    assert {id(node) for node in found} == {id(node) for node in ast.walk(tree) if not isinstance(node, LEAVES)}


def test_fields_that_hold_nodes_are_known_of_every_kind() -> None:
    assert FIELDS[ast.Call] == ("func", "args", "keywords")
    assert FIELDS[ast.Constant] == ()
    assert FIELDS[ast.Name] == ()
