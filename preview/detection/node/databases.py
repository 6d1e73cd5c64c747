"""Find database steps of a Node project: Prisma's client, and migrations on SQLite."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from preview.detection.node.compiler import package_version
from preview.detection.node.project import NodeProject
from preview.detection.plan import TYPEORM_TABLES, Origin, ServiceKind, Step, Variable
from preview.sources.node_files import resolve_script_file
from preview.sources.written_commands import written_commands

PROVIDERS: Final = {
    "postgres": ServiceKind.POSTGRESQL,
    "postgresql": ServiceKind.POSTGRESQL,
    "cockroachdb": ServiceKind.POSTGRESQL,
    "mysql": ServiceKind.MYSQL,
    "mongodb": ServiceKind.MONGODB,
}
"""Services by Prisma's ``provider``."""
_SCHEMAS: Final = (
    "prisma/schema.prisma", "schema.prisma", "src/prisma/schema.prisma", "prisma/schema/schema.prisma",
    "db/schema.prisma", "src/db/schema.prisma", "database/schema.prisma",
)  # fmt: skip
_DATASOURCE: Final = re.compile(r"datasource\s+\w+\s*\{([^}]*)\}")
# With the brace: a field is often called `type`.
_DECLARED: Final = re.compile(r"^[ \t]{0,8}(?:model|enum|type|view)[ \t]{1,8}(\w{1,100})[ \t]{0,8}\{", re.MULTILINE)
_FOLDERS: Final = "prismaSchemaFolder"
_FOLDERS_FROM: Final = (6, 7)
# The major without a declaration.
_PRISMA: Final = 7
_PROVIDER: Final = re.compile(r"provider\s*=\s*\[?\s*\"([^\"]+)\"")
_URL: Final = re.compile(r"\burl\s*=\s*env\(\s*\"([^\"]+)\"\s*\)")
_CONFIGURED: Final = re.compile(r"\burl\s*:\s*(?:env\(\s*['\"]|process\.env\.|process\.env\[['\"])(\w+)")
_GIVEN_SOURCE: Final = re.compile(r"\btypeorm\b[^&|;]{0,200}?\s(?:-d|--dataSource)[= ]\s{0,4}([\w./-]{1,200})")
_OUTPUT: Final = re.compile(r"^\s{0,20}output\s{0,20}=\s{0,4}\"", re.MULTILINE)
_CONFIG_FILE: Final = re.compile(r"(?:^|/)prisma[\w.-]{0,40}\.config\.[cm]?[jt]s$")
_MOST_SCHEMAS: Final = 3
_DATA_SOURCE: Final = re.compile(r"\bnew\s+DataSource\s*\(")
# Not one that a function makes, such as a provider of NestJS: TypeORM's command cannot import that.
_OF_A_MODULE: Final = re.compile(
    r"^(?:export\s+default|module\.exports\s*=|exports\.\w{1,80}\s*=|(?:export\s+)?(?:const|let|var)\s+\w{1,80}[^=\n]{0,80}=)"
    r"\s{1,8}new\s+DataSource\b",
    re.MULTILINE,
)
# These sources migrate their tables themselves, unless the line is commented out.
_MIGRATES: Final = re.compile(
    r"^(?![ \t]{0,60}(?://|/?\*))[^\n]{0,400}?"
    r"(?:\b(?:migrationsRun|synchronize)\s*:\s*true\b|\.(?:runMigrations|synchronize)\s*\()",
    re.MULTILINE,
)
# The hook in Node's programs reads it (mikro.cjs).
_MIKRO: Final = "PREVIEW_MIKRO_ORM"
# Sequelize makes the tables of its models when the program starts.
_SYNCS: Final = re.compile(r"\b(?:sequelize|db|connection|database)\w{0,20}\.sync\s*\(", re.IGNORECASE)
_MIGRATION: Final = re.compile(r"migrations?/.*\.[cm]?[jt]s$")
_SQLITE: Final = re.compile(r"sqlite3?|better-sqlite3|\bsqljs\b")
_SERVER: Final = re.compile(r"['\"](?:pg|postgres\w*|mysql2?|mariadb)['\"]|\bDATABASE_URL\b")
_DIRECT: Final = re.compile(r"\bdirectUrl\s*=\s*env\(\s*\"(\w{1,100})\"\s*\)")


