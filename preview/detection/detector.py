"""Detect a project's start plan from its folder."""

from __future__ import annotations

import platform
import posixpath
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from preview.core.isolation import Network
from preview.core.lifecycle import OnCrash
from preview.core.quoting import quoted
from preview.detection.containers import find_container_plan, plan_named
from preview.detection.node import detect_node
from preview.detection.overrides.choose import choose_app, has_framework
from preview.detection.overrides.given import Overrides, merge
from preview.detection.overrides.preview_file import PREVIEW_FILE, read_preview_file
from preview.detection.own_starts import OWN_START, find_own_start
from preview.detection.own_version import with_own_version
from preview.detection.plain import LISTED, PLAIN_SERVERS, find_made_app, find_stated_app
from preview.detection.plan import Origin, Server, ServiceKind, StartPlan, Toolchain, Variable
from preview.detection.python import plan_python
from preview.detection.python_versions import with_older_python
from preview.detection.scripts import plan_command, plan_program, plan_script
from preview.detection.settings import lay_modules
from preview.detection.steps import with_extension, with_key_files, with_sql_files, with_unmade_tables
from preview.detection.streamlit import plan_streamlit
from preview.detection.supplied.tell import with_administrator, with_servers
from preview.detection.unsupported import find_language, refuse_language
from preview.detection.workers import with_workers
from preview.endpoints import NODE_NAMES, FoundApp, find_apps
from preview.endpoints.ranking import LATER, commands_for
from preview.errors import InvalidGeneration
from preview.sources import Sources
from preview.sources.commands import StartCommand, start_commands

_NODE = frozenset({*NODE_NAMES, "node"})
# Where a project names its packages.
_MANIFEST = re.compile(r"requirements[\w.-]*\.(?:txt|in)|pyproject\.toml|Pipfile|setup\.(?:py|cfg)|package\.json")
_MOST_MANIFESTS = 20
_MOST_ENVIRONMENTS = 3
# Details of the two errors that mean: no file of a known language starts a server.
_STARTS_NOTHING = frozenset({"language", "missing_files"})
_SERVERS = {"fastapi": Server.ASGI, "starlette": Server.ASGI, "flask": Server.WSGI, "django": Server.DJANGO}


def detect(
    directory: Path,
    overrides: Overrides | None = None,
    sources: Sources | None = None,
    supplied: frozenset[ServiceKind] = frozenset(),
) -> StartPlan:
    """Decide how to start the project in ``directory``. Reads files and runs nothing; blocks: call in a thread.

    Args:
        directory: The project's folder.
        overrides: Settings of the launch request; they take precedence over the project's ``preview.toml``.
        sources: Reader of the project's files, if the caller shares one.
        supplied: Kinds of servers that the preview gets. In the host's network, it gets none.

    Raises:
        InvalidGeneration: Nothing that can be started was found, or ``preview.toml`` is invalid.
    """
    given = merge(read_preview_file(directory), overrides or Overrides())
    sources = sources or Sources(directory)
    kinds = frozenset() if given.network is Network.HOST else supplied
    if given.dockerfile is not None:
        return _overridden(with_servers(plan_named(sources, given.dockerfile, kinds), kinds), given)
    laid = lay_modules(sources)
    apps = find_apps(sources)
    try:
        plan = _plan(sources, apps, given, kinds)
        if given.is_own_start:
            plan, given = _with_own_start(plan, sources, apps, given, kinds)
    except InvalidGeneration as error:
        if given.app is not None or not _STARTS_NOTHING & error.details.keys():
            raise
        found = find_container_plan(sources, kinds)
        if found is None:
            raise
        return _overridden(with_servers(found, kinds), given)
    plan = with_sql_files(with_servers(plan, kinds), sources)
    plan = with_unmade_tables(plan, sources)
    plan = with_own_version(plan, sources)
    plan = replace(plan, steps=(*laid, *plan.steps)) if plan.toolchain is Toolchain.PYTHON else plan
    plan = with_workers(with_key_files(with_extension(plan, sources), sources), sources)
    if given.for_older_python:
        plan = with_older_python(plan, sources)
    if given.administers:
        plan = with_administrator(plan)
    plan = _overridden(_with_environments(plan, sources), given)
    return replace(plan, exports_spans=True) if plan.trace and _has_opentelemetry(sources) else plan


