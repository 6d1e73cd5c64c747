"""Find the scripts and commands of a Node project that make its tables and fill them."""

from __future__ import annotations

import hashlib
import itertools
import posixpath
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from preview.detection.node.command import NodeCommand
from preview.detection.node.compiler import package_version
from preview.detection.node.project import NodeProject
from preview.detection.plan import ServiceKind, ServiceNeed, Step
from preview.detection.steps.purpose import INIT, SEED, StepWork, in_order, is_literal, is_other, left_out, purpose
from preview.detection.supplied.urls import SCHEMES, own_address
from preview.sources.node_files import resolve_script_file
from preview.sources.node_scripts import Command, managed_script, split_commands
from preview.sources.written_commands import written_commands

_RUNNERS: Final = frozenset({"node", "nodejs", "ts-node", "tsx", "babel-node", "swc-node", "esno", "ts-node-esm"})
_MANAGERS: Final = frozenset({"npm", "yarn", "pnpm", "bun"})
# The plan has the steps of most of these already, where the database is SQLite (``node/databases.py``).
_MIGRATORS: Final = frozenset(
    {"prisma", "knex", "sequelize", "sequelize-cli", "typeorm", "typeorm-ts-node-commonjs", "dbmate"}
)
_LISTENS: Final = re.compile(r"\.listen\s*\(|\bserve\s*\(\s*(?:app|\{)")
# These do not end by themselves, ask a person, or download.
_STAYS: Final = re.compile(r"\bsetInterval\s*\(|\.question\s*\(|\bprompt\s*\(|\bfetch\s*\(\s*[\"'`]http")
# Names of scripts that often do more than one thing; only their commands tell what they do.
_MIXED: Final = ("setup", "init", "prestart", "predev", "prepare:db")
_SQL_SERVERS: Final = frozenset({ServiceKind.POSTGRESQL, ServiceKind.MYSQL, ServiceKind.MONGODB})
_SQLITE: Final = re.compile(r"sqlite|\bturso\b|\blibsql\b")
_SERVER: Final = re.compile(r"['\"](?:pg|postgres(?:ql)?|mysql2?)['\"]")
_TABLES: Final = re.compile(r"(?:sqlite|pg|mysql)Table")
_MAX_DEPTH: Final = 4
# The major of drizzle-kit without a declaration, and the release from which one command is for all databases.
_DRIZZLE_KIT: Final = 0
_DRIZZLE_CONFIGS: Final = ("drizzle.config.ts", "drizzle.config.js", "drizzle.config.mjs", "drizzle.config.json")
_DRIZZLE_CONFIG: Final = re.compile(r"\bdrizzle-kit\s[^&|;]{0,200}?--config[=\s]\s{0,4}['\"]?([\w./-]{1,200})")
_ONE_PUSH: Final = (0, 21)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Turns commands of one project into steps.

    Attributes:
        server: The supplied SQL server that the project uses, or None.
        seen: Scripts that have been read, because scripts may run each other.
    """

    project: NodeProject
    command: NodeCommand
    server: ServiceKind | None = None
    seen: set[str] = field(default_factory=set)

    def script(self, name: str, kind: str | None, depth: int = 0) -> Iterator[Step]:
        """Yield the steps of a script in package.json; ``kind`` is the purpose that its name tells."""
        text = self.project.package.scripts.get(name)
        if text is None or depth > _MAX_DEPTH or name in self.seen:
            return
        self.seen.add(name)
        for words in split_commands(text):
            yield from self.words(words, kind, f'package.json "{name}"', depth)

    def words(self, words: Command, kind: str | None, where: str, depth: int = 0) -> Iterator[Step]:
        """Yield the steps of one command."""
        program, rest = words[0].rpartition("/")[2], words[1:]
        if program == "bun" and self._is_bun_file(words):
            yield from self._file([word for word in rest if word != "run"], kind, where)
        elif program in _MANAGERS:
            found = managed_script(words)
            if found is not None and found[1] == ".":
                yield from self.script(found[0], purpose(found[0]) or kind, depth + 1)
            elif program in {"yarn", "pnpm", "bun"} and rest[:1] == ["prisma"]:
                yield from self.words(rest, kind, where, depth)
        elif program in _RUNNERS:
            yield from self._file(rest, kind, where)
        elif program in _MIGRATORS:
            yield from self._migrator(program, rest, where, depth)

    def _is_bun_file(self, words: Command) -> bool:
        """Return True if Bun runs a file, and no script: ``bun run src/seed.ts``."""
        found = managed_script(words)
        return self.command.is_bun and found is not None and found[0] not in self.project.package.scripts

    def _file(self, rest: Sequence[str], kind: str | None, where: str) -> Iterator[Step]:
        position = next((at for at, word in enumerate(rest) if not word.startswith("-")), None)
        if position is None or not is_literal(rest[position:]):
            return
        project = self.project
        file = resolve_script_file(project.sources, project.folder, rest[position])
        if file is None or file == project.entry.file or _LISTENS.search(text := project.text(file)):
            return
        stem = posixpath.splitext(posixpath.basename(file))[0]
        if stem == "index":
            stem = posixpath.basename(posixpath.dirname(file))
        if is_other(stem) or _STAYS.search(text):
            return
        kind = purpose(stem) or kind
        loader = self._loader(file)
        if kind is not None and loader is not None:
            yield Step(
                kind, (*loader, project.relative(file), *rest[position + 1 :]), project.folder, f"{where} mentions it"
            )

    def _loader(self, file: str) -> tuple[str, ...] | None:
        """Return the command that reads the file's language; None if no installed package does."""
        runner = self.command.runner
        if self.command.is_bun:
            return ("bun",)
        if not file.endswith((".ts", ".mts", ".cts")) or runner:
            return ("node", *runner)
        return next(((name,) for name in ("tsx", "ts-node") if self.project.requires(name)), None)

    def _migrator(self, program: str, rest: Sequence[str], where: str, depth: int) -> Iterator[Step]:
        project = self.project
        if program == "prisma" and list(rest[:2]) == ["db", "seed"]:
            own = project.package.data.get("prisma")
            seed = own.get("seed") if isinstance(own, dict) else None
            if isinstance(seed, str) and depth < _MAX_DEPTH:
                for words in split_commands(seed):
                    yield from self.words(words, SEED, where, depth + 1)
        elif program == "knex" and rest[:1] == ["seed:run"] and is_literal(rest):
            file = project.find("knexfile.js", "knexfile.ts", "knexfile.cjs", "knexfile.mjs")
            is_own = file is not None and (self.server is not None or _SQLITE.search(project.text(file)))
            if is_own and _has_folder(project, "seeds"):
                yield Step(SEED, ("knex", *rest), project.folder, f"{where} mentions it")
        elif program == "dbmate" and project.requires("dbmate"):
            yield from self._dbmate(rest, where)
        elif program.startswith("sequelize") and rest[:1] == ["db:seed:all"] and _has_folder(project, "seeders"):
            yield Step(SEED, ("sequelize", "db:seed:all"), project.folder, f"{where} mentions it")

    def _dbmate(self, rest: Sequence[str], where: str) -> Iterator[Step]:
        """Yield dbmate's migrations, without those words that make a database or need a program of the server's."""
        if self.server not in SCHEMES or not is_literal(rest) or {"up", "migrate"}.isdisjoint(rest):
            return
        options = dict(itertools.pairwise(rest))
        name = options.get("-e") or options.get("--env") or "DATABASE_URL"
        folder = options.get("-d") or options.get("--migrations-dir") or "db/migrations"
        plain = "?sslmode=disable" if self.server is ServiceKind.POSTGRESQL else ""
        url = own_address(self.server, SCHEMES[self.server]) + plain
        argv = ("dbmate", f"--migrations-dir={folder}", "--no-dump-schema", f"--env={name}", "migrate")
        kind = SEED if SEED in folder else INIT
        yield Step(kind, argv, self.project.folder, f"{where} mentions it", variables={name: url})