@dataclass(frozen=True, slots=True)
class DatabaseWork:
    """Database steps before the start.

    Attributes:
        requirements: Packages to install for the steps.
        variables: Variables of the steps and the application.
        provider: Prisma's kind of database; None without Prisma.
        setting: The variable from which Prisma reads the database's address.
        direct: The variable with the address for migrations.
        schema: Prisma's schema, relative to the project.
        where: File and line of the provider: ``prisma/schema.prisma:2``.
    """

    steps: tuple[Step, ...] = ()
    requirements: tuple[str, ...] = ()
    variables: tuple[Variable, ...] = ()
    provider: str | None = None
    setting: str | None = None
    direct: str | None = None
    schema: str | None = None
    where: str = ""


def find_database_work(
    project: NodeProject,
    runner: Sequence[str] = (),
    server: ServiceKind | None = None,
    kinds: frozenset[ServiceKind] = frozenset(),
) -> DatabaseWork:
    """Return the steps of Prisma's client and tables, or the migrations of sequelize, knex or TypeORM.

    Args:
        project: The project.
        runner: Arguments of Node that load its sources.
        server: The supplied SQL server that the project wants, or None.
        kinds: Kinds of servers that the preview gets.
    """
    schema = _schema(project)
    if schema is not None:
        return _prisma(project, schema, kinds)
    step = _sequelize(project, server) or _knex(project, server) or _typeorm(project, runner, server)
    if step is None and _lacks_tables(project, server):
        return DatabaseWork(variables=(Variable(TYPEORM_TABLES, "1", Origin.SUPPLIED),))
    if step is None and server is ServiceKind.POSTGRESQL and project.requires("@mikro-orm/core"):
        return DatabaseWork(variables=(Variable(_MIKRO, "1", Origin.SUPPLIED),))
    return DatabaseWork((step,) if step else ())


def _schema(project: NodeProject) -> str | None:
    if not project.requires("prisma", "@prisma/client"):
        return None
    named = project.package.data.get("prisma")
    wanted = named.get("schema") if isinstance(named, dict) else None
    found = project.find(*([wanted.removeprefix("./")] if isinstance(wanted, str) else []), *_SCHEMAS)
    if found is not None:
        return found
    names = [name for name in project.sources.all_names if name.endswith(".prisma")]
    return next((name for name in names if _DATASOURCE.search(project.text(name))), None)


def _whole(project: NodeProject, schema: str) -> str:
    """Return the folder of a schema in several files, of which one names the database; else the file itself."""
    folder = posixpath.dirname(schema)
    parts = [name for name in project.sources.all_names if name.endswith(".prisma") and name.startswith(f"{folder}/")]
    others = [name for name in parts if name != schema]
    is_one = bool(folder) and bool(others) and not any(_DATASOURCE.search(project.text(name)) for name in others)
    if not is_one or not _reads_folders(project, schema):
        return schema
    declared = [name for part in parts for name in _DECLARED.findall(project.text(part))]
    # Parts that a tool has put together into the one file would count twice.
    return folder if len(set(declared)) == len(declared) else schema


def _reads_folders(project: NodeProject, schema: str) -> bool:
    """Return whether this Prisma reads folders; before version 6.7, only if the schema asks for that."""
    name = "prisma" if project.range_of("prisma") else "@prisma/client"
    return _FOLDERS in project.text(schema) or package_version(project, name, _PRISMA) >= _FOLDERS_FROM


