"""Command line of a start plan, which lets the application serve on the preview's socket."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path

from preview.detection import MAIN_PROGRAM, TABLES_PROGRAM, Server, StartPlan, Toolchain
from preview.endpoints import AppTarget
from preview.environments import BuiltImage, Environment
from preview.errors import InvalidGeneration, LaunchFailed
from preview.runtime import CONTROL_PLACEHOLDER, FD_PLACEHOLDER, LOG_PLACEHOLDER
from preview.runtime.launchers import (
    BUN_HOOK,
    COMMAND_HOOK,
    LISTEN_HOOK,
    MIGRATIONS,
    RUN_MAIN,
    SERVE_ASGI,
    SERVE_DJANGO,
    SERVE_WSGI,
    TABLES,
)
from preview.supervisor.launch.variables import SYSTEM_PATH, made_up_telemetry
from preview.tracing.otlp import OTLP_PORT

# ``$PORT``, ``${PORT}``, ``${PORT:-8000}`` like in a shell, and the plan's ``{port}``.
_PORT = re.compile(r"\$PORT\b|\$\{PORT(?::?-[^}]{0,20})?\}|\{port\}")


# A project with one of these sends its spans elsewhere, or none.
_ENDPOINTS = frozenset({"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SDK_DISABLED"})
_SIGNALS = ("traces", "metrics", "logs")


def listens_itself(plan: StartPlan) -> bool:
    """Return True if the program opens its own listening socket, because it cannot inherit one."""
    return plan.server is Server.BUN or (plan.server is Server.COMMAND and plan.toolchain is not Toolchain.NODE)


def image_argv(plan: StartPlan, image: BuiltImage, port: int) -> list[str]:
    """Return the command line in a project's image: the given one, or else the image's own.

    Raises:
        LaunchFailed: There is neither.
    """
    words = [_PORT.sub(str(image.port or port), word) for word in plan.command] or list(image.argv)
    if not words or not words[0]:
        raise LaunchFailed(
            "The image names no program: end the Dockerfile with CMD, or set `command` in preview.toml.",
            reason="missing_program",
        )
    return words


def launcher_of(plan: StartPlan) -> Path | None:
    """Return the launcher for the plan's application; None for Node, Bun and commands."""
    if plan.server in (Server.NODE, Server.BUN, Server.COMMAND):
        return None
    if plan.framework == "django":
        return SERVE_DJANGO
    return SERVE_WSGI if plan.server is Server.WSGI else SERVE_ASGI


def server_argv(plan: StartPlan, environment: Environment, project: Path, *, port: int, origin: str) -> list[str]:
    """Return the command line of the application's server.

    Args:
        plan: The start plan.
        environment: Environment whose interpreter runs the launcher.
        project: The project's folder.
        port: Replaces the placeholder in a command.
        origin: The preview's address, such as ``http://localhost:3001``.

    Raises:
        LaunchFailed: A command's program was not found.
    """
    if environment.image is not None:
        return image_argv(plan, environment.image, port)
    if plan.server is Server.NODE:
        return [str(environment.program), *plan.command]
    if plan.server is Server.BUN:
        return [*resolve_command(["bun"], environment, project), "--preload", str(BUN_HOOK), *plan.command]
    if plan.server is Server.COMMAND:
        words = [_PORT.sub(str(port), word) for word in plan.command]
        return resolve_command(words, environment, project / plan.directory)
    launcher, target = launcher_of(plan), _target(plan)
    app_dir = str((project / target.app_dir).resolve())
    python = str(environment.program)
    control = ["--control", CONTROL_PLACEHOLDER]
    if plan.framework == "django":
        asgi = ["--asgi"] if plan.server is Server.ASGI else []
        settings = target.module
        return [python, str(launcher), FD_PLACEHOLDER, app_dir, settings, origin, *asgi, *control]
    factory = ["--factory"] if target.factory else []
    return [python, str(launcher), FD_PLACEHOLDER, app_dir, str(target), *factory, *control]


TRACE_VARIABLE = "PREVIEW_TRACE"
"""Tells the launchers and the hooks to report spans."""

LOG_VARIABLE = "PREVIEW_STDERR"
"""Tells the hooks which pipe is the log, so that no mark gets into a file or into what another program reads."""


