"""Removal of what Podman leaves of builds that were given up: their containers, and groups that it made again.

Such a container has no label and no name of its own. Podman's description of it, in the folder of its containers, names
the control group of its step, and only builds of this service have theirs below the service's group.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import structlog
import trio

from preview.runtime.cgroups import EngineGroups
from preview.runtime.container import EngineError
from preview.runtime.container.images import Images
from preview.runtime.kernel.linux import beside

_log = structlog.get_logger(__name__)

_EVERY_S: Final = 5.0
# Together with the end of the groups less than the time for a stop (``stop_budget_s``).
_LAST_S: Final = 2.0
_START_S: Final = 20.0
_DESCRIPTION: Final = "*-containers/*/userdata/buildah.json"
_ID: Final = re.compile(r"[0-9a-f]{64}")
_MOST_BYTES: Final = 4 << 20


class LeftBuilds:
    """Removes what is left of builds that have ended.

    Args:
        images: Podman's images.
        root: Podman's folder.
        groups: The groups of the service's builds.
    """

    def __init__(self, images: Images, root: Path, groups: EngineGroups) -> None:
        self._images = images
        self._root = root
        self._groups = groups

    async def remove(self) -> None:
        """Remove what is left now; what cannot be removed stays until the next call. Cancellation: some is removed."""
        await self._groups.remove_left()
        for container in await trio.to_thread.run_sync(self._containers, abandon_on_cancel=True):
            with suppress(EngineError):
                await self._images.remove_step(container)
                _log.info("build container removed late", container=container)

    async def watch(self) -> None:
        """Remove every few seconds what is left, once a build has been given up. Runs until cancelled."""
        while True:
            await trio.sleep(_EVERY_S)
            if self._groups.was_given_up:
                try:
                    await self.remove()
                except OSError as error:
                    _log.warning("builds not removed yet", reason=str(error))

    def _containers(self) -> list[str]:
        return [
            path.parent.parent.name
            for path in self._root.glob(_DESCRIPTION)
            if _ID.fullmatch(path.parent.parent.name) and self._groups.is_ended(group_of(path))
        ]


def group_of(description: Path) -> str:
    """Return the control group that a description of a build's container names; empty if it names none. Blocks."""
    try:
        with description.open("rb") as file:
            found = json.loads(file.read(_MOST_BYTES))
        group = found["CommonBuildOpts"]["CgroupParent"]
    # It is removed meanwhile, not yet written, or another program's.
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""
    return group if isinstance(group, str) else ""


@asynccontextmanager
async def removing_left(images: Images, root: Path, groups: EngineGroups) -> AsyncIterator[None]:
    """Remove what builds of an earlier run have left, and what those of this run leave as long as the body runs.

    Cancellation: what is left is removed (bounded).
    """
    left = LeftBuilds(images, root, groups)
    # A container of another program's may go while they are listed.
    with trio.move_on_after(_START_S), suppress(OSError):
        await left.remove()
    try:
        async with beside(left.watch):
            yield
    finally:
        if groups.was_given_up:
            with trio.move_on_after(_LAST_S, shield=True), suppress(OSError):
                await left.remove()
