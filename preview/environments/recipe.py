"""From a project's folder to the name of the environment it needs."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from preview.environments.build import SUPPLIED_SERVER, Recipe
from preview.environments.interpreter import Interpreter, check_python
from preview.environments.project import read_project
from preview.environments.requirements import RequirementSet

__all__ = ["make_recipe"]

# Raise it whenever what stands in an environment's folder changes: older ones are then left to eviction.
_LAYOUT_VERSION = 1


def make_recipe(project: Path, interpreter: Interpreter) -> Recipe:
    """What the project needs, and its key. Reads files, runs nothing; call it in a thread.

    Args:
        project: The project's folder.
        interpreter: For which Python.

    Raises:
        EnvironmentFailed: A requirement is wrong or not allowed, or another Python is wanted.
    """
    required = read_project(project)
    check_python(required.requires_python, interpreter, required.source)
    server = None if required.has_server else SUPPLIED_SERVER
    return Recipe(_key(required, interpreter, server), required, interpreter, server)


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