def find_node_work(
    project: NodeProject,
    command: NodeCommand,
    migrations: Sequence[Step],
    services: Iterable[ServiceNeed],
    kinds: frozenset[ServiceKind] = frozenset(),
) -> StepWork:
    """Return the steps that follow the migrations: commands that make tables, and commands that fill them.

    Args:
        project: The project.
        command: How it is started.
        migrations: The steps before these.
        services: Servers that the project connects to.
        kinds: Kinds of servers that the preview gets.
    """
    services = list(services)
    own = next((need.kind for need in services if need.kind in _SQL_SERVERS and need.kind in kinds), None)
    found = in_order(_found(_Reader(project, command, own)))
    found = tuple(step for step in found if step.argv not in [one.argv for one in migrations])
    server = next((str(need.kind) for need in services if need.kind in _SQL_SERVERS and need.kind not in kinds), None)
    if server is not None:
        return StepWork(decisions=tuple(left_out(step, server) for step in found))
    tables = _drizzle(project, own)
    return StepWork((*([tables] if tables else []), *found))


def _found(reader: _Reader) -> Iterator[Step]:
    scripts = reader.project.package.scripts
    started = reader.command.script
    for name in scripts:
        kind = purpose(name)
        if kind is not None:
            yield from reader.script(name, kind)
    for name in dict.fromkeys((*_MIXED, f"pre{started}", started)):
        yield from reader.script(name, None)
    own = reader.project.package.data.get("prisma")
    if isinstance(own, dict) and own.get("seed"):
        yield from reader.words(["prisma", "db", "seed"], SEED, 'package.json "prisma"')
    for written in written_commands(reader.project.sources):
        for words in split_commands(shlex.join(written.words)):
            if words[0].rpartition("/")[2] in {*_RUNNERS, *_MIGRATORS, *_MANAGERS}:
                yield from reader.words(words, None, written.file)


