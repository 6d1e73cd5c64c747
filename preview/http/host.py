"""The host's side of the application: its generations and its authentication, in the library that it runs."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, cast

from preview.auth import Identity
from preview.embedding import AsyncioBridge
from preview.errors import ServiceStopping
from preview.generations import FolderGenerations, Generation, GenerationSource
from preview.http.backend import Authenticate


def in_host_generations(bridge: AsyncioBridge, source: GenerationSource) -> GenerationSource:
    """Return the source with its methods called in the host's library; ``FolderGenerations`` runs in trio anywhere."""
    return source if isinstance(source, FolderGenerations) else _HostGenerations(bridge, source)


def in_host_authenticate(bridge: AsyncioBridge, authenticate: Authenticate) -> Authenticate:
    """Return the function, called in the host's library."""

    async def called(scope: Mapping[str, Any]) -> Identity | None:
        return await bridge.call_host(lambda: cast("Coroutine[Any, Any, Identity | None]", authenticate(scope)))

    return called


class _HostGenerations:
    """The methods of ``GenerationSource``."""

    def __init__(self, bridge: AsyncioBridge, source: GenerationSource) -> None:
        self._bridge = bridge
        self._source = source

    async def get(self, generation_id: str) -> Generation:
        """See ``GenerationSource``. Cancellation: the host's function is cancelled."""
        return await self._bridge.call_host(self._source.get, generation_id)

    async def write_files(self, generation_id: str, directory: Path) -> None:
        """See ``GenerationSource``. Cancellation: the host's function is cancelled."""
        await self._bridge.call_host(self._source.write_files, generation_id, directory)


class NoService:
    """In place of a ``Service`` that could not be opened: each use raises ``ServiceStopping`` with the reason."""

    def __init__(self, why: str) -> None:
        self._why = why

    def __getattr__(self, name: str) -> Any:
        """Raise.

        Raises:
            ServiceStopping: Always.
        """
        raise ServiceStopping(self._why)
