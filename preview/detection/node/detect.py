"""Make the start plan of a Node project from its files."""

from __future__ import annotations

import contextlib
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from preview.detection.databases.services import SQL_KINDS, kind_of_scheme
from preview.detection.node.address_uses import AddressUse, find_address_uses
from preview.detection.node.build import find_build_work, find_output_step, tell_stand_in, with_own_build
from preview.detection.node.command import find_command
from preview.detection.node.databases import PROVIDERS, DatabaseWork, find_database_work
from preview.detection.node.environment_helpers import helper_reads
from preview.detection.node.environment_reads import environment_reads
from preview.detection.node.project import NodeProject, find_next_project, find_project
from preview.detection.node.runtimes import refuse_runtime
from preview.detection.node.servers import find_servers
from preview.detection.node.services import ADDRESSES, find_services
from preview.detection.node.validated_classes import validated_reads
from preview.detection.node.variables import address_of_another_kind, choose_variables, node_settings
from preview.detection.overrides.given import Overrides
from preview.detection.own_starts import OWN_BUILD
from preview.detection.plan import Origin, Server, ServiceKind, ServiceNeed, StartPlan, Step, Toolchain, Variable
from preview.detection.settings import ProjectSettings
from preview.detection.steps.env_file import find_env_file_step
from preview.detection.steps.node_work import find_node_work
from preview.detection.supplied.node import PACKAGES, REDIS_PACKAGES
from preview.detection.supplied.ports import with_ports
from preview.endpoints import Found, FoundApp, find_health_path
from preview.endpoints.budget import OutOfBudget
from preview.errors import InvalidGeneration
from preview.sources import Sources
from preview.sources.javascript import JavaScriptTrees
from preview.sources.node_files import built_path, resolve_script_file
from preview.sources.node_package import is_tool_for_development, read_node_packages

_CLIENTS: Final = {
    ServiceKind.MONGODB: ("mongoose", "mongodb", "@nestjs/mongoose", "monk", "connect-mongo", "@typegoose/typegoose"),
    ServiceKind.POSTGRESQL: PACKAGES[ServiceKind.POSTGRESQL],
    ServiceKind.MYSQL: PACKAGES[ServiceKind.MYSQL],
    ServiceKind.REDIS: REDIS_PACKAGES,
    ServiceKind.RABBITMQ: ("amqplib", "amqp-connection-manager", "rascal"),
    ServiceKind.ELASTICSEARCH: ("@elastic/elasticsearch", "elasticsearch"),
}
_NAMES: Final = "PREVIEW_SERVER_NAMES"
_HEALTH: Final = re.compile(rb"""["'`/](?:health|ready|readyz|livez|ping|status)[\w-]*/?["'`]""")
_NEST_DRIVERS: Final = ("@nestjs/platform-express", "@nestjs/platform-fastify")
_RELEASE: Final = re.compile(r"[\^~]?\d{1,4}(?:\.\d{1,4}){0,2}")
_IMPORT: Final = re.compile(r"""(?:from|require\(|import\(|import)\s*['"]((?:@[\w.-]+/)?[\w.-]+)""")


def detect_node(
    sources: Sources,
    app: FoundApp | None,
    overrides: Overrides,
    kinds: frozenset[ServiceKind] = frozenset(),
) -> StartPlan | None:
    """Decide how to start a Node project; None if it is not one. Only reads files; blocks: call in a thread.

    Args:
        sources: The project's files.
        app: The application, if one was found.
        overrides: Settings that take precedence.
        kinds: Kinds of servers that the preview gets.

    Raises:
        InvalidGeneration: The file named as the application does not exist.
    """
    file = _named_file(sources, overrides)
    project = find_project(sources, file or (app.target.file if app is not None else None), named=file is not None)
    if project is None:
        return _plan_next(sources, kinds)
    if overrides.command is None:
        refuse_runtime(project)
    built = with_own_build(project) if overrides.is_built else None
    if built is None:
        return _plan(project, app, kinds)
    plan = _plan(built, app, kinds)
    plan = replace(plan, steps=(*plan.steps, *find_output_step(built)))
    return replace(plan, decisions=(f"{OWN_BUILD}: {built.entry.file} ({built.entry.by})", *plan.decisions))