def _with_environments(plan: StartPlan, sources: Sources) -> StartPlan:
    """Return the plan with a decision about the virtual environments that the project brings; unchanged without."""
    if not sources.environments:
        return plan
    names = ", ".join(map(quoted, sources.environments[:_MOST_ENVIRONMENTS]))
    said = f"not read: {names} (installed packages; the service installs its own)"
    return replace(plan, decisions=(*plan.decisions, said))


def _has_opentelemetry(sources: Sources) -> bool:
    """Return whether a manifest names a package of OpenTelemetry."""
    manifests = [name for name in sources.all_names if _MANIFEST.fullmatch(name.rpartition("/")[2])]
    return any(b"opentelemetry" in sources.text(name) for name in manifests[:_MOST_MANIFESTS])


def _find_plain(sources: Sources, commands: Sequence[StartCommand], read: FoundApp | None) -> FoundApp | None:
    """Return the application that a command names or a file makes; ``read`` may be one that mounts the latter."""
    stated = find_stated_app(sources, commands)
    made = find_made_app(sources) if stated is None else None
    is_same_kind = made is not None and read is not None and made.target.framework == read.target.framework
    return stated or (read if is_same_kind else made)


def _plan(sources: Sources, apps: Sequence[FoundApp], given: Overrides, kinds: frozenset[ServiceKind]) -> StartPlan:
    # Applications of these frameworks start as their files say; only their names and routes come from `apps`.
    listed = [app for app in apps if app.target.framework in LISTED]
    app = choose_app(sources, _choices(apps, listed, given), given)
    named_node = given.framework in _NODE or (given.app is not None and app is None)
    if app is not None and app.target.framework not in _NODE and not named_node:
        commands = commands_for(app, start_commands(sources), sources)
        return _with_others(plan_python(sources, app, commands, kinds), app, apps)
    plan = detect_node(sources, app, given, kinds)
    is_sure = app is not None and app.target.framework not in LATER
    if plan is not None and (is_sure or named_node):
        return _with_others(plan, app, apps) if app is not None else plan
    commands = start_commands(sources)
    if given.framework in LISTED:
        listed = [one for one in listed if has_framework(one.target, given)]
        asked = next((one for one in listed if one.target.attribute and one.target.framework in PLAIN_SERVERS), None)
        if asked is not None:
            return plan_python(sources, asked, commands_for(asked, commands, sources), kinds)
    kept = next((one for one in listed if one.target.attribute and one.target.framework in PLAIN_SERVERS), None)
    plain = _find_plain(sources, commands, kept) if given.app is None else None
    if plain is not None:
        return plan_python(sources, plain, commands_for(plain, commands, sources), kinds)
    found = (
        plan_command(sources, commands, kinds)
        or plan_script(sources, kinds)
        or plan
        or plan_streamlit(sources, kinds)
        or plan_program(sources, kinds)
    )
    if found is not None:
        named = _named(found, listed)
        return _with_others(named, app, apps) if app is not None and found is plan else named
    if kept is not None and given.app is None:
        return plan_python(sources, kept, commands_for(kept, commands, sources), kinds)
    if given.command is not None:
        return StartPlan("command", Toolchain.PYTHON, Server.COMMAND, None)
    language = find_language(sources)
    if language is not None:
        raise refuse_language(*language)
    raise _not_runnable(sources)


