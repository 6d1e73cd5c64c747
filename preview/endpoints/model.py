"""What is known of an endpoint, wherever it was learnt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["AppTarget", "Endpoint", "Extraction"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method on one path.

    Attributes:
        method: Upper case.
        path: Begins with ``/``; parameters as ``{name}``.
        summary: A few words.
        description: The docstring, or what OpenAPI says; may be empty.
        tags: In order, each once.
        query: Query parameters with their JSON type (``integer``, ``string``, ``number``, ``boolean``, ``array``).
        request_body: A skeleton such as ``{"name": "string", "tags": ["string"]}``; None where none is known.
        response_schema: A skeleton of the answer, likewise.
        file: Where it is written, relative to the project; None when only the running preview told of it.
        line: Line number in ``file``, from 1.
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


@dataclass(frozen=True, slots=True)
class AppTarget:
    """What the server should run.

    Attributes:
        module: ``app.main``.
        attribute: ``app``, or a factory's name.
        app_dir: Folder that imports count from, relative to the project; ``.`` for its own.
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

    def __str__(self) -> str:
        return f"{self.module}:{self.attribute}"


@dataclass(frozen=True, slots=True)
class Extraction:
    """What reading a project gave.

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