_SQLITE_FILE: Final = re.compile(
    r"['\"](?:(?:bun|node):sqlite|drizzle-orm/(?:bun-|better-)sqlite3?)['\"/]"
    r"|(?:\bfrom|\brequire\(|\bimport\()\s{0,8}['\"]better-sqlite3['\"]"
)
_LIBSQL: Final = re.compile(r"['\"](?:@libsql/client|drizzle-orm/libsql)['\"/]")
_MAY_HAVE_URL: Final = SQL_KINDS | {ServiceKind.MONGODB}
_NEXT: Final = "node_modules/next/dist/bin/next"


def _plan_next(sources: Sources, kinds: frozenset[ServiceKind]) -> StartPlan | None:
    """Return the plan of a Next.js project, which its own program builds and starts; None if there is none."""
    project = find_next_project(sources, _NEXT)
    if project is None:
        return None
    command = ("--no-preserve-symlinks", project.relative(project.entry.file), "start")
    told = 'package.json "build" and "start": Next.js is built, then it serves'
    plan = replace(_plan(project, None, kinds), framework="next", command=command, decisions=(told,))
    # Next.js resolves links by itself: with two paths of one package, React would be loaded twice.
    links = {"NODE_PRESERVE_SYMLINKS": "0"}
    options = ("--", "--webpack") if _builds_with_turbopack(project) else ()
    steps = tuple(
        replace(step, argv=(*step.argv, *options), variables={**(step.variables or {}), **links}) for step in plan.steps
    )
    telemetry = Variable("NEXT_TELEMETRY_DISABLED", "1", Origin.MADE_UP)
    return replace(plan, variables={telemetry.name: telemetry, **plan.variables}, steps=steps)


# Turbopack, the default from Next.js 16 on, refuses packages behind links that lead out of the project.
_TURBOPACK_SINCE: Final = 16


def _builds_with_turbopack(project: NodeProject) -> bool:
    wanted = project.package.dependencies.get("next", "")
    major = re.match(r"[\^~>=v\s]*(\d{1,4})", wanted)
    is_new = wanted in {"latest", "canary"} or (major is not None and int(major[1]) >= _TURBOPACK_SINCE)
    # A script with options chooses for itself.
    last = project.package.scripts.get("build", "").rpartition("&&")[2]
    return is_new and last.split() == ["next", "build"]


_MOST_IN_UTF_16: Final = 100
_TO_UTF_8: Final = (
    "const fs=require('fs');for(const f of process.argv.slice(1)){const b=fs.readFileSync(f);"
    "const e=b[0]===0xff&&b[1]===0xfe?'utf-16le':b[0]===0xfe&&b[1]===0xff?'utf-16be':null;"
    "if(e)fs.writeFileSync(f,new TextDecoder(e).decode(b))}"
)
_SCRIPT_ENDS: Final = (".js", ".mjs", ".cjs", ".ts", ".mts", ".cts", ".tsx", ".jsx")


def _named_file(sources: Sources, overrides: Overrides) -> str | None:
    """Return the entry file that the user named, or its source if the file is built and missing.

    Raises:
        InvalidGeneration: The project has neither the file nor a build for it.
    """
    name = overrides.app
    if name is None or not name.endswith(_SCRIPT_ENDS):
        return None
    folders = [".", *([overrides.directory] if overrides.directory else [])]
    for folder in folders:
        path = posixpath.normpath(posixpath.join(folder, name))
        if not path.startswith(("..", "/")) and (sources.has_file(path) or (sources.root / path).is_file()):
            return path
    for folder in folders:
        found = resolve_script_file(sources, folder, name) or _to_be_built(sources, folder, name)
        if found is not None:
            return found
    raise InvalidGeneration(
        f'Cannot launch: there is no file "{name}" in the project, but it is set as the application. Give its path '
        "relative to the project's folder, or to the one given as directory.",
        missing_files=[name],
    )


