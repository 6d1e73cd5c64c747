"""Plan the start of a project by its Dockerfile."""

from __future__ import annotations

import re
from typing import Final

from preview.detection.plan import Server, StartPlan, Toolchain
from preview.errors import InvalidGeneration
from preview.sources import Sources
from preview.sources.image_source import ImageSource, health_path_in

_NAMES: Final = ("Dockerfile", "Containerfile")
_HEALTHCHECK: Final = re.compile(r"^[ \t]*HEALTHCHECK[ \t]", re.MULTILINE | re.IGNORECASE)
_MOST_INSTRUCTION: Final = 4000


def find_dockerfile(sources: Sources) -> str | None:
    """Return the Dockerfile in the project's root; None if there is none."""
    return next((name for name in _NAMES if sources.has_file(name)), None)


def plan_dockerfile(sources: Sources, name: str, why: str) -> StartPlan:
    """Return the plan of a project that starts by its Dockerfile.

    Args:
        sources: The project's files.
        name: The Dockerfile, relative to the project.
        why: Reason, for the log.

    Raises:
        InvalidGeneration: There is no such file.
    """
    if not sources.has_file(name):
        raise InvalidGeneration(
            f"Cannot launch: there is no file {name} in the project, but preview.toml or the launch request names it "
            "as the Dockerfile.",
            missing_files=[name],
        )
    said = f"{name}: the project starts in a container of the image that it describes ({why})"
    return image_plan(sources, ImageSource(name), said)


def image_plan(sources: Sources, source: ImageSource, said: str) -> StartPlan:
    """Return the plan of a project that starts in an image.

    Args:
        sources: The project's files.
        source: The source of the image.
        said: The decision, for the log.
    """
    text = sources.text(source.dockerfile).decode("utf-8", "replace") if source.dockerfile else ""
    return StartPlan(
        "dockerfile",
        Toolchain.IMAGE,
        Server.COMMAND,
        None,
        health_path=_health_path(text),
        isolation="container",
        decisions=(said,),
        dockerfile=source.dockerfile,
        image=source,
    )


def _health_path(text: str) -> str | None:
    """Return the path that the last ``HEALTHCHECK`` asks; None if it asks no address."""
    starts = list(_HEALTHCHECK.finditer(text))
    return health_path_in(_instruction(text[starts[-1].end() :])) if starts else None


def _instruction(text: str) -> str:
    """Return an instruction up to its end: a line goes on after a backslash, and comments between do not count."""
    found: list[str] = []
    for line in text[:_MOST_INSTRUCTION].split("\n"):
        if found and line.lstrip().startswith("#"):
            continue
        found.append(line)
        if not line.rstrip().endswith("\\"):
            break
    return "\n".join(found)
