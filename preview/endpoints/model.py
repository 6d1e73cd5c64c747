"""Data types for endpoints and applications, whatever they were read from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class Origin(StrEnum):
    """Best evidence that an endpoint exists."""

    STATIC = "static"
    OPENAPI = "openapi"
    APPLICATION = "application"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an endpoint, as its OpenAPI document describes it.

    Attributes:
        name: Its name.
        location: ``path``, ``query``, ``header`` or ``cookie``.
        type: Its JSON type.
        required: Whether requests must have it.
        default: The value that applies without it; None if unknown.
        choices: The values that it may have; empty for any.
        sample: A value that its schema accepts.
        description: A few words.
    """

    name: str
    location: str
    type: str = "string"
    required: bool = False
    default: object = None
    choices: tuple[object, ...] = ()
    sample: object = None
    description: str = ""


@dataclass(frozen=True, slots=True)
class Body:
    """One content type that an endpoint accepts.

    Attributes:
        content_type: For example ``application/json``.
        sample: A value that the schema accepts; None if there is no schema.
        files: Names of the fields that are files, in a form.
        required: Whether requests must have a body.
    """

    content_type: str
    sample: object = None
    files: tuple[str, ...] = ()
    required: bool = False


@dataclass(frozen=True, slots=True)
class Credential:
    """One way to authenticate at an endpoint.

    Attributes:
        scheme: Name of the scheme in the OpenAPI document.
        kind: ``bearer``, ``basic``, ``key`` or ``other``.
        location: For a key: ``header``, ``query`` or ``cookie``; else empty.
        name: For a key: name of the header, parameter or cookie; else empty.
    """

    scheme: str
    kind: str
    location: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method on one path.

    Attributes:
        method: Upper case; ``*`` if the application accepts any method.
        path: Begins with ``/``; parameters have the form ``{name}``.
        summary: A few words.
        description: The docstring or the OpenAPI description; may be empty.
        tags: In order, without repeats.
        query: Query parameters with their JSON type (``integer``, ``string``, ``number``, ``boolean``, ``array``).
        request_body: A skeleton such as ``{"name": "string", "tags": ["string"]}``; None if unknown.
        response_schema: A skeleton of the response, in the same form; None if unknown.
        file: The source file, relative to the project; None if only the running preview has the endpoint.
        line: Line number in ``file``, from 1.
        path_parameters: The path's parameters with their JSON type, as far as the types are known.
        source: Best evidence that it exists: its source file, the OpenAPI document or the application's route table.
        parameters: Parameters with their details; empty without an OpenAPI document.
        bodies: Content types with samples; empty without an OpenAPI document.
        credentials: Ways to authenticate; empty if none is known.
    """

    method: str
    path: str
    summary: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    query: Mapping[str, str] = field(default_factory=dict)
    request_body: object = None
    response_schema: object = None
    file: str | None = None
    line: int | None = None
    path_parameters: Mapping[str, str] = field(default_factory=dict)
    source: Origin = Origin.STATIC
    parameters: tuple[Parameter, ...] = ()
    bodies: tuple[Body, ...] = ()
    credentials: tuple[Credential, ...] = ()


SOCKET: Final = "WS"
"""Stands for a method where a route is a WebSocket's. It is never a method of an ``Endpoint``."""


@dataclass(frozen=True, slots=True)
class SocketEndpoint:
    """A path that takes WebSockets.

    Attributes:
        path: As for ``Endpoint``.
        summary: A few words; may be empty.
        protocol: ``websocket``, or ``socket.io`` for a path that only clients of that library understand.
        file: The source file, relative to the project; None if unknown.
        line: Line number in ``file``, from 1.
    """

    path: str
    summary: str = ""
    protocol: str = "websocket"
    file: str | None = None
    line: int | None = None


NODE_NAMES: Final[Mapping[str, str]] = {
    "express": "Express",
    "nestjs": "NestJS",
    "fastify": "Fastify",
    "koa": "Koa",
    "hono": "Hono",
    "elysia": "Elysia",
    "hapi": "hapi",
    "restify": "Restify",
    "next": "Next.js",
}
"""Maps each of Node's frameworks to the name that people use."""