def _to_be_built(sources: Sources, folder: str, name: str) -> str | None:
    built = built_path(folder, name)
    packages = read_node_packages(sources) if built is not None else []
    return built if any("build" in item.scripts and item.folder == folder for item in packages) else None


def _plan(project: NodeProject, app: FoundApp | None, supplied: frozenset[ServiceKind]) -> StartPlan:
    command = find_command(project)
    build = find_build_work(project)
    trees = JavaScriptTrees(project.sources)
    finders = (environment_reads, helper_reads, validated_reads)
    reads = [read for find in finders for read in find(trees, project.by_reach)]
    settings = node_settings(project, reads)
    servers = find_servers(project, settings, supplied)
    work = find_database_work(project, command.runner, servers.sql, servers.supply.kinds)
    kinds = _kinds(project, work)
    uses = _own_uses(find_address_uses(trees, project.by_reach), settings)
    variables = choose_variables(project, settings, kinds, command.variables, uses)
    variables.update({item.name: item for item in work.variables})
    _address_of_prisma(work, variables)
    variables |= _file_for_sqlite(project, kinds, variables)
    servers = servers.with_provider(work.provider)
    variables = servers.variables(settings, variables, (work.setting, work.direct), uses)
    other = address_of_another_kind(settings, variables, uses, kinds)
    variables |= {other.name: other} if other is not None else {}
    own = {name: item.value for name, item in settings.own.items()}
    values = own | {name: item.value for name, item in variables.items()}
    services = servers.needs(find_services(project, reads, values, work, uses))
    obstacles = servers.obstacles(project, settings)
    if obstacles.names:
        # The hook in Node's programs reads it (hosts.cjs).
        variables[_NAMES] = Variable(_NAMES, ",".join(obstacles.names), Origin.SUPPLIED)
    if servers.used:
        texts = (*(project.text(file) for file in project.reached), *values.values())
        services = with_ports(services, texts, numbers=(*obstacles.ports, *servers.ports(settings, variables, uses)))
    env_file = find_env_file_step(project.sources, project.reached, project.folder, Toolchain.NODE)
    tables = find_node_work(project, command, work.steps, services, supplied)
    return StartPlan(
        framework=app.target.framework if app is not None else "node",
        toolchain=Toolchain.NODE,
        server=Server.BUN if command.is_bun else Server.NODE,
        target=app.target if app is not None else None,
        directory=project.folder,
        python_path=(),
        command=command.arguments,
        manifests=project.root,
        extra_requirements=tuple(dict.fromkeys((*command.requirements, *work.requirements, *_of_project(project)))),
        # The build may include the client that Prisma generates.
        steps=(*_in_utf_8(project), *env_file, *command.steps, *work.steps, *build.steps, *tables.steps),
        health_path=_health_path(project, app),
        variables=variables,
        defaulted=settings.defaulted,
        dispensable=settings.dispensable,
        services=obstacles.applied(services),
        decisions=(*command.decisions, *tell_stand_in(project, command.script, build), *tables.decisions),
        warnings=(
            *(_warning(need) for need in services if need.at_startup and need.kind not in supplied),
            *build.warnings,
            *obstacles.sentences,
        ),
    )


def _in_utf_8(project: NodeProject) -> tuple[Step, ...]:
    """Return the step that rewrites TypeScript in UTF-16, which only its own compiler reads."""
    reached = frozenset(project.reached)
    found = [name for name in project.sources.utf_16 if name in reached][:_MOST_IN_UTF_16]
    if not found:
        return ()
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    why = f"{found[0]}{more} in UTF-16; only the preview's copy is changed"
    return (Step("UTF-8", ("node", "-e", _TO_UTF_8, *(f"./{name}" for name in found)), ".", why),)


def _kinds(project: NodeProject, work: DatabaseWork) -> tuple[ServiceKind, ...]:
    found = [kind for kind, packages in _CLIENTS.items() if project.requires(*packages)]
    provider = PROVIDERS.get(work.provider or "")
    return tuple(dict.fromkeys((*found, *((provider,) if provider else ()))))


