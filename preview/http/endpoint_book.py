"""What endpoints a generation has: read from its files, and better once its preview publishes OpenAPI."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from http import HTTPStatus
from pathlib import Path

import structlog
import trio

from preview.endpoints import Endpoint, endpoints_from_openapi, extract_endpoints, merge_endpoints
from preview.errors import PreviewError
from preview.generations import Generation, GenerationSource
from preview.http.generation_files import open_files
from preview.proxy import PreviewClient, ProxyRequest, ProxyResponse
from preview.storage.records import PreviewRecord
from preview.supervisor import ActivePreview

__all__ = ["EndpointBook"]

log = structlog.get_logger(__name__)

# A list of endpoints is some KiB: a MiB or so in all.
_KEPT = 256
# Asked on the way to an answer of ours: a preview that needs longer is shown by its source alone.
_OPENAPI_TIMEOUT_S = 2.0
# Reading sources is work for a processor: more at a time would only slow each other down.
_READERS = 2


class _Kept:
    """The newest answers, bounded."""

    def __init__(self) -> None:
        self._values: OrderedDict[Hashable, Sequence[Endpoint]] = OrderedDict()

    def get(self, key: Hashable) -> Sequence[Endpoint] | None:
        return self._values.get(key)

    def put(self, key: Hashable, value: Sequence[Endpoint]) -> Sequence[Endpoint]:
        self._values[key] = value
        self._values.move_to_end(key)
        while len(self._values) > _KEPT:
            self._values.popitem(last=False)
        return value


class EndpointBook:
    """Finds endpoints and remembers them: by generation for the source, by preview for what it publishes."""

    def __init__(self, source: GenerationSource, client: PreviewClient) -> None:
        self._source = source
        self._client = client
        self._static = _Kept()
        self._live = _Kept()
        self._limiter = trio.CapacityLimiter(_READERS)

    async def find(self, generation: Generation, preview: ActivePreview | None) -> Sequence[Endpoint]:
        """The generation's endpoints; what a running preview publishes wins over its source.

        Raises:
            GenerationNotFound: Its files are gone.

        Cancellation: nothing is left behind.
        """
        static = await self._from_source(generation, preview)
        if preview is None or preview.address is None:
            return static
        # A reload changes what is published, and the process.
        key = (preview.record.id, preview.record.pid)
        live = self._live.get(key)
        if live is None:
            live = self._live.put(key, await self._published(preview.record, preview.address))
        return merge_endpoints(list(static), list(live))

    async def _from_source(self, generation: Generation, preview: ActivePreview | None) -> Sequence[Endpoint]:
        key = (generation.id, generation.created_at, generation.revision)
        found = self._static.get(key)
        if found is not None:
            return found
        # A preview's folder may be behind a change that is on its way to it.
        is_unchanged = generation.revision == 1
        if is_unchanged and preview is not None and preview.directory is not None and preview.address is not None:
            return self._static.put(key, await self._extract(preview.directory))
        async with open_files(self._source, generation.id) as directory:
            return self._static.put(key, await self._extract(directory))

    async def _extract(self, directory: Path) -> Sequence[Endpoint]:
        extract: Callable[[Path], Sequence[Endpoint]] = extract_endpoints
        return await trio.to_thread.run_sync(extract, directory, limiter=self._limiter)

    async def _published(self, record: PreviewRecord, address: tuple[str, int]) -> Sequence[Endpoint]:
        """What the preview says of itself; nothing where it says nothing."""
        try:
            answer = await self._client.send(
                address, ProxyRequest("GET", "/openapi.json"), process=record.pid, timeout_s=_OPENAPI_TIMEOUT_S
            )
            found = await trio.to_thread.run_sync(_read_openapi, answer, limiter=self._limiter)
        except (PreviewError, ValueError, RecursionError) as error:
            log.debug("no OpenAPI from the preview", preview_id=record.id, why=str(error))
            return []
        return found


def _read_openapi(answer: ProxyResponse) -> Sequence[Endpoint]:
    document = json.loads(answer.body) if answer.status == HTTPStatus.OK else {}
    return endpoints_from_openapi(document if isinstance(document, dict) else {})
