"""Facts about an endpoint, from any source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method on one path.

    Attributes:
        method: Upper case; ``*`` where the application takes any.
        path: Begins with ``/``; parameters as ``{name}``.
        summary: A few words.
        description: The docstring, or what OpenAPI says; may be empty.
        tags: In order, each once.
        query: Query parameters with their JSON type (``integer``, ``string``, ``number``, ``boolean``, ``array``).
        request_body: A skeleton such as ``{"name": "string", "tags": ["string"]}``; None where none is known.
        response_schema: A skeleton of the answer, likewise.
        file: Where it is written, relative to the project; None when only the running preview told of it.
        line: Line number in ``file``, from 1.
        path_parameters: The path's parameters with their JSON type, as far as it is known.
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


@dataclass(frozen=True, slots=True)
class AppTarget:
    """The application that the server should run.

    Attributes:
        framework: ``fastapi``, ``starlette``, ``flask``, ``django`` or ``express``.
        module: ``app.main``; for Django the settings, ``config.settings``; for Express the entry file from ``app_dir``,
            ``src/index.js``.
        attribute: ``app``, or a factory's name; empty for Django and Express.
        app_dir: Folder that imports count from (Django: of ``manage.py``; Express: of ``package.json``), relative to
            the project; ``.`` for its own.
        factory: ``attribute`` is to be called without arguments.
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


Found = dict[tuple[str, str], Endpoint]
"""Method and path to endpoint, in order; of two with the same key the first is the one that answers."""


@dataclass(frozen=True, slots=True)
class FoundApp:
    """An application that a framework's reader found.

    Attributes:
        target: What the server should run.
        hinted: The project's own files start it (Procfile, Dockerfile, ``uvicorn.run``, a package.json script).
        side: It lies where tests, examples or documents do.
        list_endpoints: Adds its endpoints to ``Found``; raises ``OutOfBudget`` when that takes too long.
    """

    target: AppTarget
    hinted: bool
    side: bool
    list_endpoints: Callable[[Found], None]


@dataclass(frozen=True, slots=True)
class Extraction:
    """Result of reading a project.

    Attributes:
        endpoints: In the order the application has them.
        skipped: Files that were needed and could not be read, with the reason.
        target: The application they belong to; None when none was found.
        complete: False when a bound was reached before the end.
    """

    endpoints: tuple[Endpoint, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)
    target: AppTarget | None = None
    complete: bool = True
