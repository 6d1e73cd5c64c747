"""A missing table in a program's errors, and the sentence that says which command makes it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preview.detection import Server, StartPlan, Step, Toolchain
from preview.supervisor.diagnosis.missing_tables import explain_missing_table, find_missing_table


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("sqlite3.OperationalError: no such table: notes", "notes"),
        ("SqliteError: no such table: main.todos", "main.todos"),
        ('psycopg2.errors.UndefinedTable: relation "users" does not exist', "users"),
        ("(1146, \"Table 'shop.items' doesn't exist\")", "shop.items"),
        ("The table `main.User` does not exist in the current database.", "main.User"),
        ("no such table", None),
        ("relation does not exist", None),
        ("x" * 2000 + "no such table: notes", None),
    ],
)
def test_the_name_is_read_from_each_databases_words(line: str, name: str | None) -> None:
    assert find_missing_table(["before", line]) == name


@given(st.lists(st.text(max_size=300), max_size=5))
def test_any_lines_are_read(lines: list[str]) -> None:
    assert find_missing_table(lines) is None or any("table" in one.lower() or "relation" in one for one in lines)


def test_the_sentence_names_the_command_that_is_known() -> None:
    plan = StartPlan("django", Toolchain.PYTHON, Server.DJANGO, None)
    assert 'steps = ["python manage.py migrate"]' in explain_missing_table("a", plan)
    step = Step("init", ("flask", "init-db"), ".", "why")
    known = StartPlan("flask", Toolchain.PYTHON, Server.WSGI, None, steps=(step,))
    assert "`flask init-db` makes the tables" in explain_missing_table("a", known)
    assert "no command" in explain_missing_table("a", StartPlan("flask", Toolchain.PYTHON, Server.WSGI, None))