def _with_own_start(
    plan: StartPlan, sources: Sources, apps: Sequence[FoundApp], given: Overrides, kinds: frozenset[ServiceKind]
) -> tuple[StartPlan, Overrides]:
    """Return the plan of the project's own command. Nothing changes without one, or with an application given."""
    if given.app is not None or given.command is not None or given.framework is not None:
        return plan, given
    found = find_own_start(sources, plan, apps)
    if found is None:
        return plan, given
    given = merge(given, found.start)
    other = _plan(sources, apps, given, kinds)
    return replace(other, decisions=(f"{OWN_START} {found.why}", *other.decisions)), given


def _choices(apps: Sequence[FoundApp], listed: Sequence[FoundApp], given: Overrides) -> list[FoundApp]:
    """Return the applications that may decide how the project starts."""
    if given.app is not None:
        return list(apps)
    is_first = bool(listed) and apps[0] is listed[0] and given.framework is None
    return [] if is_first else [app for app in apps if app not in listed]


def _named(plan: StartPlan, apps: Sequence[FoundApp]) -> StartPlan:
    """Return the plan of a command with the framework of the application in its file, if one was found."""
    if plan.framework != "command" or plan.target is None or not apps:
        return plan
    app = next((app for app in apps if app.target.file == plan.target.file), apps[0])
    return replace(plan, framework=app.target.framework)


def _with_others(plan: StartPlan, app: FoundApp, apps: Sequence[FoundApp]) -> StartPlan:
    """Add a decision that lists the applications that were not chosen."""
    others = [str(other.target) for other in apps if other is not app and not other.side]
    if not others:
        return plan
    named = ", ".join(others[:3]) + (" …" if len(others) > 3 else "")
    many = "one more application" if len(others) == 1 else f"{len(others)} more applications"
    sentence = f'{many} found ({named}); to use another one, set it in {PREVIEW_FILE}: [start] app = "…"'
    return replace(plan, decisions=(*plan.decisions, sentence))


def _overridden(plan: StartPlan, given: Overrides) -> StartPlan:
    """Apply the overrides and log each as a decision."""
    if given.is_empty:
        return plan
    plan = _start(plan, given)
    steps = plan.steps if given.steps is None else given.steps
    if given.skip_steps is True:
        steps = ()
    elif given.skip_steps:
        skipped = given.skip_steps
        steps = tuple(step for step in steps if step.name not in skipped)
    return replace(
        plan,
        manifests=given.manifests or plan.manifests,
        python_path=_path(plan, given),
        steps=steps,
        health_path=given.health or plan.health_path,
        network=given.network,
        isolation=given.isolation or plan.isolation,
        trace=bool(given.trace),
        on_crash=given.on_crash or plan.on_crash,
        variables=_variables(plan, given),
        extra_requirements=tuple(dict.fromkeys((*plan.extra_requirements, *given.extra_requirements))),
        is_dated=given.is_dated,
        linked_at=given.linked_at,
        linked_folder=given.linked_folder,
        decisions=(*plan.decisions, *_told(given)),
    )


def _start(plan: StartPlan, given: Overrides) -> StartPlan:
    directory = given.directory or plan.directory
    if plan.dockerfile is not None:
        return replace(plan, command=given.command or ())
    if given.command is not None and given.server is None and (plan.server, given.command[0]) == (Server.BUN, "bun"):
        return replace(plan, directory=directory, command=given.command[1:])
    if given.command is not None:
        node = plan.toolchain is Toolchain.NODE or given.command[0] in {"node", "npm", "npx", "tsx", "yarn", "pnpm"}
        return replace(
            plan,
            framework=given.framework or plan.framework,
            toolchain=Toolchain.NODE if node else Toolchain.PYTHON,
            server=given.server or Server.COMMAND,
            directory=directory,
            command=given.command,
            variables={**plan.variables, **_flask_app(plan, given.command)},
        )
    server = given.server or (_SERVERS.get(given.framework or "", plan.server) if given.framework else plan.server)
    target = plan.target
    if target is not None and given.factory is not None:
        target = replace(target, factory=given.factory)
    return replace(plan, server=server, directory=directory, target=target)


