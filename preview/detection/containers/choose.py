"""Choose the file by which a project starts in a container."""

from __future__ import annotations

from preview.detection.containers.compose import plan_compose
from preview.detection.containers.compose_file import NAMES as COMPOSE_NAMES
from preview.detection.containers.compose_file import find_compose
from preview.detection.containers.devcontainer import NAMES as DEVCONTAINER_NAMES
from preview.detection.containers.devcontainer import find_devcontainer, plan_devcontainer
from preview.detection.containers.dockerfile import find_dockerfile, plan_dockerfile
from preview.detection.plan import ServiceKind, StartPlan
from preview.errors import InvalidGeneration
from preview.sources import Sources

_WHY = "nothing else starts it"


def plan_named(sources: Sources, name: str, kinds: frozenset[ServiceKind]) -> StartPlan:
    """Return the plan for the file that the project or the launch names.

    Args:
        sources: The project's files.
        name: A Dockerfile, a compose file (``compose.yaml#api`` names its service), or a ``devcontainer.json``.
        kinds: Kinds of servers that the preview gets.

    Raises:
        InvalidGeneration: There is no such file, or it cannot be used.
    """
    file, _, service = name.partition("#")
    last = file.rpartition("/")[2]
    if sources.has_file(file) and (last in COMPOSE_NAMES or service):
        return plan_compose(sources, file, service, "as specified", kinds)
    if sources.has_file(file) and file in DEVCONTAINER_NAMES:
        return plan_devcontainer(sources, file, "as specified", kinds)
    return plan_dockerfile(sources, name, "as specified")


def find_container_plan(sources: Sources, kinds: frozenset[ServiceKind]) -> StartPlan | None:
    """Return the plan for a compose file, a Dockerfile or a ``devcontainer.json``, in this order; None without one.

    Args:
        sources: The project's files.
        kinds: Kinds of servers that the preview gets.

    Raises:
        InvalidGeneration: The only such file cannot be used.
    """
    composed, dockerfile, developed = find_compose(sources), find_dockerfile(sources), find_devcontainer(sources)
    if composed is not None:
        try:
            return plan_compose(sources, composed, "", _WHY, kinds)
        except InvalidGeneration as error:
            # Most such files have a database and nothing else.
            if dockerfile is None and error.details.get("reason") != "no_build":
                raise
    if dockerfile is not None:
        return plan_dockerfile(sources, dockerfile, _WHY)
    return None if developed is None else plan_devcontainer(sources, developed, _WHY, kinds)