def _prisma(project: NodeProject, schema: str, kinds: frozenset[ServiceKind]) -> DatabaseWork:
    # Ignore lines that are commented out.
    text = re.sub(r"^[ \t]*//.*$", "", project.text(schema), flags=re.MULTILINE)
    source = _DATASOURCE.search(text)
    provider = _PROVIDER.search(source[1]) if source else None
    setting = (_URL.search(source[1]) if source else None) or _configured_url(project)
    kind = provider[1] if provider else "postgresql"
    file = project.relative(_whole(project, schema))
    steps = [
        Step(
            "prisma generate",
            ("preview-prisma", file),
            project.folder,
            f"the sources import the client that Prisma generates from {schema}",
        )
    ]
    variables: tuple[Variable, ...] = ()
    if kind == "sqlite":
        steps.append(_prisma_tables(project, schema, ("--schema", file), "SQLite"))
        if setting:
            # Prisma resolves relative paths against the schema, so only an absolute path is the same everywhere.
            variables = (Variable(setting[1], "file:{database_path}", Origin.MADE_UP, schema),)
    elif PROVIDERS.get(kind) in kinds:
        steps.append(_prisma_tables(project, schema, ("--schema", file), str(PROVIDERS[kind])))
    for other in _other_schemas(project, schema):
        steps += _prisma_beside(project, other, kinds)
    direct = _DIRECT.search(source[1]) if source else None
    at = source.start(1) + provider.start() if source and provider else 0
    where = f"{schema}:{text.count(chr(10), 0, at) + 1}"
    client = project.range_of("@prisma/client")
    requirements = () if project.requires("prisma") else (f"prisma@{client or 'latest'}",)
    return DatabaseWork(
        tuple(steps), requirements, variables, kind, setting[1] if setting else None, direct[1] if direct else None,
        schema, where,
    )  # fmt: skip


def _other_schemas(project: NodeProject, schema: str) -> list[str]:
    """Return the schemas of further databases: each names its database and has a client of its own."""
    whole = _whole(project, schema)
    names = [name for name in project.sources.all_names if name.endswith(".prisma") and name != schema]
    if project.folder != ".":
        names = [name for name in names if name.startswith(f"{project.folder}/")]
    texts = {name: project.text(name) for name in names if not name.startswith(f"{whole}/")}
    return [one for one, text in texts.items() if _DATASOURCE.search(text) and _OUTPUT.search(text)][:_MOST_SCHEMAS]


def _prisma_beside(project: NodeProject, schema: str, kinds: frozenset[ServiceKind]) -> list[Step]:
    """Return the steps of a further schema: its client, and its tables if the preview gets a server of its kind."""
    file = project.relative(schema)
    why = f"the sources import the client that Prisma generates from {schema}"
    steps = [Step("prisma generate", ("preview-prisma", file), project.folder, why)]
    source = _DATASOURCE.search(project.text(schema))
    provider = _PROVIDER.search(source[1]) if source else None
    kind = PROVIDERS.get(provider[1]) if provider else None
    if kind in kinds:
        # Since Prisma 7, the address is in a config file, and each database has its own.
        configs = (name for name in project.sources.all_names if _CONFIG_FILE.search(name))
        config = next((project.relative(name) for name in configs if file in project.text(name)), None)
        place = ("--schema", file) if config is None else ("--config", config)
        steps.append(_prisma_tables(project, schema, place, str(kind)))
    return steps


def _configured_url(project: NodeProject) -> re.Match[str] | None:
    """Match the variable of the database's address in the config file, where it is since Prisma 7."""
    config = project.find("prisma.config.ts", "prisma.config.js", "prisma.config.mjs", ".config/prisma.ts")
    return _CONFIGURED.search(project.text(config)) if config is not None else None


def _prisma_tables(project: NodeProject, schema: str, place: tuple[str, str], database: str) -> Step:
    """Return the step of the migrations, or of the tables; ``place`` is the option that names schema or config."""
    folder = posixpath.dirname(schema)
    # Those of a schema in a folder of its own are often beside that.
    is_folder = folder != "" and place == ("--schema", project.relative(folder))
    folders = [folder, *([posixpath.dirname(folder)] if is_folder else [])]
    prefixes = [f"{one}/migrations/" if one else "migrations/" for one in folders]
    names = [name for name in project.sources.all_names if name.endswith("migration.sql")]
    prefix = next((one for one in prefixes if any(name.startswith(one) for name in names)), None)
    if prefix is not None:
        return Step(
            "migrations",
            ("prisma", "migrate", "deploy", *place),
            project.folder,
            f"{prefix} has migrations and the database is {database}",
        )
    return Step(
        "tables",
        ("prisma", "db", "push", *place, "--accept-data-loss"),
        project.folder,
        f"{schema} describes tables, there are no migrations, and the database is {database}",
    )