def _flask_app(plan: StartPlan, command: Sequence[str]) -> dict[str, Variable]:
    """Return the variable that names the application to ``flask run``; Flask before 2.2 has no other way."""
    known = plan.variables.get("FLASK_APP")
    if plan.target is None or plan.target.framework != "flask" or "flask" not in command:
        return {}
    if known is not None and known.origin is not Origin.MADE_UP:
        return {}
    name = str(plan.target) + ("()" if plan.target.factory else "")
    return {"FLASK_APP": Variable("FLASK_APP", name, Origin.SUPPLIED)}


def _path(plan: StartPlan, given: Overrides) -> tuple[str, ...]:
    own = [posixpath.normpath(plan.target.app_dir)] if plan.target is not None else []
    path = given.python_path if given.python_path is not None else plan.python_path
    return tuple(dict.fromkeys((*own, *([given.directory] if given.directory else []), *path, *given.added_path)))


def _variables(plan: StartPlan, given: Overrides) -> dict[str, Variable]:
    """Apply the given values, ignoring case, because pydantic's settings ignore case."""
    known = {name.upper(): value for name, value in plan.variables.items()}
    counted = {name: value for name, value in given.variables.items() if _counts(value, known.get(name.upper()))}
    upper = {name.upper() for name in counted}
    kept = {name: one for name, one in plan.variables.items() if name.upper() not in {*upper, *given.withdrawn}}
    return kept | counted


def _counts(given: Variable, before: Variable | None) -> bool:
    """Return False for a value that a failed attempt made up, if the project has another value by now."""
    is_open = before is None or before.origin is Origin.MADE_UP
    return given.origin is not Origin.MADE_UP or is_open or (before is not None and before.value == given.instead_of)


def _told(given: Overrides) -> Iterable[str]:
    skipped = given.skip_steps
    names = {
        "application": given.app,
        "framework": given.framework,
        "command": " ".join(given.command) if given.command else None,
        "working folder": given.directory,
        "manifests": given.manifests,
        "health path": given.health,
        "network": given.network,
        "isolation": given.isolation,
        "Dockerfile": given.dockerfile,
        "tracing": "on" if given.trace else None,
        "restarts": "after a crash" if given.on_crash is OnCrash.RESTART else None,
        "steps": ", ".join(step.name for step in given.steps) if given.steps is not None else None,
        "steps left out": ", ".join(skipped) if isinstance(skipped, tuple) else "all" if skipped else "",
    }
    said = [f"{name} {value}" for name, value in names.items() if value]
    if said:
        yield f"given: {'; '.join(said)}"
    for origin in (Origin.PROJECT, Origin.SETTINGS, Origin.PRESET, Origin.REQUEST):
        variables = [name for name, value in given.variables.items() if value.origin is origin]
        if variables:
            yield f"given in the {origin}: {', '.join(variables)}"


def _not_runnable(sources: Sources) -> InvalidGeneration:
    """Return the error; an unreadable file is a likelier cause than a missing one."""
    # "." stands for files that exceed the limit of files to read.
    unreadable = {file: reason for file, reason in sources.skipped.items() if file != "." and file.endswith(".py")}
    if unreadable:
        file, reason = next(iter(unreadable.items()))
        advice = "Correct it and launch again."
        if newer := sources.newer.get(file):
            here = ".".join(platform.python_version_tuple()[:2])
            advice = f"The service runs on Python {here}, which cannot read it: run it on {newer} or newer."
        return InvalidGeneration(
            f"Cannot launch: {file} cannot be read ({reason}), and no other file defines an application. {advice}",
            path=file,
            unreadable_files=unreadable,
        )
    return InvalidGeneration(
        "Cannot launch: Missing required files (main.py or app.py with a FastAPI or Flask application, Django's "
        "manage.py, or package.json with a start script). Add one, or say in preview.toml how it starts: "
        '[start] command = "…".',
        missing_files=["main.py"],
    )
