"""Environment variables of a preview's processes, from the contract, the plan and the service."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

from preview.backing import certificate_file
from preview.detection import GIVEN, Origin, StartPlan, Toolchain, Variable, is_generated
from preview.environments import BuiltImage, Environment
from preview.settings import Settings
from preview.supervisor.launch.workspace import Workspace

SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
"""PATH of a standard Linux machine; the service's own PATH is not passed on."""

PATH_IN_IMAGES = f"/usr/local/sbin:/usr/sbin:/sbin:{SYSTEM_PATH}"
"""PATH in an image that sets none."""

# The contract sets these for every preview; only explicit values of the project or the request override them.
_CONTRACT = frozenset({"LOG_LEVEL", "NODE_ENV"})
# The service alone sets these: they depend on where the preview runs.
FIXED = frozenset({"PATH", "HOME", "TMPDIR", "PORT", "PYTHONPATH", "PYTHONUNBUFFERED", "VIRTUAL_ENV"})
_OF_THE_OWNER = frozenset({Origin.SETTINGS, Origin.PRESET, Origin.REQUEST})
# The password of a URL.
_PASSWORD = re.compile(r"[\w+.-]{1,40}://[^\s:/@]{0,256}:([^\s/@]{1,1024})@")
_HEAP_OPTION = re.compile(r"--max[-_]old[-_]space[-_]size")
_SECRET_BYTES = 32
_SHOWN_CHARACTERS = 60
# Bytes of a hexadecimal text in base64 have no character that differs between the two alphabets (RFC 4648, 4 and 5).
_SECRETS: Mapping[str, Callable[[], str]] = {
    "{secret}": lambda: secrets.token_hex(_SECRET_BYTES),
    "{secret_32}": lambda: secrets.token_hex(16),
    "{secret_base64}": lambda: base64.b64encode(secrets.token_hex(16).encode()).decode(),
}


def child_environment(
    settings: Settings, plan: StartPlan, environment: Environment, workspace: Workspace, port: int
) -> Mapping[str, str]:
    """Return the environment variables of the application and of its steps.

    Missing secrets are generated, so call this once per launch: steps and application need the same values.

    Args:
        settings: Values of the contract's variables.
        plan: The project's variables.
        environment: Environment that the processes use.
        workspace: The preview's folders.
        port: The preview's port.
    """
    variables = {
        "LANG": "C.UTF-8",
        # The project's folder lives only as long as the preview, so compiled files would be of no use.
        "PYTHONDONTWRITEBYTECODE": "1",
        "LOG_LEVEL": settings.log_level,
        "NODE_ENV": settings.node_env,
    }
    if settings.db_type == "sqlite":
        variables["DATABASE_URL"] = workspace.database_url
    fills = _fills(workspace, port)
    if environment.image is not None:
        return _image_variables(plan, environment.image, fills, port)
    for name, variable in plan.variables.items():
        if name not in FIXED and (name not in _CONTRACT or variable.origin in {*GIVEN, Origin.SUPPLIED}):
            variables[name] = filled_value(variable.value, fills)
    return {
        **_trusted(settings, plan),
        **variables,
        **environment.variables,
        **_heap(settings, plan, variables),
        "PATH": ":".join(dict.fromkeys((str(environment.binaries), str(environment.program.parent), SYSTEM_PATH))),
        "HOME": str(workspace.temp),
        "TMPDIR": str(workspace.temp),
        "PYTHONUNBUFFERED": "1",
        "PORT": str(port),
        **_python_path(plan, workspace.project),
    }


def trusted_file(settings: Settings, plan: StartPlan) -> Path | None:
    """Return the certificate of the preview's own databases, if its program insists on encryption and may check it."""
    insists = any(need.insists_on_tls and need.supplied for need in plan.services)
    file = certificate_file(settings.data_dir)
    return file if insists and plan.toolchain is Toolchain.NODE and file.is_file() else None


def _trusted(settings: Settings, plan: StartPlan) -> Mapping[str, str]:
    file = trusted_file(settings, plan)
    return {} if file is None else {"NODE_EXTRA_CA_CERTS": str(file)}


def _heap(settings: Settings, plan: StartPlan, variables: Mapping[str, str]) -> Mapping[str, str]:
    """Return the variable that tells Node the limit of its heap, unless the project names one.

    A sandbox hides the control group, so that Node would plan with the machine's memory. Measured on 24 GiB: a program
    that holds 400 MB grows to 1.4 GB, most of it garbage, and to 650 MB with this.
    """
    given = variables.get("NODE_OPTIONS", "")
    if plan.toolchain is not Toolchain.NODE or _HEAP_OPTION.search(given):
        return {}
    return {"NODE_OPTIONS": f"{given} --max-old-space-size={settings.memory_limit_mb * 3 // 4}".strip()}


