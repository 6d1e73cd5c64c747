"""From a project's files to what is run: the program, its environment, where to ask for its health."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from preview.endpoints import AppTarget, Extraction, extract, find_health_path, missing_files
from preview.environments import Environment
from preview.errors import InvalidGeneration
from preview.runtime import FD_PLACEHOLDER
from preview.settings import Settings
from preview.supervisor.workspace import Workspace

__all__ = ["LaunchPlan", "child_environment", "make_plan", "server_argv"]

# What a program finds on any Linux machine; the service's own PATH is not passed on.
_SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """What was decided about a project, from its files alone.

    Attributes:
        target: The app and why it was taken.
        health_path: The project's own health route, or None.
    """

    target: AppTarget
    health_path: str | None


def make_plan(project: Path) -> LaunchPlan:
    """Decide how to run the project. Reads files, runs nothing; meant for a thread.

    Raises:
        InvalidGeneration: It has no app that we know how to run; ``details`` says what is missing or unreadable.
    """
    extraction = extract(project)
    if extraction.target is None:
        raise _not_runnable(extraction, missing_files(project))
    return LaunchPlan(extraction.target, find_health_path(extraction.endpoints))


def _not_runnable(extraction: Extraction, missing: list[str]) -> InvalidGeneration:
    """No app was found; a file that cannot be read is more likely the reason than one that is missing."""
    # "." stands for files that were too many to be looked at.
    unreadable = {file: reason for file, reason in extraction.skipped.items() if file != "."}
    if unreadable:
        file, reason = next(iter(unreadable.items()))
        return InvalidGeneration(
            f"Cannot launch: {file} cannot be read ({reason}), and no other file makes a FastAPI app. "
            "Correct it and launch again.",
            path=file,
            unreadable_files=unreadable,
        )
    return InvalidGeneration(
        f"Cannot launch: Missing required files ({', '.join(missing)}). Add a Python file that makes a FastAPI "
        "app, for instance main.py with `app = FastAPI()`.",
        missing_files=missing,
    )


def server_argv(plan: LaunchPlan, environment: Environment, project: Path) -> list[str]:
    """Uvicorn on the inherited socket (``--fd``, https://www.uvicorn.org/settings/#socket-binding)."""
    target = plan.target
    factory = ["--factory"] if target.factory else []
    return [
        str(environment.python),
        "-m",
        "uvicorn",
        "--fd",
        FD_PLACEHOLDER,
        # Its output is a pipe, but ends in a terminal: colours are wanted.
        "--use-colors",
        "--app-dir",
        str(project / target.app_dir),
        *factory,
        f"{target.module}:{target.attribute}",
    ]


def child_environment(
    settings: Settings, environment: Environment, workspace: Workspace, port: int
) -> Mapping[str, str]:
    """All that the child's environment holds: the contract's variables and what a program needs to run at all."""
    variables = {
        "PATH": f"{environment.python.parent}:{_SYSTEM_PATH}",
        "VIRTUAL_ENV": str(environment.directory),
        "HOME": str(workspace.temp),
        "TMPDIR": str(workspace.temp),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        # The project's folder lives as long as the preview: compiled files would be written and thrown away.
        "PYTHONDONTWRITEBYTECODE": "1",
        "PORT": str(port),
        "LOG_LEVEL": settings.log_level,
        "NODE_ENV": settings.node_env,
    }
    if settings.db_type == "sqlite":
        variables["DATABASE_URL"] = workspace.database_url
    return variables