def server_variables(
    plan: StartPlan,
    listener: socket.socket,
    control: socket.socket,
    variables: Mapping[str, str],
    *,
    exports: bool = False,
) -> Mapping[str, str]:
    """Return the server's environment variables; for Node and for commands, with the hooks that use the sockets.

    Args:
        plan: The start plan.
        listener: The listening socket.
        control: The process's end of the control channel.
        variables: Variables of the steps.
        exports: The process reaches the receiver of spans (``preview.tracing.otlp``).
    """
    channel = f"{CONTROL_PLACEHOLDER}:{os.fstat(control.fileno()).st_ino}"
    if plan.trace:
        variables = {**(_otlp_variables(plan, variables) if exports else variables), TRACE_VARIABLE: "1"}
    if plan.toolchain is Toolchain.PYTHON:
        if plan.server is not Server.COMMAND:
            return variables
        folders = [str(COMMAND_HOOK), variables.get("PYTHONPATH", "")]
        return {
            **variables,
            "PYTHONPATH": ":".join(filter(None, folders)),
            "PREVIEW_CONTROL": channel,
            LOG_VARIABLE: LOG_PLACEHOLDER,
        }
    if plan.server is Server.BUN:
        return {**variables, "PREVIEW_CONTROL": channel}
    if plan.server not in (Server.NODE, Server.COMMAND) or plan.toolchain is Toolchain.IMAGE:
        return variables
    given = variables.get("NODE_OPTIONS", "")
    # Quoted as Node reads it (nodejs.org, cli.html, NODE_OPTIONS): the path may contain blanks.
    options = f"{given} --require {json.dumps(str(LISTEN_HOOK))}".strip()
    return {
        **variables,
        "NODE_OPTIONS": options,
        "PREVIEW_LISTENER": f"{FD_PLACEHOLDER}:{os.fstat(listener.fileno()).st_ino}",
        "PREVIEW_CONTROL": channel,
        LOG_VARIABLE: LOG_PLACEHOLDER,
    }


def _otlp_variables(plan: StartPlan, variables: Mapping[str, str]) -> Mapping[str, str]:
    """Return the variables with those that lead OpenTelemetry to the service, unless the project has them."""
    made_up = made_up_telemetry(plan)
    own = {name: value for name, value in variables.items() if name not in made_up}
    if not _ENDPOINTS.isdisjoint(own):
        return variables
    endpoint = f"http://127.0.0.1:{OTLP_PORT}"
    # A program that reads the address of one signal gets it; else the first variable is enough.
    signals = {f"OTEL_EXPORTER_OTLP_{one.upper()}_ENDPOINT": f"{endpoint}/v1/{one}" for one in _SIGNALS}
    return {
        **variables,
        **{name: value for name, value in signals.items() if name in made_up},
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_SERVICE_NAME": "preview",
        "OTEL_BSP_SCHEDULE_DELAY": "500",
        "OTEL_METRIC_EXPORT_INTERVAL": "10000",
        **own,
    }


def resolve_command(words: list[str], environment: Environment, directory: Path) -> list[str]:
    """Return the command with an absolute path of its program, from the environment or else the machine.

    Raises:
        LaunchFailed: The program was not found.
    """
    name, *arguments = words
    if name == TABLES_PROGRAM:
        return [str(environment.program), str(TABLES), *arguments]
    if name == MAIN_PROGRAM:
        return [str(environment.program), str(RUN_MAIN), *arguments]
    if name == "python" and not {"makemigrations", "migrate"}.isdisjoint(arguments[1:3]):
        return [str(environment.program), str(MIGRATIONS), *arguments]
    if name in ("python", "python3", "node") and environment.program.name.startswith(name.rstrip("3")):
        return [str(environment.program), *arguments]
    if "/" in name:
        path = directory / name
        found = str(path) if os.access(path, os.X_OK) else None
    else:
        found = shutil.which(name, path=f"{environment.binaries}:{environment.program.parent}:{SYSTEM_PATH}")
    if found is None:
        raise LaunchFailed(
            f"The program {name!r} is neither in the project's environment nor on this machine; add the package "
            "that provides it to the requirements, or set another command in preview.toml.",
            reason="missing_program",
            program=name,
        )
    return [found, *arguments]


def _target(plan: StartPlan) -> AppTarget:
    if plan.target is None:
        raise InvalidGeneration(
            f"Cannot launch: it is not known which application to serve ({plan.server}). Name it in preview.toml: "
            '[start] app = "module:name".'
        )
    return plan.target
