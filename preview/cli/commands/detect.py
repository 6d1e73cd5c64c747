"""``preview detect``: how a folder's backend would be started, and why."""

from __future__ import annotations

import os
from collections.abc import Iterable

import typer
from rich.table import Table
from rich.text import Text

from preview.cli.options import (
    AppOption,
    CommandOption,
    DirectoryArgument,
    EnvOption,
    JsonOption,
    existing_folder,
)
from preview.cli.overrides import overrides_from_options
from preview.cli.terminal import print_json, table_console
from preview.core.quoting import visible
from preview.core.servers import find_mysql, find_postgresql, find_redis
from preview.detection import (
    Server,
    ServiceKind,
    ServiceNeed,
    StartPlan,
    Step,
    Variable,
    describe_plan,
    detect,
    shown_value,
)

app = typer.Typer(add_completion=False)

_SERVERS = {
    Server.ASGI: "served by uvicorn",
    Server.WSGI: "served by a WSGI server",
    Server.DJANGO: "served in the same way as by runserver",
    Server.NODE: "run by Node",
    Server.BUN: "run by Bun",
    Server.COMMAND: "run as a command, which listens on PORT",
}
_PROGRAMS = {
    ServiceKind.POSTGRESQL: ("PREVIEW_POSTGRES", find_postgresql),
    ServiceKind.MYSQL: ("PREVIEW_MYSQL", find_mysql),
    ServiceKind.REDIS: ("PREVIEW_REDIS", find_redis),
    # No program of it is run.
    ServiceKind.MONGODB: ("PREVIEW_MONGODB", lambda: None),
}


@app.command(name="detect")
def detect_command(
    directory: DirectoryArgument,
    chosen_app: AppOption = None,
    command: CommandOption = None,
    env: EnvOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how a folder's backend would be started, and why.

    Nothing is run. To correct a decision, set it in a preview.toml in the folder. Python and Node projects are
    read directly; for any other project, the compose file, Dockerfile or devcontainer.json is read.

    Example: preview detect examples/bookshop
    """
    folder = existing_folder(directory)
    plan = detect(folder, overrides_from_options(chosen_app, command, env), supplied=_supplied())
    if as_json:
        print_json(describe_plan(plan))
        return
    console = table_console()
    console.print(_table(plan))
    for mark, style, sentences in (("-", "dim", plan.decisions), ("!", "yellow", plan.warnings)):
        for sentence in sentences:
            console.print(Text(f"{mark} {visible(sentence)}", style=style), soft_wrap=True)


def _supplied() -> frozenset[ServiceKind]:
    """Return the kinds of servers that a preview would get here, by the programs and the environment alone."""
    return frozenset(
        kind
        for kind, (variable, find) in _PROGRAMS.items()
        if "://" in (chosen := os.environ.get(variable, "auto")) or (chosen == "auto" and find() is not None)
    )


def _table(plan: StartPlan) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, lines in _rows(plan):
        table.add_row(name, Text(visible("\n".join(lines))))
    return table


def _rows(plan: StartPlan) -> Iterable[tuple[str, list[str]]]:
    yield "starts", [f"{_started(plan)} ({plan.framework}, {_SERVERS[plan.server]})"]
    yield "runs in", ["the project's own folder" if plan.directory == "." else plan.directory]
    if len(plan.python_path) > 1 or plan.python_path not in {(), (plan.directory,)}:
        yield "imports from", [", ".join(plan.python_path)]
    if plan.manifests not in {".", plan.directory}:
        yield "requirements", [f"of {plan.manifests}"]
    if plan.extra_requirements:
        yield "added", [", ".join(plan.extra_requirements)]
    if plan.steps:
        yield "steps before the start", [_step(step) for step in plan.steps]
    if plan.variables:
        width = max(len(name) for name in plan.variables)
        yield "variables", [_variable(variable, width) for variable in plan.variables.values()]
    if plan.services:
        yield "needs", [_service(need) for need in plan.services]
    yield "healthy when", [f"{plan.health_path} answers" if plan.health_path else "it responds (with any status)"]


def _started(plan: StartPlan) -> str:
    if plan.command:
        return " ".join(plan.command)
    if plan.target is None:
        return "no known application"
    return f"{plan.target}{'()' if plan.target.factory else ''}"


def _step(step: Step) -> str:
    where = "" if step.directory == "." else f" in {step.directory}"
    return f"{step.name}: {' '.join(step.argv)}{where}, {step.why}"


def _variable(variable: Variable, width: int) -> str:
    value = shown_value(variable)
    shown = "(not shown)" if value is None else value or "(empty)"
    where = f", {variable.where}" if variable.where and variable.where != str(variable.origin) else ""
    return f"{variable.name:<{width}}  {shown}  ({variable.origin}{where})"


def _service(need: ServiceNeed) -> str:
    address = f" at {need.address[0]}:{need.address[1]}" if need.address else ""
    place = ", ".join(part for part in (need.setting, need.where) if part)
    when = "required at startup" if need.at_startup else "required at first use"
    own = "; the preview gets its own" if need.supplied else ""
    return f"{need.kind}{address}{f' ({place})' if place else ''}, {when}{own}"
