"""The start plan: detection decides it, and the supervisor carries it out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from preview.core.isolation import Network
from preview.core.lifecycle import OnCrash
from preview.endpoints import AppTarget
from preview.sources.image_source import ImageSource

MAIN_PROGRAM = "preview-main"
"""First word of a step that runs a Python file as ``__main__`` without its server (``launchers/preview_main.py``)."""

TABLES_PROGRAM = "preview-tables"
"""First word of a step that makes the tables of models (``launchers/commands/preview_tables.py``)."""

TYPEORM_TABLES = "PREVIEW_TYPEORM_TABLES"
"""Variable with which the hook in Node's programs makes the tables of TypeORM's entities (``entities.cjs``)."""

_GENERATED = ("{secret}", "{secret_base64}", "{secret_32}")


class Toolchain(StrEnum):
    """Kind of environment that the project needs."""

    PYTHON = "python"
    NODE = "node"
    IMAGE = "image"


class Server(StrEnum):
    """Way in which the application gets its socket.

    ``ASGI``, ``WSGI`` and ``DJANGO`` applications run on the inherited socket. ``NODE`` runs the project's own program
    and redirects its ``listen`` to the socket. ``BUN`` runs it with Bun, which listens at ``PORT`` itself. ``COMMAND``
    runs any command, which does so too.
    """

    ASGI = "asgi"
    WSGI = "wsgi"
    DJANGO = "django"
    NODE = "node"
    BUN = "bun"
    COMMAND = "command"


class Origin(StrEnum):
    """Source of a variable's value, in ascending order of precedence.

    ``SUPPLIED`` marks values that every preview gets, in the format that the project expects.
    """

    MADE_UP = "made up"
    EXAMPLE = "example file"
    SUPPLIED = "supplied"
    PROJECT = "preview.toml"
    SETTINGS = "project settings"
    PRESET = "preset"
    REQUEST = "launch request"


GIVEN = frozenset({Origin.PROJECT, Origin.SETTINGS, Origin.PRESET, Origin.REQUEST})
"""Origins of explicit values."""


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable that the project reads.

    Attributes:
        name: The name in the source.
        value: The value. ``{database_url}``, ``{database_path}``, ``{port}`` and ``{directory}`` are replaced at
            launch; ``{secret}`` is replaced by 64 hexadecimal characters generated for each preview, ``{secret_32}`` by
            32, and ``{secret_base64}`` by 32 bytes in base64.
        origin: The source of the value.
        where: ``app/config.py:12``, or the example file; for the log.
        secret: The name looks like a secret, so the value is never shown.
        instead_of: Value that a failed attempt had; see ``Overrides``.
    """

    name: str
    value: str
    origin: Origin
    where: str = ""
    secret: bool = False
    instead_of: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A command that runs before the application: migrations, a build, a code generator.

    Attributes:
        name: One or two words for the log and the page: ``migrations``, ``build``, ``prisma generate``.
        argv: The command; its first word is looked up in the environment's ``bin`` (``alembic``, ``python``, ``npx``).
        why: One sentence for the log.
        required: True if a failure ends the launch; else a failure is a warning.
        variables: Additional environment variables for this step only.
        inputs: Digest of what the step makes tables from; a reload runs the step again if it has changed.
    """

    name: str
    argv: tuple[str, ...]
    directory: str
    why: str = field(compare=False)
    required: bool = False
    variables: Mapping[str, str] | None = None
    inputs: str = ""


class ServiceKind(StrEnum):
    """Backing services that projects may need."""

    POSTGRESQL = "PostgreSQL"
    MYSQL = "MySQL"
    REDIS = "Redis"
    MONGODB = "MongoDB"
    RABBITMQ = "RabbitMQ"
    ELASTICSEARCH = "Elasticsearch"
    KAFKA = "Kafka"
    NATS = "NATS"
    MQTT = "MQTT"


@dataclass(frozen=True, slots=True)
class ServiceNeed:
    """A server that the project's code connects to.

    Attributes:
        setting: The environment variable (or setting) with the server's address; None if the source has a fixed
            address.
        where: ``app/db.py:7``.
        at_startup: The application cannot start without the server, as far as the source shows.
        address: Host and port that the application uses with the plan's variables; None if unknown.
        supplied: The preview gets a server of this kind.
        ports: Further local ports at which the code expects a server of this kind.
        insists_on_tls: The source connects only with encryption, to a server of this kind or another.
        administers: The project is the administrator of a server of its own.
    """

    kind: ServiceKind
    setting: str | None
    where: str
    at_startup: bool = False
    address: tuple[str, int] | None = None
    supplied: bool = False
    ports: tuple[int, ...] = ()
    insists_on_tls: bool = False
    administers: bool = False


@dataclass(frozen=True, slots=True)
class StartPlan:
    """All decisions about how to start a project, from its files and ``preview.toml`` alone.

    Attributes:
        framework: ``fastapi``, ``starlette``, ``flask``, ``quart``, ``django``, ``litestar``, ``sanic``,
            ``blacksheep``, ``aiohttp``, ``falcon``, ``tornado``, ``bottle``, a key of ``NODE_NAMES``, ``node``,
            ``dockerfile`` or ``command``.
        toolchain: The kind of environment to build.
        server: How the application gets its socket.
        target: The application; None for ``Server.COMMAND`` without a known one.
        directory: The working folder, relative to the project; ``.`` for the project's root.
        python_path: Folders for ``PYTHONPATH``, relative to the project, ``directory`` first.
        command: For ``NODE`` and ``BUN`` the arguments of the program (``--import tsx src/main.ts``); for ``COMMAND``
            the whole command.
        manifests: The folder of the manifest that lists the requirements, relative to the project.
        extra_requirements: Requirements that no manifest declares, as lines for the installer.
        steps: Commands that run in this order before the application.
        workers: Commands that run beside the application.
        variables: Environment variables by name, in addition to those of every preview.
        services: Servers that the application connects to.
        health_path: The project's own health route; None means that any response to ``/`` counts.
        network: Network access requested by ``preview.toml`` or the launch request, or None.
        isolation: ``container`` if ``preview.toml`` or the launch request wants a container, or None.
        trace: Spans of each request are recorded; see ``preview.tracing``.
        on_crash: What happens when the process of the running preview crashes.
        defaulted: Names of the variables that have a default in the sources.
        dispensable: Names of the variables that the sources can do without.
        is_dated: All Python packages are as of the day that the project's files tell.
        linked_at: Absolute folder at which the programs see the project, too; not in a container.
        linked_folder: The project's folder that they see there instead.
        exports_spans: A traced project has OpenTelemetry, which may send spans of its own.
        decisions: One sentence each, for the log and ``preview detect``.
        warnings: One sentence each: a possible problem, and how to fix it.
        dockerfile: The Dockerfile, compose file or ``devcontainer.json`` that starts the project, for
            ``Toolchain.IMAGE`` alone; ``command`` replaces the image's own.
        image: The source of the image, for ``Toolchain.IMAGE`` alone.
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
    isolation: Literal["container"] | None = None
    trace: bool = False
    on_crash: OnCrash = OnCrash.STAY
    exports_spans: bool = False
    decisions: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    workers: tuple[Step, ...] = ()
    dockerfile: str | None = None
    image: ImageSource | None = None
    defaulted: frozenset[str] = frozenset()
    dispensable: frozenset[str] = frozenset()
    is_dated: bool = False
    linked_at: str | None = None
    linked_folder: str | None = None


def describe_plan(plan: StartPlan) -> dict[str, object]:
    """Return the plan as the JSON object of the snake_case contract."""
    return {
        "framework": plan.framework,
        "toolchain": str(plan.toolchain),
        "server": str(plan.server),
        "app": str(plan.target) if plan.target is not None and "command" not in _frameworks(plan) else None,
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


def _frameworks(plan: StartPlan) -> set[str]:
    """Return the framework, and that of the target: a command of a known framework has a target of its own."""
    return {plan.framework, plan.target.framework if plan.target is not None else ""}


def is_generated(value: str) -> bool:
    """Return true if the value contains a secret that each launch generates."""
    return any(placeholder in value for placeholder in _GENERATED)


def shown_value(variable: Variable) -> str | None:
    """Return the variable's value, or None for a secret."""
    hidden = variable.secret or is_generated(variable.value)
    return None if hidden or variable.origin in GIVEN else variable.value


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
        "supplied": need.supplied,
    }
