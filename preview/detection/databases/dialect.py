"""Find SQL that only PostgreSQL understands, in a project whose database is SQLite in a preview."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from typing import Final

from preview.detection.databases.sql import ONLY_POSTGRESQL
from preview.detection.facts import Facts
from preview.sources import Sources

_SQL: Final = re.compile(r"\s*(?:SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|WITH|DROP)\b", re.IGNORECASE)
_OWN: Final = re.compile(
    r"::\s*(?:text|int\w*|uuid|jsonb?|date|timestamp\w*|numeric|varchar|float\w*|bigint|bool\w*|regclass)\b"
    r"|\b(?:gen_random_uuid|uuid_generate_v\d|generate_series|to_tsvector|to_tsquery|date_trunc|jsonb_\w+|pg_\w+|now)\s*\("
    r"|\bILIKE\b|\b(?:BIG|SMALL)?SERIAL\b|\bCREATE\s+EXTENSION\b|\bDISTINCT\s+ON\b|\bARRAY\s*\[|\bINTERVAL\s*'"
    r"|\bFOR\s+UPDATE\b|@>|#>>?",
    re.IGNORECASE,
)
# What Alembic and SQLAlchemy refuse on SQLite; `batch_op` makes the table again. SQLite takes the default `now()`, and
# then no row without a value.
_REFUSED: Final = re.compile(
    rb"^[ \t]+op\.(?:drop_constraint|create_(?:foreign_key|unique_constraint|check_constraint|primary_key))\("
    rb"|\bpostgresql\.(?:JSONB|ARRAY|INET|TSVECTOR|HSTORE)\b|\bsa\.ARRAY\(|\bCREATE (?:EXTENSION|TYPE)\b"
    rb"|\bserver_default=(?:sa\.)?text\(\s{0,20}[\"']now\(\)",
    re.MULTILINE,
)
_MOST_MIGRATIONS: Final = 300
_WORDS: Final = (b"::", b"SERIAL", b"serial", b"ILIKE", b"ilike", b"(", b"@>", b"ARRAY")
_MAX_CHARACTERS: Final = 20_000
_MOST: Final = 3


def find_postgresql_sql(sources: Sources, files: Iterable[str], facts: Facts) -> tuple[str, ...]:
    """Return one sentence about the places where the project asks for what SQLite does not have; empty without any."""
    found = [*_types(facts), *_statements(sources, files)]
    if not found:
        return ()
    shown = ", ".join(f"{what} ({where})" for what, where in found[:_MOST]) + (" …" if len(found) > _MOST else "")
    return (f"The database is SQLite here, which does not support {shown}: anything that needs it will fail",)


def refuses_sqlite(sources: Sources) -> bool:
    """Return whether a migration of Alembic changes tables in a way that SQLite lacks, whatever the database is."""
    names = [name for name in sources.names if "/versions/" in f"/{name}"]
    for name in names[:_MOST_MIGRATIONS]:
        text = sources.text(name)
        forward = text.partition(b"def upgrade(")[2].partition(b"def downgrade(")[0]
        # `sa.JSON().with_variant(postgresql.JSONB(), "postgresql")` is JSON on SQLite.
        asks = any(word in forward for word in (b"dialect", b"with_variant"))
        if b"alembic" in text and not asks and _REFUSED.search(forward):
            return True
    return False


def _types(facts: Facts) -> Iterator[tuple[str, str]]:
    for name, where in facts.imports.items():
        module, _, last = name.rpartition(".")
        if module.startswith("sqlalchemy.dialects") and last in ONLY_POSTGRESQL:
            yield f"the type {last}", where
        elif name.startswith("django.contrib.postgres."):
            yield name, where


def _statements(sources: Sources, files: Iterable[str]) -> Iterator[tuple[str, str]]:
    told: set[str] = set()
    for file in files:
        if "/migrations/" in f"/{file}" or not any(word in sources.text(file) for word in _WORDS):
            continue
        for node in sources.nodes(file):
            if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or not _SQL.match(node.value):
                continue
            match = _OWN.search(node.value[:_MAX_CHARACTERS])
            if match is not None and match[0].lower() not in told:
                told.add(match[0].lower())
                line = node.lineno + node.value.count("\n", 0, match.start())
                yield " ".join(match[0].split()).rstrip("( "), f"{file}:{line}"