@dataclass(frozen=True, slots=True)
class AppTarget:
    """The application that the server should run.

    Attributes:
        framework: ``fastapi``, ``starlette``, ``flask``, ``quart``, ``django``, ``litestar``, ``sanic``,
            ``blacksheep``, ``aiohttp``, ``falcon``, ``tornado``, ``bottle``, or a key of ``NODE_NAMES``.
        module: ``app.main``; for Django the settings, ``config.settings``; for Node the entry file relative to
            ``app_dir``, ``src/index.js``.
        attribute: ``app``, or the name of a factory; empty for Django and Node.
        app_dir: The folder that imports are relative to (Django: of ``manage.py``; Node: of ``package.json``),
            relative to the project; ``.`` for its root.
        factory: Whether ``attribute`` is a factory to call without arguments.
        file: The module's file, relative to the project.
        reason: One sentence for the log.
    """

    module: str
    attribute: str
    app_dir: str
    factory: bool
    file: str
    reason: str
    framework: str = "fastapi"

    def __str__(self) -> str:
        return f"{self.module}:{self.attribute}" if self.attribute else self.module


MAX_UNREAD: Final = 20
"""Maximum number of sentences about what could not be read: more help nobody."""


class Found(dict[tuple[str, str], Endpoint]):
    """Maps method and path to the endpoint, in order; of two with the same key, the first one answers.

    Attributes:
        unread: One sentence for each route that could not be read, without repeats.
        sockets: WebSockets by their path.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sockets: dict[str, SocketEndpoint] = {}
        self.unread: dict[str, None] = {}

    def take(self, endpoint: Endpoint) -> None:
        """Add an endpoint, or the WebSocket that it stands for. Of two with the same key, the first one answers."""
        if endpoint.method == SOCKET:
            socket = SocketEndpoint(endpoint.path, endpoint.summary, file=endpoint.file, line=endpoint.line)
            self.sockets.setdefault(endpoint.path, socket)
        else:
            self.setdefault((endpoint.method, endpoint.path), endpoint)

    def miss(self, file: str, line: int, what: str) -> None:
        """Note that something in a file could not be read; ``line`` is 0 if it has no place of its own."""
        place = f"{file}:{line}: " if line else f"{file}: "
        self.say(f"{place}{what}" if file else what)

    def say(self, sentence: str) -> None:
        """Note that something could not be read."""
        if len(self.unread) < MAX_UNREAD:
            self.unread[sentence] = None


@dataclass(frozen=True, slots=True)
class FoundApp:
    """An application found by a framework's finder.

    Attributes:
        target: The application that the server should run.
        hinted: Whether the project's own files start it (Procfile, Dockerfile, ``uvicorn.run``, a package.json script).
        side: Whether its file is in a folder for tests, examples or documentation.
        list_endpoints: Adds its endpoints to ``Found``; raises ``OutOfBudget`` if that takes too long.
    """

    target: AppTarget
    hinted: bool
    side: bool
    list_endpoints: Callable[[Found], None]


@dataclass(frozen=True, slots=True)
class Listing:
    """The endpoints of a backend, and what may be missing.

    Attributes:
        endpoints: In the order of the application.
        unread: One sentence for each part that could not be read: a route, a framework, the rest of a large project.
        sockets: WebSockets, as far as they were found in the source.
    """

    endpoints: tuple[Endpoint, ...] = ()
    unread: tuple[str, ...] = ()
    sockets: tuple[SocketEndpoint, ...] = ()

    @property
    def complete(self) -> bool:
        """True if everything that was looked at could be read."""
        return not self.unread


@dataclass(frozen=True, slots=True)
class Extraction(Listing):
    """Result of reading a project.

    Attributes:
        skipped: Files that were needed but could not be read, with the reason.
        target: The application that has the endpoints; None if none was found.
    """

    skipped: Mapping[str, str] = field(default_factory=dict)
    target: AppTarget | None = None
