"""From a project's folder to the name of the environment it needs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from preview.environments.build import Recipe
from preview.environments.environment import EnvironmentRequest, SuppliedServer
from preview.environments.interpreter import Interpreter, check_python
from preview.environments.manifests.search import read_project
from preview.environments.requirements import RequirementSet, parse_requirement

__all__ = ["make_recipe"]

# Raise it whenever what stands in an environment's folder changes: older ones are then left to eviction.
_LAYOUT_VERSION = 1


# Ranges, so that they fit whatever else the project pins.
_SERVERS: Final[Mapping[SuppliedServer, str]] = {"uvicorn": "uvicorn>=0.30", "waitress": "waitress>=3"}


def make_recipe(request: EnvironmentRequest, interpreter: Interpreter) -> Recipe:
    """What the project needs, and its key. Reads files, runs nothing; call it in a thread.

    Args:
        request: What is asked for.
        interpreter: For which Python.

    Raises:
        EnvironmentFailed: A requirement is wrong or not allowed, or another Python is wanted.
    """
    required = _with_extra(read_project(request.project, request.folder, request.entry), request.extra)
    check_python(required.requires_python, interpreter, required.source)
    wanted = request.server
    server = None if wanted is None or required.brings(wanted) else _SERVERS[wanted]
    return Recipe(_key(required, interpreter, server), required, interpreter, server)


def _with_extra(required: RequirementSet, extra: Sequence[str]) -> RequirementSet:
    added = [parse_requirement(line, f"extra requirement {number}") for number, line in enumerate(extra, start=1)]
    new = [item for item in added if item.name is None or required.find(item.name) is None]
    return replace(required, requirements=(*required.requirements, *new))


def _key(required: RequirementSet, interpreter: Interpreter, server: str | None) -> str:
    # Sorted: the order of lines does not change what is installed. Comments and spacing are gone by now.
    facts = [
        _LAYOUT_VERSION,
        sorted(item.identity for item in required.requirements),
        sorted(item.identity for item in required.constraints),
        required.options,
        required.prerelease,
        interpreter.identity,
        server,
    ]
    # 128 bits of it: the name stands in every traceback.
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]