def _image_variables(plan: StartPlan, image: BuiltImage, fills: Mapping[str, str], port: int) -> Mapping[str, str]:
    """Return the image's own variables and those of the plan: nothing of this machine's paths is of use in it."""
    given = {name: filled_value(one.value, fills) for name, one in plan.variables.items() if name not in FIXED}
    return {
        "PATH": PATH_IN_IMAGES,
        **image.variables,
        **given,
        "HOME": "/tmp",  # noqa: S108  the container's own; the image's may belong to its root
        "PORT": str(image.port or port),
    }


def keep_made_up(
    plan: StartPlan, variables: Mapping[str, str], plan_before: StartPlan, before: Mapping[str, str]
) -> Mapping[str, str]:
    """Return a new plan's variables; generated values stay the same while the plan needs them.

    Otherwise each reload would invalidate all sessions that the application has signed.

    Args:
        plan: The new plan.
        variables: Its variables, filled.
        plan_before: The old plan.
        before: The old plan's variables, filled.
    """
    kept = {
        name: before[name]
        for name, variable in plan.variables.items()
        if is_generated(variable.value) and name in before and _is_as(variable, plan_before.variables.get(name))
    }
    return {**variables, **{name: value for name, value in kept.items() if name in variables}}


def secret_values(plan: StartPlan, variables: Mapping[str, str]) -> list[str]:
    """Return values that a log must not show: generated ones, and what the owner gave as a secret or a password.

    Values in the project's own files, and placeholders, are no secrets.

    Args:
        plan: The plan.
        variables: Its variables, filled.
    """
    found: list[str] = []
    for name, variable in plan.variables.items():
        value = variables.get(name, "")
        if is_generated(variable.value) or (variable.origin in _OF_THE_OWNER and variable.secret):
            found.append(value)
        elif variable.origin in _OF_THE_OWNER and (password := _PASSWORD.match(value)):
            found += (password[1], unquote(password[1]))
    return found


def _is_as(variable: Variable, before: Variable | None) -> bool:
    """Return True if both variables are equal, except for the place in the source that reads them."""
    return before is not None and replace(before, where=variable.where) == variable


def _fills(workspace: Workspace, port: int) -> Mapping[str, str]:
    return {
        "{database_url}": workspace.database_url,
        "{database_path}": str(workspace.database_path),
        "{port}": str(port),
        "{directory}": str(workspace.project),
    }


def filled_value(value: str, fills: Mapping[str, str]) -> str:
    """Return a variable's value with its placeholders replaced; each secret is new."""
    for placeholder, filling in fills.items():
        value = value.replace(placeholder, filling)
    for placeholder, make in _SECRETS.items():
        first, *rest = value.split(placeholder)
        value = first + "".join(make() + part for part in rest)
    return value


def _python_path(plan: StartPlan, project: Path) -> Mapping[str, str]:
    if plan.toolchain is not Toolchain.PYTHON:
        return {}
    folders = [str((project / folder).resolve()) for folder in plan.python_path]
    given = plan.variables.get("PYTHONPATH")
    if given is not None and given.origin in GIVEN:
        folders += [str((project / folder).resolve()) for folder in given.value.split(":") if folder]
    return {"PYTHONPATH": ":".join(dict.fromkeys(folders))} if folders else {}


def tell_variables(plan: StartPlan) -> list[str]:
    """Return log lines about variables with placeholder values and how to set them, without any secret."""
    telemetry = made_up_telemetry(plan) if plan.exports_spans else frozenset()
    variables = [one for one in plan.variables.values() if one.name not in telemetry]
    made_up = [_shown(one) for one in variables if one.origin is Origin.MADE_UP]
    lines = []
    if made_up:
        lines.append(
            f"variables not set, using placeholders: {', '.join(made_up)}; "
            "set them in the project's settings, under [env] in preview.toml or in the launch request"
        )
    return lines


def made_up_telemetry(plan: StartPlan) -> frozenset[str]:
    """Return the variables of OpenTelemetry that nobody has set: the service's own values replace placeholders."""
    return frozenset(
        name for name, one in plan.variables.items() if one.origin is Origin.MADE_UP and name.startswith("OTEL_")
    )


def placeholders_of(plan: StartPlan) -> Mapping[str, str]:
    """Return the variables that nobody has set, with the values that were made up; without secrets and addresses."""
    made_up = (one for one in plan.variables.values() if one.origin is Origin.MADE_UP)
    return {one.name: one.value for one in made_up if not one.secret and "{" not in one.value}


def _shown(variable: Variable) -> str:
    if variable.secret or "{" in variable.value:
        return variable.name
    value = variable.value if len(variable.value) <= _SHOWN_CHARACTERS else variable.value[:_SHOWN_CHARACTERS] + "…"
    return f"{variable.name}={value}"
