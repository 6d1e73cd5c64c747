"""Endpoints of a generation: from its source files, and from its running preview.

A running preview publishes an OpenAPI document, or reports its application's routes over the control channel, or both.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from http import HTTPStatus
from pathlib import Path

import structlog
import trio

from preview.core.bounded_dict import BoundedDict
from preview.core.ids import new_check_id
from preview.endpoints import Endpoint, Listing, RouteTable, merge_listings
from preview.errors import AnalysisFailed, PreviewError, TooComplex
from preview.generations import Generation, GenerationSource
from preview.http.core.uploads import open_files
from preview.proxy import PreviewClient, ProxyRequest
from preview.supervisor import LivePreview
from preview.worker import ProjectReader

log = structlog.get_logger(__name__)


# A list of endpoints takes some KiB, so all take about a MiB.
_KEPT = 256
# A large table takes some MiB.
_KEPT_TABLES = 64
# A response of this service waits for it; for a slower preview, only endpoints from the source are shown.
_OPENAPI_TIMEOUT_S = 2.0
# Most seconds to wait for a process replacement, which usually takes a moment.
_HANDED_OVER_S = 2.0
# A process that did not answer may be busy or starting: ask again, but not for every request.
_ASKED_AGAIN_AFTER_S = 5.0
# Reading source files is CPU work: more readers at a time would only slow each other down.
_READERS = 2


class EndpointBook:
    """Finds endpoints and caches them: by generation for the source, by process for what a preview reports."""

    def __init__(self, source: GenerationSource, client: PreviewClient, reader: ProjectReader) -> None:
        self._source = source
        self._reader = reader
        self._client = client
        self._static: BoundedDict[Hashable, Listing] = BoundedDict(_KEPT)
        self._live: BoundedDict[Hashable, Sequence[Endpoint]] = BoundedDict(_KEPT)
        self._tables: BoundedDict[Hashable, RouteTable] = BoundedDict(_KEPT_TABLES)
        self._not_before: BoundedDict[Hashable, float] = BoundedDict(_KEPT)
        self._limiter = trio.CapacityLimiter(_READERS)

    async def find(self, generation: Generation, preview: LivePreview | None) -> Listing:
        """Return the generation's endpoints. What a running preview reports overrides its source.

        Raises:
            GenerationNotFound: The generation's files are gone.

        Cancellation: no resources remain.
        """
        static = await self._from_source(generation, preview)
        if preview is None or preview.address is None:
            return static
        table: list[RouteTable | None] = []

        async def read_table() -> None:
            table.append(await self._from_application(preview))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_table)
            published = await self._from_process(preview, preview.address)
        return merge_listings(static, published, table[0])

    async def _from_source(self, generation: Generation, preview: LivePreview | None) -> Listing:
        key = (generation.id, generation.created_at, generation.revision)
        found = self._static.get(key)
        if found is not None:
            return found
        # After edits, a preview's folder may not contain the newest change yet.
        is_unchanged = generation.revision == 1
        if is_unchanged and preview is not None and preview.directory is not None and preview.address is not None:
            found = self._static[key] = await self._extract(preview.directory)
            return found
        async with open_files(self._source, generation.id) as directory:
            found = self._static[key] = await self._extract(directory)
            return found

    async def _extract(self, directory: Path) -> Listing:
        async with self._limiter:
            try:
                return await self._reader.endpoints(directory)
            except (TooComplex, AnalysisFailed) as error:
                # Treated like files that cannot be parsed: there are no endpoints to show.
                log.info("source endpoints not read", why=error.message)
                return Listing(unread=(error.message,))

    async def _from_process(self, preview: LivePreview, address: tuple[str, int]) -> Sequence[Endpoint]:
        """Read the endpoints that the serving process publishes; empty if none."""
        # A reload changes the published endpoints and the process id.
        key = (preview.record.id, preview.record.pid)
        live = self._live.get(key)
        if live is not None:
            return live
        if trio.current_time() < (self._not_before.get(key) or 0.0):
            return []
        # During a process replacement, the previous process may still answer.
        with trio.move_on_after(_HANDED_OVER_S):
            await preview.succession.wait_over()
        is_its_own = preview.succession.is_over
        try:
            found = await self._published(preview, address)
        except PreviewError as error:
            log.debug("openapi not read", preview_id=preview.id, why=str(error))
            if is_its_own:
                self._not_before[key] = trio.current_time() + _ASKED_AGAIN_AFTER_S
            return []
        if is_its_own:
            self._live[key] = found
        return found

    async def _from_application(self, preview: LivePreview) -> RouteTable | None:
        """Read the route table of the serving process; None if it reports none."""
        control = preview.control
        key = ("routes", preview.record.id, preview.record.pid)
        table = self._tables.get(key)
        if table is not None or control is None or trio.current_time() < (self._not_before.get(key) or 0.0):
            return table
        try:
            report = await control.ask_routes()
            async with self._limiter:
                table = None if report is None else await self._reader.routes(report)
        except PreviewError as error:
            log.debug("routes not read", preview_id=preview.id, why=error.message)
        if table is None:
            self._not_before[key] = trio.current_time() + _ASKED_AGAIN_AFTER_S
        else:
            self._tables[key] = table
        return table

    async def _published(self, preview: LivePreview, address: tuple[str, int]) -> Sequence[Endpoint]:
        """Read the published endpoints.

        Raises:
            PreviewError: The preview did not answer.
            AnalysisFailed, TooComplex: The document cannot be read.
        """
        # The application reports its requests; with this id, the service's own is not taken for a visitor's.
        number = new_check_id()
        preview.traffic.direct.carried(number.encode())
        asked = ProxyRequest("GET", "/openapi.json", request_id=number)
        answer = await self._client.send(address, asked, process=preview.record.pid, timeout_s=_OPENAPI_TIMEOUT_S)
        if answer.status != HTTPStatus.OK:
            return []
        async with self._limiter:
            return await self._reader.published(answer.body)
