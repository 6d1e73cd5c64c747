"""Analysis of a project's files for a launch, in one pass that reads each file once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from preview.detection import Overrides, Server, ServiceKind, StartPlan, Toolchain, detect
from preview.detection.project_imports import find_imports
from preview.endpoints import Endpoint, endpoints_from_openapi
from preview.environments import EnvironmentRequest, SuppliedServer
from preview.environments.manifests.stated import Asked
from preview.environments.python.reading import read_request
from preview.errors import AnalysisFailed, EnvironmentFailed
from preview.sources import Sources


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Reason why a manifest cannot be read: the message and the details of an ``EnvironmentFailed``."""

    message: str
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Analysis:
    """Analysis of a project's files.

    Attributes:
        own: Names of the project's own top-level modules.
        imports: Names of the other modules that the project imports; see ``WarmStart.modules``.
        asked: The Python packages that the project requires; None for a Node project or an unreadable manifest.
        unreadable: Reason why ``asked`` is missing; None if the manifest was read or the project is a Node project.
    """

    plan: StartPlan
    own: frozenset[str]
    imports: tuple[str, ...]
    asked: Asked | None = None
    unreadable: Unreadable | None = None


def analyse(project: Path, overrides: Overrides | None, supplied: frozenset[ServiceKind] = frozenset()) -> Analysis:
    """Analyse the project without running any of its code.

    Args:
        project: The project's folder, absolute.
        overrides: Values that the launch request sets instead of the detected ones.
        supplied: Kinds of servers that the preview gets.

    Raises:
        PreviewError: The same errors as ``detect`` raises.
    """
    sources = Sources(project)
    return complete(detect(project, overrides, sources, supplied), project, sources)


def complete(plan: StartPlan, project: Path, sources: Sources) -> Analysis:
    """Return the complete analysis: the given plan, the imports and the requirements."""
    own, imports = find_imports(plan, project)
    if plan.toolchain is not Toolchain.PYTHON:
        return Analysis(plan, own, imports)
    try:
        asked = read_request(request_of(plan, project), sources)
    except EnvironmentFailed as error:
        return Analysis(plan, own, imports, unreadable=Unreadable(error.message, error.details))
    return Analysis(plan, own, imports, asked)


def request_of(plan: StartPlan, project: Path) -> EnvironmentRequest:
    """Return the request for a plan's environment."""
    return EnvironmentRequest(
        project=project,
        folder=plan.manifests,
        extra=plan.extra_requirements,
        server=_supplied(plan),
        entry=plan.target.file if plan.target is not None else None,
        image=plan.image,
        is_dated=plan.is_dated,
    )


def _supplied(plan: StartPlan) -> SuppliedServer | None:
    """Return the server to add if the project's requirements name none."""
    match plan.server:
        case Server.ASGI:
            return "uvicorn"
        case Server.WSGI | Server.DJANGO:
            return "waitress"
        case _:
            return None


def read_openapi(document: bytes) -> list[Endpoint]:
    """Return the endpoints of an OpenAPI document.

    Raises:
        AnalysisFailed: The document is not JSON.
    """
    try:
        content = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise AnalysisFailed("The OpenAPI document that the preview publishes is not valid JSON.") from error
    return endpoints_from_openapi(content if isinstance(content, dict) else {})