def _address_of_prisma(work: DatabaseWork, variables: dict[str, Variable]) -> None:
    """Set Prisma's address. The default ``DATABASE_URL`` is for SQLite, which schemas of other databases reject."""
    kind = PROVIDERS.get(work.provider or "")
    if kind is not None and work.setting is not None and work.setting not in variables:
        variables[work.setting] = Variable(work.setting, ADDRESSES[kind], Origin.MADE_UP, work.schema or "")


def _of_project(project: NodeProject) -> list[str]:
    """Return packages that the sources load, and that an installation for production leaves out."""
    return [*_imported_tools(project), *_default_driver(project)]


def _default_driver(project: NodeProject) -> list[str]:
    """Return NestJS's package for HTTP in its core's version; ``NestFactory.create(AppModule)`` loads it by name."""
    wanted = project.range_of("@nestjs/core")
    if wanted is None or not _RELEASE.fullmatch(wanted) or project.requires(*_NEST_DRIVERS):
        return []
    texts = [project.text(file) for file in project.reached]
    if any(name in text for text in texts for name in _NEST_DRIVERS):
        return []
    return [f"{_NEST_DRIVERS[0]}@{wanted}"] if any("NestFactory.create(" in text for text in texts) else []


def _file_for_sqlite(
    project: NodeProject, kinds: Sequence[ServiceKind], known: Mapping[str, Variable]
) -> dict[str, Variable]:
    """Return ``DATABASE_URL`` as the driver that opens it takes it: a path, or libsql's ``file:``, and no other URL."""
    name = "DATABASE_URL"
    opener = next((file for file in project.reached if _SQLITE_FILE.search(project.text(file))), None)
    libsql = next((file for file in project.reached if _LIBSQL.search(project.text(file))), None)
    opener, form = (opener, "{database_path}") if libsql is None else (libsql, "file:{database_path}")
    before = known.get(name)
    is_given = before is not None and not (before.origin is Origin.MADE_UP and "://" in before.value)
    is_other = opener is None or is_given or not _MAY_HAVE_URL.isdisjoint(kinds)
    if is_other or not any(name in project.text(file) for file in project.reached):
        return {}
    return {name: Variable(name, form, Origin.SUPPLIED, opener or "")}


def _imported_tools(project: NodeProject) -> list[str]:
    """Return declared development tools that the sources import, so that they are installed."""
    tools = [name for name in project.package.dev_dependencies if is_tool_for_development(name)]
    if not tools:
        return []
    imported = {name for file in project.reached for name in _IMPORT.findall(project.text(file)) if name in tools}
    return [name for name in tools if name in imported]


def _warning(need: ServiceNeed) -> str:
    setting = f"; set {need.setting} to one that can be reached" if need.setting else ""
    return f"{need.where} connects to {need.kind} when it starts, and may not come up without it{setting}"


def _own_uses(uses: Mapping[str, AddressUse], settings: ProjectSettings) -> dict[str, AddressUse]:
    """Return the uses without those of a variable whose own value is the address of another kind of server.

    Settings often have several addresses under one key: ``database.url`` and ``redis.url``.
    """
    found = dict(uses)
    for name, use in uses.items():
        read, value = settings.reads.get(name), settings.own.get(name) or settings.examples.get(name)
        text = value.value if value is not None else (read.default if read is not None else None) or ""
        told = kind_of_scheme(text) if "://" in text else None
        if told is not None and use.kind is not None and told is not use.kind and not {told, use.kind} <= SQL_KINDS:
            del found[name]
    return found


def _health_path(project: NodeProject, app: FoundApp | None) -> str | None:
    if app is None or not any(_HEALTH.search(project.sources.text(name)) for name in project.scripts):
        return None
    found = Found()
    with contextlib.suppress(OutOfBudget):
        app.list_endpoints(found)
    return find_health_path(tuple(found.values()))
