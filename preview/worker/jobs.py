"""Jobs of a worker, each of which reads untrusted files. This module runs only in workers and their server."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

from pydantic import TypeAdapter

from preview.detection import Overrides, ServiceKind
from preview.endpoints import Listing, extract, read_route_table
from preview.environments.manifests.poetry import read_poetry
from preview.environments.node.locks import LockFile
from preview.environments.node.manifest import read_node_manifest
from preview.environments.node.reading import pins_or_reason
from preview.generations import GenerationLimits
from preview.sources import files
from preview.worker.analysis import analyse, read_openapi
from preview.worker.archives import unpack_into
from preview.worker.child import Job, JobContext
from preview.worker.differences import compare_files, unpacked
from preview.worker.node_manifests import answer_of

_OVERRIDES: Final = TypeAdapter(Overrides | None)
_SUPPLIED: Final = TypeAdapter(frozenset[ServiceKind])
# Each form of a dependency: Poetry's library imports its parts at their first use, which a confined worker cannot.
_POETRY: Final = {
    "dependencies": {
        "python": "^3.9 || ~3.6",
        "a": "^1.0",
        "b": [{"version": "~1.2", "extras": ["x"], "python": "<3.10"}, {"version": "*", "markers": "os_name == 'nt'"}],
        "c": {"git": "https://example.org/c.git", "branch": "main"},
        "d": {"url": "https://example.org/d.zip"},
        "e": "no version",
    }
}


def _analyse(context: JobContext, arguments: Mapping[str, Any]) -> object:
    files.tell_progress = context.progress.tell
    supplied = _SUPPLIED.validate_python(arguments["supplied"])
    return analyse(context.project, _OVERRIDES.validate_python(arguments["overrides"]), supplied)


def _endpoints(context: JobContext, _arguments: Mapping[str, Any]) -> object:
    files.tell_progress = context.progress.tell
    found = extract(context.project)
    return Listing(found.endpoints, found.unread, found.sockets)


def _openapi(context: JobContext, _arguments: Mapping[str, Any]) -> object:
    with os.fdopen(context.files[0], "rb") as file:
        file.seek(0)
        return read_openapi(file.read())


def _routes(context: JobContext, _arguments: Mapping[str, Any]) -> object:
    with os.fdopen(context.files[0], "rb") as file:
        file.seek(0)
        return read_route_table(file.read())


def _node(context: JobContext, arguments: Mapping[str, Any]) -> object:
    context.progress.tell("package.json")
    return answer_of(read_node_manifest(context.project, tuple(arguments["extra"])))


def _pins(context: JobContext, arguments: Mapping[str, Any]) -> object:
    context.progress.tell(arguments["name"])
    with os.fdopen(context.files[0], "rb") as file:
        file.seek(0)
        return pins_or_reason(LockFile(arguments["name"], file.read()))


def _unpack(context: JobContext, arguments: Mapping[str, Any]) -> object:
    archive, contents, plain = context.files
    limits = GenerationLimits(arguments["files"], arguments["size_bytes"])
    return unpack_into(archive, contents, plain, limits, arguments.get("folder"))


def _compare(context: JobContext, arguments: Mapping[str, Any]) -> object:
    context.progress.tell("the versions")
    with os.fdopen(context.files[0], "rb") as file:
        file.seek(0)
        return compare_files(unpacked(arguments["sizes"], file.read()))


def _warm_up(context: JobContext, _arguments: Mapping[str, Any]) -> object:
    """Load and touch all that the other jobs need, with a small sample project."""
    found = analyse(context.project, None)
    read_poetry(_POETRY, "pyproject.toml")
    extract(context.project)
    answer_of(read_node_manifest(context.project / "node"))
    return found


JOBS: Final[Mapping[str, Job]] = {
    "analyse": Job(_analyse),
    "compare": Job(_compare),
    "endpoints": Job(_endpoints),
    "node": Job(_node),
    "openapi": Job(_openapi),
    "pins": Job(_pins),
    "routes": Job(_routes),
    "unpack": Job(_unpack, writes=True),
    "warm_up": Job(_warm_up),
}
