"""Endpoints of a generation: from its files, and from its preview's OpenAPI once published."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from http import HTTPStatus
from pathlib import Path

import structlog
import trio

from preview.core.bounded_dict import BoundedDict
from preview.endpoints import Endpoint, merge_endpoints
from preview.errors import AnalysisFailed, PreviewError, TooComplex
from preview.generations import Generation, GenerationSource
from preview.http.core.uploads import open_files
from preview.proxy import PreviewClient, ProxyRequest
from preview.storage.tables import PreviewRecord
from preview.supervisor import LivePreview
from preview.worker import ProjectReader

log = structlog.get_logger(__name__)


# A list of endpoints is some KiB: a MiB or so in all.
_KEPT = 256
# Asked on the way to an answer of ours: a preview that needs longer is shown by its source alone.
_OPENAPI_TIMEOUT_S = 2.0
# A moment, as a rule.
_HANDED_OVER_S = 2.0
# One that did not answer may be busy, or about to: it is asked again, but not by every look at its endpoints.
_ASKED_AGAIN_AFTER_S = 5.0
# Reading sources is work for a processor: more at a time would only slow each other down.
_READERS = 2


class EndpointBook:
    """Finds endpoints and remembers them: by generation for the source, by preview for what it publishes."""

    def __init__(self, source: GenerationSource, client: PreviewClient, reader: ProjectReader) -> None:
        self._source = source
        self._reader = reader
        self._client = client
        self._static: BoundedDict[Hashable, Sequence[Endpoint]] = BoundedDict(_KEPT)
        self._live: BoundedDict[Hashable, Sequence[Endpoint]] = BoundedDict(_KEPT)
        self._not_before: BoundedDict[Hashable, float] = BoundedDict(_KEPT)
        self._limiter = trio.CapacityLimiter(_READERS)

    async def find(self, generation: Generation, preview: LivePreview | None) -> Sequence[Endpoint]:
        """Return the generation's endpoints; what a running preview publishes wins over its source.

        Raises:
            GenerationNotFound: Its files are gone.

        Cancellation: nothing is left behind.
        """
        static = await self._from_source(generation, preview)
        if preview is None or preview.address is None:
            return static
        return merge_endpoints(list(static), list(await self._from_process(preview, preview.address)))

    async def _from_source(self, generation: Generation, preview: LivePreview | None) -> Sequence[Endpoint]:
        key = (generation.id, generation.created_at, generation.revision)
        found = self._static.get(key)
        if found is not None:
            return found
        # A preview's folder may be behind a change that is on its way to it.
        is_unchanged = generation.revision == 1
        if is_unchanged and preview is not None and preview.directory is not None and preview.address is not None:
            found = self._static[key] = await self._extract(preview.directory)
            return found
        async with open_files(self._source, generation.id) as directory:
            found = self._static[key] = await self._extract(directory)
            return found

    async def _extract(self, directory: Path) -> Sequence[Endpoint]:
        async with self._limiter:
            try:
                return await self._reader.endpoints(directory)
            except (TooComplex, AnalysisFailed) as error:
                # As for files that cannot be parsed: there is nothing to show of them.
                log.info("source endpoints not read", why=error.message)
                return []

    async def _from_process(self, preview: LivePreview, address: tuple[str, int]) -> Sequence[Endpoint]:
        """Read the endpoints that the serving process publishes; empty if none."""
        # A reload changes what is published, and the process.
        key = (preview.record.id, preview.record.pid)
        live = self._live.get(key)
        if live is not None:
            return live
        if trio.current_time() < (self._not_before.get(key) or 0.0):
            return []
        # While one hands over to the next, the one from before may answer in its place.
        with trio.move_on_after(_HANDED_OVER_S):
            await preview.succession.wait_over()
        is_its_own = preview.succession.is_over
        try:
            found = await self._published(preview.record, address)
        except PreviewError as error:
            log.debug("openapi not read", preview_id=preview.id, why=str(error))
            if is_its_own:
                self._not_before[key] = trio.current_time() + _ASKED_AGAIN_AFTER_S
            return []
        if is_its_own:
            self._live[key] = found
        return found

    async def _published(self, record: PreviewRecord, address: tuple[str, int]) -> Sequence[Endpoint]:
        """Read the published endpoints.

        Raises:
            PreviewError: It did not answer.
            AnalysisFailed, TooComplex: What it answered cannot be read.
        """
        answer = await self._client.send(
            address, ProxyRequest("GET", "/openapi.json"), process=record.pid, timeout_s=_OPENAPI_TIMEOUT_S
        )
        if answer.status != HTTPStatus.OK:
            return []
        async with self._limiter:
            return await self._reader.published(answer.body)
