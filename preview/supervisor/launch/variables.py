"""A child's environment variables: the contract's, the plan's, and the program's needs."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from preview.detection import Origin, StartPlan, Toolchain, Variable
from preview.environments import Environment
from preview.settings import Settings
from preview.supervisor.launch.workspace import Workspace

SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
"""What a program finds on any Linux machine; the service's own PATH is not passed on."""

# The contract gives these to every preview: only a person's own word changes them, or the form a project takes.
_CONTRACT = frozenset({"LOG_LEVEL", "NODE_ENV"})
# Where it runs and what it is asked at is the service's business alone.
_FIXED = frozenset({"PATH", "HOME", "TMPDIR", "PORT", "PYTHONPATH", "PYTHONUNBUFFERED", "VIRTUAL_ENV"})
_GIVEN = frozenset({Origin.PROJECT, Origin.REQUEST})
_SECRET_BYTES = 32
_SHOWN_CHARACTERS = 60


def child_environment(
    settings: Settings, plan: StartPlan, environment: Environment, workspace: Workspace, port: int
) -> Mapping[str, str]:
    """All that the application and the steps before it find in their environment.

    Secrets that nobody gives are made up here, so call it once for a preview: steps and application must agree.

    Args:
        settings: For the contract's values.
        plan: For the project's own.
        environment: What it runs in.
        workspace: Where it lives.
        port: What it is asked at.
    """
    variables = {
        "LANG": "C.UTF-8",
        # The project's folder lives as long as the preview: compiled files would be written and thrown away.
        "PYTHONDONTWRITEBYTECODE": "1",
        "LOG_LEVEL": settings.log_level,
        "NODE_ENV": settings.node_env,
    }
    if settings.db_type == "sqlite":
        variables["DATABASE_URL"] = workspace.database_url
    fills = _fills(workspace, port)
    for name, variable in plan.variables.items():
        if name not in _FIXED and (name not in _CONTRACT or variable.origin in {*_GIVEN, Origin.SUPPLIED}):
            variables[name] = _filled(variable.value, fills)
    return {
        **variables,
        **environment.variables,
        "PATH": ":".join(dict.fromkeys((str(environment.binaries), str(environment.program.parent), SYSTEM_PATH))),
        "HOME": str(workspace.temp),
        "TMPDIR": str(workspace.temp),
        "PYTHONUNBUFFERED": "1",
        "PORT": str(port),
        **_python_path(plan, workspace.project),
    }


def keep_made_up(
    plan: StartPlan, variables: Mapping[str, str], plan_before: StartPlan, before: Mapping[str, str]
) -> Mapping[str, str]:
    """Return a following plan's variables: made-up values stay as long as they are needed.

    Else each reload would end every session that the application has signed.

    Args:
        plan: The new one.
        variables: Its variables, filled.
        plan_before: The one before.
        before: Its variables, filled.
    """
    kept = {
        name: before[name]
        for name, variable in plan.variables.items()
        if "{secret}" in variable.value and name in before and _is_as(variable, plan_before.variables.get(name))
    }
    return {**variables, **{name: value for name, value in kept.items() if name in variables}}


def _is_as(variable: Variable, before: Variable | None) -> bool:
    """Return whether the variable has the same need, wherever it is read."""
    return before is not None and replace(before, where=variable.where) == variable


def _fills(workspace: Workspace, port: int) -> Mapping[str, str]:
    return {
        "{database_url}": workspace.database_url,
        "{database_path}": str(workspace.database_path),
        "{port}": str(port),
        "{directory}": str(workspace.project),
    }


def _filled(value: str, fills: Mapping[str, str]) -> str:
    for placeholder, filling in fills.items():
        value = value.replace(placeholder, filling)
    first, *rest = value.split("{secret}")
    return first + "".join(secrets.token_hex(_SECRET_BYTES) + part for part in rest)


def _python_path(plan: StartPlan, project: Path) -> Mapping[str, str]:
    if plan.toolchain is not Toolchain.PYTHON:
        return {}
    folders = [str((project / folder).resolve()) for folder in plan.python_path]
    given = plan.variables.get("PYTHONPATH")
    if given is not None and given.origin in _GIVEN:
        folders += [str((project / folder).resolve()) for folder in given.value.split(":") if folder]
    return {"PYTHONPATH": ":".join(dict.fromkeys(folders))} if folders else {}


def tell_variables(plan: StartPlan) -> list[str]:
    """Lines for the log: what was made up or taken from an example, and how to set it. No secret's value is in them."""
    made_up = [_shown(one) for one in plan.variables.values() if one.origin is Origin.MADE_UP]
    lines = []
    if made_up:
        lines.append(
            f"variables not set, using placeholders: {', '.join(made_up)}; "
            "set them under [env] in preview.toml or in the launch request"
        )
    return lines


def _shown(variable: Variable) -> str:
    if variable.secret or "{" in variable.value:
        return variable.name
    value = variable.value if len(variable.value) <= _SHOWN_CHARACTERS else variable.value[:_SHOWN_CHARACTERS] + "…"
    return f"{variable.name}={value}"
