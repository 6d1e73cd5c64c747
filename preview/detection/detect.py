"""From a project's folder to its start plan."""

from __future__ import annotations

from pathlib import Path

from preview.detection.overrides import Overrides, merge
from preview.detection.overrides_reading import read_preview_file
from preview.detection.plan import Server, StartPlan, Toolchain
from preview.endpoints import Found, find_apps, find_health_path
from preview.errors import InvalidGeneration
from preview.sources import Sources

__all__ = ["detect"]


def detect(directory: Path, overrides: Overrides | None = None) -> StartPlan:
    """Decide how the project in ``directory`` is started. Reads files, runs nothing; meant for a thread.

    Args:
        directory: The project's folder.
        overrides: What the launch request decides; it wins over the project's ``preview.toml``.

    Raises:
        InvalidGeneration: Nothing that could be started was found, or ``preview.toml`` has a mistake.
    """
    given = merge(read_preview_file(directory), overrides or Overrides())
    sources = Sources(directory)
    apps = find_apps(sources)
    if not apps:
        raise InvalidGeneration(
            "Cannot launch: Missing required files (main.py (with a FastAPI application named app))."
        )
    target = apps[0].target
    found: Found = {}
    apps[0].list_endpoints(found)
    return StartPlan(
        framework=target.framework,
        toolchain=Toolchain.PYTHON,
        server=Server.DJANGO if target.framework == "django" else Server.ASGI,
        target=target,
        health_path=given.health or find_health_path(tuple(found.values())),
        python_path=(target.app_dir,),
        variables=given.variables,
        extra_requirements=given.extra_requirements,
        decisions=(target.reason,),
    )
