"""A statement's span has no values, however the program has written the statement."""

from __future__ import annotations

import pytest
from psycopg import sql

from preview.runtime.launchers import preview_control

preview_control.load_beside("preview_trace", "tracing")
work = preview_control.load_beside("preview_trace_work", "tracing")


class Whole(sql.SQL):
    """A project's own kind of text."""


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        (sql.SQL("select 1 where a = {}").format(sql.Literal("s3cret")), "select 1 where a = %s"),
        (sql.SQL("select 1 where a = {}").format("s3cret"), "select 1 where a = %s"),
        (
            sql.SQL("{} where {} = {}").format(
                sql.SQL("delete from {}").format(sql.Identifier("shop", "books")),
                sql.Identifier("a"),
                sql.SQL(", ").join([sql.Literal("s3cret"), sql.Placeholder(), sql.Literal(77)]),
            ),
            'delete from "shop"."books" where "a" = %s, %s, %s',
        ),
        (sql.Literal("s3cret"), "%s"),
        (Whole("select 's3cret'"), "<Whole>"),
        (b"select 1", "select 1"),
    ],
)
def test_values_of_psycopg_are_not_in_the_text(statement: object, text: str) -> None:
    assert work.sql_work(statement)._detail == text
