"""Requirements that name where they come from: refused before a build that could not reach it."""

from __future__ import annotations

from preview.environments.requirements.requirements import ProjectRequirement, RequirementSet
from preview.environments.way_out import AllowedHosts, host_of
from preview.errors import EnvironmentFailed


def check_locations(required: RequirementSet, allowed: AllowedHosts) -> None:
    """See that each address that the project requires is at a host that builds may reach.

    Args:
        required: What the project asks for.
        allowed: Where builds may connect to.

    Raises:
        EnvironmentFailed: One is not.
    """
    for item in (*required.requirements, *required.constraints):
        if item.location is not None and "://" in item.location and not item.location.startswith("file:"):
            _check(item, item.location, allowed)


def _check(item: ProjectRequirement, location: str, allowed: AllowedHosts) -> None:
    there = host_of(location.removeprefix("git+"))
    if there is None:
        why = "builds reach hosts over HTTP alone; write it as git+https://"
    elif allowed.allows(*there):
        return
    else:
        why = (
            f"{there[0]}:{there[1]} is not a host that builds may reach; "
            "the service's operator can add it to PREVIEW_BUILD_HOSTS"
        )
    raise EnvironmentFailed(f"{item.origin}: {why}", reason="host", requirement=item.text, origin=item.origin)
