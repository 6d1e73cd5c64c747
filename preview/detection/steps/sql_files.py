"""Load the SQL files that a project's compose file or README loads into a new database."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from preview.detection.plan import TYPEORM_TABLES, ServiceKind, StartPlan, Step
from preview.detection.steps.purpose import INIT
from preview.sources import Sources
from preview.sources.written_documents import runnable_code

_COMPOSE: Final = re.compile(r"(?:docker-)?compose[\w.-]{0,40}\.ya?ml")
_README: Final = re.compile(r"(?:readme|install|setup|getting[-_]?started)[\w.-]{0,20}", re.IGNORECASE)
# `- ./db/init:/docker-entrypoint-initdb.d`: the images of PostgreSQL and MySQL run these files, in order of names.
_MOUNTED: Final = re.compile(r"([\w./-]{1,200}):/docker-entrypoint-initdb\.d(?:/[\w.-]{0,100})?/?")
_COMMAND: Final = re.compile(
    r"\b(?P<program>psql|mysql|mariadb)\b[^\n|]{0,200}?(?:<|-f|--file[= ]|\bsource)\s{0,4}[\"']?"
    r"(?P<file>[\w./-]{1,200}\.sql)\b"
)
# Files that a project with plain SQL has for its tables, where nothing names them.
_USUAL: Final = frozenset({"schema.sql", "init.sql", "database.sql", "db.sql", "setup.sql", "tables.sql", "create.sql"})
# Changes of tables, tests, and copies of a database.
_OTHER: Final = re.compile(
    r"(?:^|[/_.-])(?:migra\w*|tests?|backups?|dumps?|old|drop|example\w*)(?:[/_.-]|$)", re.IGNORECASE
)
_FLYWAY: Final = re.compile(r"V(\d{1,9}(?:[._]\d{1,9}){0,5})__[\w.-]{1,200}\.sql")
# Migrations of golang-migrate (`0001_init.up.sql`), and those of dbmate and goose, which hold both ways in one file.
_UP: Final = re.compile(r"\d{1,20}_[\w.-]{1,200}\.up\.sql")
_MARKED: Final = re.compile(rb"^-- ?(?:migrate:up|\+goose Up)\b", re.MULTILINE)
_NUMBERED: Final = re.compile(r"\d{1,20}[_-][\w.-]{1,200}\.sql")
_DOWN: Final = re.compile(rb"^-- ?(?:migrate:down|\+goose Down)\b", re.MULTILINE)
_ASIDE: Final = re.compile(r"(?:^|/)(?:tests?|testdata|fixtures|examples?)/", re.IGNORECASE)
# A program that reads such files runs them itself.
_READS_THEM: Final = re.compile(rb"\.up\.sql|migrate:up|\+goose")
_CUT: Final = r"""for file; do sed '/^-- \{0,1\}\(migrate:down\|+goose Down\)/,$d' "$file"; echo ';'; done | """
_MOST_READ: Final = 40
_TABLE: Final = re.compile(rb"\bCREATE\s{1,20}TABLE\b", re.IGNORECASE)
_MAKES_TABLES: Final = frozenset({"migrations", "tables", "makemigrations"})
_PROGRAMS: Final = {"psql": ServiceKind.POSTGRESQL, "mysql": ServiceKind.MYSQL, "mariadb": ServiceKind.MYSQL}
_COMMANDS: Final = {
    ServiceKind.POSTGRESQL: ("psql", "-q", "-h", "localhost", "-U", "preview", "-d", "preview"),
    # `--force`: `CREATE DATABASE` and `USE` are refused, and the rest is for the preview's own database.
    ServiceKind.MYSQL: ("mariadb", "--force", "-h", "127.0.0.1", "-u", "preview", "preview"),
}
# An option of TypeORM
_SYNCHRONIZES: Final = re.compile(rb"\bsynchronize\s{0,4}:\s{0,4}true\b")
_GUESSED: Final = "it makes tables, and nothing else does"
_MOST: Final = 10
_MOST_LOADED: Final = 60
_MOST_BYTES: Final = 256 * 1024


def with_sql_files(plan: StartPlan, sources: Sources) -> StartPlan:
    """Return the plan with a step that loads the SQL files, in order; unchanged if no SQL server is supplied."""
    kind = next((need.kind for need in plan.services if need.supplied and need.kind in _COMMANDS), None)
    if kind is None:
        return plan
    mounted = list(_mounted(sources))
    is_made = any(step.name in _MAKES_TABLES or step.argv[0] == "dbmate" for step in plan.steps)
    found = mounted or ([] if is_made else list(_named(sources, kind)))
    if TYPEORM_TABLES in plan.variables or _synchronizes(sources):
        # TypeORM makes the tables of its entities, and cannot change other tables once they have rows.
        found = [one for one in found if one[1] != _GUESSED]
    files = dict(reversed(found))
    if not files:
        return plan
    step = _step(sources, kind, list(dict.fromkeys(file for file, _ in found))[:_MOST_LOADED], files[found[0][0]])
    # Before migrations and seeds, which count on these tables; after what makes files and folders.
    at = next((index for index, step in enumerate(plan.steps) if step.name not in {"folders", ".env"}), len(plan.steps))
    return replace(plan, steps=(*plan.steps[:at], step, *plan.steps[at:]))


def _synchronizes(sources: Sources) -> bool:
    return any(_SYNCHRONIZES.search(sources.text(name)) for name in sources.with_suffix(".ts", ".js"))


def _step(sources: Sources, kind: ServiceKind, files: Sequence[str], why: str) -> Step:
    if any(_DOWN.search(sources.text(file)) for file in files):
        return Step(INIT, ("sh", "-c", _CUT + shlex.join(_COMMANDS[kind]), "sh", *files), ".", why)
    if kind is ServiceKind.POSTGRESQL:
        words = [word for file in files for word in ("-f", file)]
    else:
        # The client reads this command alone on a line; after a semicolon, it sends it to the server.
        words = ["-e", "\n".join(f"source {file}" for file in files)]
    return Step(INIT, (*_COMMANDS[kind], *words), ".", why)


def _mounted(sources: Sources) -> Iterator[tuple[str, str]]:
    for compose in _files(sources, _COMPOSE):
        for match in _MOUNTED.finditer(_text(sources, compose)):
            path = _inside(compose, match[1])
            names = sorted(name for name in sources.all_names if name == path or posixpath.dirname(name) == path)
            yield from ((name, f"{compose} runs it on a new database") for name in names if name.endswith(".sql"))


def _named(sources: Sources, kind: ServiceKind) -> Iterator[tuple[str, str]]:
    """Yield the files that a README loads; else the only file that makes tables."""
    said = False
    for readme in _files(sources, _README):
        for line in runnable_code(_text(sources, readme)):
            for match in _COMMAND.finditer(line):
                path = next((one for one in _places(readme, match["file"]) if sources.has_file(one)), None)
                said = said or path is not None
                if path is not None and _PROGRAMS[match["program"]] is kind:
                    yield path, f"according to {readme}"
    if said:
        return
    versioned = sorted(_versions(sources))
    if versioned:
        yield from ((name, "Flyway's names: they run in order of versions") for _, name in versioned)
        return
    if migrations := _numbered(sources):
        yield from ((name, "migrations in SQL: they run in order of their numbers") for name in migrations)
        return
    files = [name for name in sources.all_names if name.lower().endswith(".sql") and not _OTHER.search(name)][
        :_MOST_READ
    ]
    makers = [name for name in files if _TABLE.search(sources.text(name))]
    usual = [name for name in files if posixpath.basename(name).lower() in _USUAL]
    # A file of a usual name, or the only one that makes tables, whatever its name is.
    chosen = usual if len(usual) == 1 and usual[0] in makers else makers
    if len(chosen) == 1:
        yield chosen[0], _GUESSED


def _versions(sources: Sources) -> Iterator[tuple[tuple[int, ...], str]]:
    """Yield the migrations of the first folder that names them as Flyway does (``V1_2__tables.sql``)."""
    found = [(name, match) for name in sources.all_names if (match := _FLYWAY.fullmatch(posixpath.basename(name)))]
    folder = posixpath.dirname(found[0][0]) if found else ""
    for name, match in found:
        if posixpath.dirname(name) == folder:
            yield tuple(map(int, re.split(r"[._]", match[1]))), name


def _numbered(sources: Sources) -> list[str]:
    """Return the migrations of golang-migrate, dbmate or goose in the first folder that has some, in their order."""
    numbered = (name for name in sources.all_names if _NUMBERED.fullmatch(posixpath.basename(name)))
    files = [name for name in numbered if not _ASIDE.search(name)]
    code = sources.with_suffix(".py", ".js", ".ts", ".mjs") if files else ()
    if any(_READS_THEM.search(sources.text(name)) for name in code):
        return []
    found = [name for name in files if _UP.fullmatch(posixpath.basename(name))]
    found = found or [name for name in files[:_MOST_LOADED] if _MARKED.search(sources.text(name))]
    inside = [name for name in found if posixpath.dirname(name) == posixpath.dirname(found[0])]
    return sorted(inside, key=lambda name: (int(re.split(r"[_-]", posixpath.basename(name))[0]), name))


def _places(readme: str, file: str) -> Iterable[str]:
    """Return where a file may be that a README names: from its own folder, or from the project's."""
    return dict.fromkeys((_inside(readme, file), posixpath.normpath(file)))


def _inside(base: str, path: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(base), path))


def _files(sources: Sources, pattern: re.Pattern[str]) -> list[str]:
    names = [name for name in sources.all_names if pattern.fullmatch(posixpath.basename(name))]
    return sorted(names, key=lambda name: (name.count("/"), name))[:_MOST]


def _text(sources: Sources, name: str) -> str:
    return sources.text(name)[:_MOST_BYTES].decode("utf-8", "replace")