def _has_folder(project: NodeProject, name: str) -> bool:
    return any(name in file.split("/")[:-1] for file in project.sources.with_suffix(".js", ".ts", ".cjs", ".mjs"))


def _push(project: NodeProject, config: str) -> tuple[str, ...]:
    """Return the command that makes tables; before version 0.21, each kind of database had its own."""
    if package_version(project, "drizzle-kit", _DRIZZLE_KIT) >= _ONE_PUSH:
        return ("push", "--force")
    kind = "sqlite" if _SQLITE.search(config) else "mysql" if "mysql" in config else "pg"
    return (f"push:{kind}",)


def _drizzle_config(project: NodeProject) -> tuple[str, str, tuple[str, ...]] | None:
    """Return drizzle-kit's configuration, the folder that it runs in, and the options that name it there."""
    config = project.find(*_DRIZZLE_CONFIGS)
    if config is not None:
        return config, project.folder, ()
    for script in project.package.scripts.values():
        match = _DRIZZLE_CONFIG.search(script)
        file = project.find(match[1]) if match is not None else None
        if file is not None:
            return file, project.folder, (f"--config={project.relative(file)}",)
    inside = ((member.path(name), member.folder) for member in project.members for name in _DRIZZLE_CONFIGS)
    return next(((file, folder, ()) for file, folder in inside if project.sources.has_file(file)), None)


def _drizzle(project: NodeProject, server: ServiceKind | None) -> Step | None:
    """Return the step that makes Drizzle's tables from its schema, unless the sources do."""
    found = _drizzle_config(project)
    if found is None or not project.requires("drizzle-kit"):
        return None
    config, folder, options = found
    text = project.text(config)
    database = "SQLite" if _SQLITE.search(text) else str(server) if server and _SERVER.search(text) else ""
    if not database:
        return None
    texts = [project.text(name) for name in project.reached]
    if any(re.search(r"\bmigrate\s*\(|CREATE TABLE", text, re.IGNORECASE) for text in texts):
        return None
    schema = "\n".join(project.text(name) for name in project.scripts if _TABLES.search(project.text(name)))
    argv = ("drizzle-kit", *_push(project, text), *options)
    digest = hashlib.sha256(schema.encode()).hexdigest()[:16]
    return Step("tables", argv, folder, f"{config} describes tables, and the database is {database}", inputs=digest)
