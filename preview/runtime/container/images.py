"""Images of an engine: build, describe, list, remove. Each answer is checked for its shape."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

from preview.runtime.container.builds import (
    HERE,
    BuildLimits,
    docker_request,
    in_dockers_words,
    podman_name,
    podman_request,
)
from preview.runtime.container.description import DATA_LABEL, PREVIEW_LABEL
from preview.runtime.container.engine import Engine, EngineError

_NOT_FOUND: Final = 404
_IMAGE_ID = re.compile(r"sha256:[0-9a-f]{64}")
_ID = re.compile(r"[0-9a-f]{64}")
_SHARED: Final = "container:"


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image that the service has built: its id, its name (empty for a stage or a rest), age and size.

    ``parent`` is the image of the step before; the size has that of the base too.
    """

    id: str
    name: str
    created: int
    size_bytes: int
    parent: str = ""


class Images:
    """Images that one service has built on its engine.

    Args:
        engine: The engine.
        data: Name of the service's data folder, by which it finds its images.
    """

    def __init__(self, engine: Engine, data: str) -> None:
        self._engine = engine
        self._data = data

    @property
    def is_podman(self) -> bool:
        """True if the engine is Podman; known once it has answered."""
        return self._engine.is_podman

    @property
    def labels(self) -> Mapping[str, str]:
        """Labels of all images that the service builds."""
        return {DATA_LABEL: self._data}

    def name_of(self, digest: str, kind: str = "built") -> str:
        """Return the name of the image with this content."""
        return f"preview-{kind}-{self._data.lower()}:{digest[:40]}"

    def full_name(self, name: str) -> str:
        """Return the name of an image of the service as a Dockerfile has to write it."""
        return podman_name(name) if self._engine.is_podman else name

    async def inspect(self, name: str) -> Mapping[str, object] | None:
        """Return what the engine knows about an image; None if it has none of this name. Cancellation: no effect.

        Raises:
            EngineError: No engine answers.
        """
        try:
            return self._described(await self._engine.call("GET", f"/images/{quote(name, safe='/:@')}/json"))
        except EngineError as error:
            if error.status == _NOT_FOUND:
                return None
            raise

    @asynccontextmanager
    async def open_build(
        self, name: str, dockerfile: str, limits: BuildLimits, size: int, content: AsyncIterator[bytes]
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open a build, and yield its answer as it comes. Leaving the context early ends the build.

        Podman goes on with a running step then, until the processes in its group are killed.

        Args:
            name: Name of the image.
            dockerfile: Path of the Dockerfile in the archive.
            limits: Limits of the build.
            size: Size of the archive.
            content: The archive, in pieces.

        Raises:
            EngineError: The engine refuses.

        Cancellation: the engine ends the build.
        """
        if self._engine.is_podman:
            if not limits.group.startswith("/"):
                raise EngineError("nothing would limit the number of processes")
            request = podman_request(name, dockerfile, limits, self.labels, await self._network_of(limits))
        else:
            request = docker_request(name, dockerfile, limits, self.labels)
        async with self._engine.open_upload(request, size, content) as pieces:
            yield pieces

    async def _network_of(self, limits: BuildLimits) -> int | None:
        """Return the process whose network the steps of a build share; None if they share none."""
        if not limits.network.startswith(_SHARED):
            return None
        pid = (await self._engine.state(limits.network.removeprefix(_SHARED))).get("Pid")
        if not isinstance(pid, int) or pid <= 0:
            raise EngineError("the container of its network has ended")
        return pid

    async def import_files(self, name: str, archive: bytes) -> None:
        """Make an image of nothing but files, with the service's labels. Cancellation: it may have been made.

        Raises:
            EngineError: The engine refuses.
        """
        await self._engine.import_image(name, archive, [f'LABEL "{key}"="{one}"' for key, one in self.labels.items()])

    async def root_folder(self) -> Path | None:
        """Return the folder of the engine's images and containers; None if it names none. Cancellation: no effect.

        Raises:
            EngineError: No engine answers.
        """
        found = (await self._engine.info()).get("DockerRootDir")
        return Path(found) if isinstance(found, str) and found.startswith("/") else None

    async def steps_of(self, token: str) -> list[str]:
        """Return the ids of the running containers of a build, as the engine describes them. Cancellation: no effect.

        Args:
            token: See ``BuildLimits``.

        Raises:
            EngineError: No engine answers.
        """
        query = urlencode({"filters": json.dumps({"label": [f"{DATA_LABEL}={self._data}"]})})
        said = await self._engine.call("GET", f"/containers/json?{query}")
        found = [_object(one) for one in (said if isinstance(said, list) else [])]
        ids = [str(one.get("Id")) for one in found if PREVIEW_LABEL not in _object(one.get("Labels"))]
        return [one for one in ids if _ID.fullmatch(one) and await self._is_of(one, token)]

    async def _is_of(self, container: str, token: str) -> bool:
        try:
            host = _object((await self._engine.describe(container)).get("HostConfig"))
        except EngineError as error:
            if error.status is None:
                raise
            return False
        return host.get("ExtraHosts") == [f"{token}:{HERE}"]

    async def remove_step(self, container: str) -> None:
        """Kill and remove a container of a build that has ended, if it is still there.

        Raises:
            EngineError: The engine refuses, or does not answer.

        Cancellation: it may be removed.
        """
        await self._engine.remove(container)

    async def limit_processes(self, container: str, most: int) -> None:
        """Limit the number of a running container's processes, where the engine can. Cancellation: it may be limited.

        Raises:
            EngineError: No engine answers.
        """
        try:
            await self._engine.call("POST", f"/containers/{container}/update", {"PidsLimit": most})
        except EngineError as error:
            if error.status is None:
                raise

    async def written_bytes(self, container: str) -> int:
        """Return what a container of a build has written so far; 0 if it has gone. Cancellation: no effect.

        Raises:
            EngineError: No engine answers.
        """
        try:
            said = _object(await self._engine.call("GET", f"/containers/{container}/json?size=1"))
        except EngineError as error:
            if error.status is None:
                raise
            return 0
        found = said.get("SizeRw")
        return found if isinstance(found, int) else 0

    async def stored(self) -> list[StoredImage]:
        """Return all images that the service has built, with those of stages and failed builds.

        Raises:
            EngineError: No engine answers.

        Cancellation: no effect.
        """
        return await self._list(steps=False)

    async def used_bytes(self) -> int:
        """Return the size of all layers that the service has built, each once, without those of their bases.

        Raises:
            EngineError: No engine answers.

        Cancellation: no effect.
        """
        found = {one.id: one for one in await self._list(steps=True)}
        if not any(one.parent for one in found.values()):
            return await self._used_by_history(list(found.values()))
        # The first step of each stage sets the label, and adds nothing to its base.
        return sum(
            max(0, one.size_bytes - found[one.parent].size_bytes) for one in found.values() if one.parent in found
        )

    async def _used_by_history(self, stored: Sequence[StoredImage]) -> int:
        """Return the same for an engine that names no parents: each image lists its own steps, with their sizes."""
        sizes: dict[int, int] = {}
        for one in stored:
            try:
                said = await self._engine.call("GET", f"/images/{quote(one.id, safe=':')}/history")
            except EngineError as error:
                if error.status is None:
                    raise
                continue
            steps = [_object(step) for step in said] if isinstance(said, list) else []
            key, is_own = 0, False
            # The newest step comes first. Images that share a step share all steps before it.
            for step in reversed(steps):
                made, size = str(step.get("CreatedBy")), step.get("Size")
                key = hash((key, step.get("Created"), made))
                is_own = is_own or (f"{DATA_LABEL}={self._data}" in made)
                if is_own:
                    sizes[key] = size if isinstance(size, int) else 0
        return sum(sizes.values())

    async def _list(self, *, steps: bool) -> list[StoredImage]:
        label = json.dumps({"label": [f"{DATA_LABEL}={self._data}"]})
        query = urlencode({"filters": label, **({"all": "1"} if steps else {})})
        said = await self._engine.call("GET", f"/images/json?{query}")
        listed = [self._described(one) for one in (said if isinstance(said, list) else [])]
        return [found for one in listed if (found := _stored(one))]

    def _described(self, said: object) -> Mapping[str, object]:
        return in_dockers_words(_object(said)) if self._engine.is_podman else _object(said)

    async def remove(self, image: StoredImage) -> bool:
        """Remove an image, unless a container uses it; return whether it is gone. Cancellation: it may be removed.

        Raises:
            EngineError: No engine answers.
        """
        return await self.remove_named(image.name or image.id)

    async def remove_named(self, name: str) -> bool:
        """Remove an image by its name or id; see ``remove``. Cancellation: it may be removed."""
        try:
            await self._engine.call("DELETE", f"/images/{quote(name, safe='/:@')}")
        except EngineError as error:
            if error.status is None:
                raise
            return error.status == _NOT_FOUND
        return True


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _stored(said: Mapping[str, object]) -> StoredImage | None:
    found, created, size, names = (said.get(one) for one in ("Id", "Created", "Size", "RepoTags"))
    if not isinstance(found, str) or not _IMAGE_ID.fullmatch(found):
        return None
    tags = [one for one in names if isinstance(one, str) and one != "<none>:<none>"] if isinstance(names, list) else []
    return StoredImage(
        found,
        tags[0] if tags else "",
        created if isinstance(created, int) else 0,
        size if isinstance(size, int) else 0,
        str(said.get("ParentId") or ""),
    )
