"""Say so if a program asks its new database for tables that nothing makes."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from preview.detection.plan import ServiceKind, StartPlan
from preview.sources import Sources

_KINDS: Final = frozenset({ServiceKind.POSTGRESQL, ServiceKind.MYSQL})
_STEPS: Final = frozenset({"migrations", "tables", "makemigrations", "init", "seed", "prisma generate"})
_SUFFIXES: Final = (".py", ".js", ".mjs", ".cjs", ".ts", ".mts", ".cts")
# Tests and front ends have SQL of their own.
_ASIDE: Final = re.compile(r"(?:^|/)(?:tests?|__tests__|spec|client|frontend|docs?|examples?)/|\.(?:test|spec)\.")
_ASKS: Final = re.compile(
    rb"(?:\bINSERT\s{1,20}INTO\s{1,20}|\bSELECT\b[^;\"'`]{1,300}?\bFROM\s{1,20})[`\"]?(?P<table>[a-z_]\w{1,60})",
    re.IGNORECASE,
)
# SQL, and calls of libraries that make tables or know them.
_MAKES: Final = re.compile(
    rb"\bCREATE\s{1,20}(?:TABLE|OR\s|TEMP)|\bcreate_all\b|\bcreate_tables?\b|\bcreateTable\b|\.sync\s{0,4}\(|\bsynchronize\b"
    rb"|\bgenerate_schemas\b|\bautomigrate\b|\bmigrat\w{1,10}\b|\binformation_schema\b|\.sql\b",
    re.IGNORECASE,
)
_MOST_FILES: Final = 400


def with_unmade_tables(plan: StartPlan, sources: Sources) -> StartPlan:
    """Return the plan with a warning if its sources ask for tables, and neither they nor a step make any."""
    supplied = any(need.supplied and need.kind in _KINDS for need in plan.services)
    if not supplied or any(step.name in _STEPS for step in plan.steps):
        return plan
    names = [name for name in sources.with_suffix(*_SUFFIXES) if not _ASIDE.search(name)][:_MOST_FILES]
    place = ""
    for name in names:
        text = sources.text(name)
        if _MAKES.search(text):
            return plan
        if not place and (asks := _ASKS.search(text)):
            line = text.count(b"\n", 0, asks.start()) + 1
            place = f"{name}:{line} asks for {asks['table'].decode()}"
    if not place:
        return plan
    sentence = (
        f"nothing in the project makes the tables of its database ({place}): requests that need them fail; add a "
        "schema.sql that makes them, or a step in preview.toml"
    )
    return replace(plan, warnings=(*plan.warnings, sentence))