def _sequelize(project: NodeProject, server: ServiceKind | None) -> Step | None:
    if not project.requires("sequelize-cli") or not (server or project.requires("sqlite3", "better-sqlite3")):
        return None
    settings = project.find("config/config.json", "config/config.js", "src/config/config.json", ".sequelizerc",
                            "config/database.js", "src/config/database.js")  # fmt: skip
    if settings is None or not _has_migrations(project):
        return None
    if not settings.endswith(".sequelizerc") and not _is_usable(project.text(settings), server):
        return None
    # Migrations that nothing names are often older than the models, and `sync` keeps the tables that are there.
    if any(_SYNCS.search(project.text(name)) for name in project.reached) and not _says(project, "db:migrate"):
        return None
    return Step("migrations", ("sequelize", "db:migrate"), project.folder, f"{settings} uses {server or 'SQLite'}")


def _says(project: NodeProject, command: str) -> bool:
    """Return True if a script of package.json, the README or a file like it names the command."""
    written = any(command in one.words for one in written_commands(project.sources))
    return written or any(command in text for text in project.package.scripts.values())


def _is_usable(text: str, server: ServiceKind | None) -> bool:
    """Return true if a file names SQLite, or a server that the preview gets."""
    return _SQLITE.search(text) is not None or (server is not None and _SERVER.search(text) is not None)


def _knex(project: NodeProject, server: ServiceKind | None) -> Step | None:
    file = project.find("knexfile.js", "knexfile.ts", "knexfile.cjs", "knexfile.mjs")
    if file is None or not project.requires("knex") or not _has_migrations(project):
        return None
    if not _is_usable(project.text(file), server):
        return None
    return Step("migrations", ("knex", "migrate:latest"), project.folder, f"{file} uses {server or 'SQLite'}")


def _typeorm(project: NodeProject, runner: Sequence[str], server: ServiceKind | None) -> Step | None:
    if not project.requires("typeorm") or not (server or project.requires("sqlite3", "better-sqlite3", "sql.js")):
        return None
    if not _has_migrations(project) or any(_MIGRATES.search(project.text(name)) for name in project.reached):
        return None
    # TypeORM's command line needs a file that exports one data source.
    named = _named_data_sources(project)
    found = [name for name in project.by_reach if _is_data_source(project.text(name))]
    sources = sorted(found, key=lambda name: (name not in named, _OF_A_MODULE.search(project.text(name)) is None))
    # Its own file may leave the kind of database to another one.
    file = next((name for name in sources if name in named or _is_usable(project.text(name), server)), None)
    if file is None:
        return None
    cli = posixpath.join(posixpath.relpath(project.root, project.folder), "node_modules/typeorm/cli.js")
    argv = ("node", "--preserve-symlinks-main", *runner, posixpath.normpath(cli), "migration:run", "-d",
            project.relative(file))  # fmt: skip
    return Step("migrations", argv, project.folder, f"{file} names migrations and uses {server or 'SQLite'}")


def _lacks_tables(project: NodeProject, server: ServiceKind | None) -> bool:
    """Return True if TypeORM's entities are on the preview's own server, and nothing of the project makes tables."""
    if server is None or not project.requires("typeorm") or _has_migrations(project):
        return False
    return not any(_MIGRATES.search(project.text(name)) for name in project.reached)


def _named_data_sources(project: NodeProject) -> set[str]:
    """Return the files that scripts give TypeORM (``-d dist/data-source.js``); of a built one, its source."""
    names = (match[1] for script in project.package.scripts.values() for match in _GIVEN_SOURCE.finditer(script))
    found = (resolve_script_file(project.sources, project.folder, name) for name in names)
    return {name for name in found if name is not None}


def _is_data_source(text: str) -> bool:
    found = _DATA_SOURCE.search(text)
    return (
        found is not None
        and re.search(r"\bmigrations\s*:", text) is not None
        and re.search(r"\bexport\b|\bexports\b", text) is not None
        and _MIGRATES.search(text) is None
    )


def _has_migrations(project: NodeProject) -> bool:
    return any(_MIGRATION.search(name) for name in project.scripts)
