"""The start plan: decided by detection, carried out by the supervisor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from preview.core.isolation import Network
from preview.endpoints import AppTarget


class Toolchain(StrEnum):
    """Kind of environment that the project needs."""

    PYTHON = "python"
    NODE = "node"


class Server(StrEnum):
    """Way in which the application gets its socket.

    ``ASGI``, ``WSGI`` and ``DJANGO`` are served by us on the inherited socket; ``NODE`` runs the project's own program,
    whose ``listen`` is redirected to it; ``COMMAND`` runs any command, which listens at ``PORT`` itself.
    """

    ASGI = "asgi"
    WSGI = "wsgi"
    DJANGO = "django"
    NODE = "node"
    COMMAND = "command"


class Origin(StrEnum):
    """Source of a variable's value; later ones of this list win.

    ``SUPPLIED`` is what the contract gives to every preview, in the form that this project takes.
    """

    MADE_UP = "made up"
    EXAMPLE = "example file"
    SUPPLIED = "supplied"
    PROJECT = "preview.toml"
    REQUEST = "launch request"


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable that the project wants.

    Attributes:
        name: As the source reads it.
        value: What it gets. ``{database_url}``, ``{database_path}``, ``{port}`` and ``{directory}`` are filled in at
            launch, and ``{secret}`` by 64 hexadecimal characters that are made up for each preview.
        origin: Where the value comes from.
        where: ``app/config.py:12``, or the example file; for the log.
        secret: The name sounds like a secret: its value is never shown.
    """

    name: str
    value: str
    origin: Origin
    where: str = ""
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """Something that runs before the application: migrations, a build, a code generator.

    Attributes:
        name: One or two words for the log and the page: ``migrations``, ``build``, ``prisma generate``.
        argv: The command; its first word is looked up in the environment's ``bin`` (``alembic``, ``python``, ``npx``).
        why: One sentence for the log.
        required: Whether a failure ends the launch; else it is a warning.
        variables: Set for this step alone.
    """

    name: str
    argv: tuple[str, ...]
    directory: str
    why: str
    required: bool = False
    variables: Mapping[str, str] | None = None


class ServiceKind(StrEnum):
    """Servers that projects expect beside them."""

    POSTGRESQL = "PostgreSQL"
    MYSQL = "MySQL"
    REDIS = "Redis"
    MONGODB = "MongoDB"
    RABBITMQ = "RabbitMQ"
    ELASTICSEARCH = "Elasticsearch"


@dataclass(frozen=True, slots=True)
class ServiceNeed:
    """A server that the project's code connects to.

    Attributes:
        setting: The environment variable (or setting) that points to it, or None where its address is fixed in the
            source.
        where: ``app/db.py:7``.
        at_startup: The application does not come up without it, as far as the source tells.
        address: Host and port it will ask for with the plan's variables; None where that is not known.
    """

    kind: ServiceKind
    setting: str | None
    where: str
    at_startup: bool = False
    address: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class StartPlan:
    """All that was decided about a project, from its files and ``preview.toml`` alone.

    Attributes:
        framework: ``fastapi``, ``starlette``, ``flask``, ``django``, ``express``, ``node`` or ``command``.
        toolchain: Whose environment is built.
        server: How it gets its socket.
        target: The application; None for ``Server.COMMAND`` without a known one.
        directory: The working folder, relative to the project; ``.`` for its own.
        python_path: Further folders for ``PYTHONPATH``, relative to the project, ``directory`` first.
        command: For ``NODE`` the arguments of ``node`` (``--import tsx src/main.ts``); for ``COMMAND`` the whole
            command.
        manifests: Folder whose manifest says what is required, relative to the project.
        extra_requirements: Requirements that no manifest declares, as lines for the installer.
        steps: Run in this order before the application.
        variables: What its environment gets beyond the contract's own, by name.
        services: Servers that it will ask for.
        health_path: The project's own health route, or None: then any answer to ``/`` counts.
        network: What ``preview.toml`` or the launch request asks to reach, or None.
        decisions: One sentence each, for the log and ``preview detect``.
        warnings: Likewise: what may not work, and what to do.
    """

    framework: str
    toolchain: Toolchain
    server: Server
    target: AppTarget | None
    directory: str = "."
    python_path: tuple[str, ...] = (".",)
    command: tuple[str, ...] = ()
    manifests: str = "."
    extra_requirements: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    variables: Mapping[str, Variable] = field(default_factory=dict)
    services: tuple[ServiceNeed, ...] = ()
    health_path: str | None = None
    network: Network | None = None
    decisions: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def describe_plan(plan: StartPlan) -> dict[str, object]:
    """All of the plan, in the contract's snake_case."""
    return {
        "framework": plan.framework,
        "toolchain": str(plan.toolchain),
        "server": str(plan.server),
        "app": str(plan.target) if plan.target is not None and plan.framework != "command" else None,
        "app_dir": plan.target.app_dir if plan.target is not None else None,
        "factory": plan.target.factory if plan.target is not None else False,
        "file": plan.target.file if plan.target is not None else None,
        "directory": plan.directory,
        "python_path": list(plan.python_path),
        "command": list(plan.command),
        "manifests": plan.manifests,
        "extra_requirements": list(plan.extra_requirements),
        "steps": [_step(step) for step in plan.steps],
        "variables": [_variable(variable) for variable in plan.variables.values()],
        "services": [_service(need) for need in plan.services],
        "health_path": plan.health_path,
        "decisions": list(plan.decisions),
        "warnings": list(plan.warnings),
    }


def shown_value(variable: Variable) -> str | None:
    """Return a variable's value; None for a secret."""
    hidden = variable.secret or "{secret}" in variable.value
    return None if hidden or variable.origin in {Origin.REQUEST, Origin.PROJECT} else variable.value


def _step(step: Step) -> dict[str, object]:
    return {
        "name": step.name,
        "command": list(step.argv),
        "directory": step.directory,
        "why": step.why,
        "required": step.required,
    }


def _variable(variable: Variable) -> dict[str, object]:
    return {
        "name": variable.name,
        "value": shown_value(variable),
        "origin": str(variable.origin),
        "where": variable.where,
        "secret": variable.secret,
    }


def _service(need: ServiceNeed) -> dict[str, object]:
    return {
        "kind": str(need.kind),
        "setting": need.setting,
        "where": need.where,
        "at_startup": need.at_startup,
        "address": None if need.address is None else f"{need.address[0]}:{need.address[1]}",
    }
