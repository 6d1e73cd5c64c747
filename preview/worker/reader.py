"""Readers of projects' files: the service uses workers, a command reads in its own process."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Final, Protocol

import structlog
import trio
from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from preview.detection import Overrides, ServiceKind
from preview.endpoints import MAX_UNREAD, Endpoint, Listing, RouteTable, extract, read_route_table
from preview.environments.node.locks import LockFile, Pins
from preview.environments.node.manifest import NodeManifest
from preview.environments.node.reading import InThread, NodeReader
from preview.errors import AnalysisFailed
from preview.generations import GenerationLimits, RepositoryPart, unpack, unpack_repository
from preview.worker.analysis import Analysis, analyse, read_openapi
from preview.worker.answers import clean
from preview.worker.archives import ArchiveAnswer, Unpacked, contents_of, shown_links
from preview.worker.checks import Forged, check_analysis
from preview.worker.differences import FilePair, Text, compare_files, pack
from preview.worker.node_manifests import NodeAnswer, check_pins, manifest_of
from preview.worker.pool import WorkerPool

log = structlog.get_logger(__name__)

_ANALYSIS: Final = TypeAdapter(Analysis)
_ARCHIVE: Final = TypeAdapter(ArchiveAnswer)
_ENDPOINTS: Final = TypeAdapter(list[Endpoint])
_LISTING: Final = TypeAdapter(Listing)
_ROUTES: Final = TypeAdapter(RouteTable)
_TEXTS: Final = TypeAdapter(list[Text])
# In characters.
_MAX_SENTENCE: Final = 500
_NODE: Final = TypeAdapter(NodeAnswer)
_PINS: Final = TypeAdapter(Pins | str)


class ProjectReader(NodeReader, Protocol):
    """Reads untrusted project files.

    Each method raises ``TooComplex`` if reading exceeds a limit, and ``AnalysisFailed`` if the reading process fails.
    """

    async def analyse(
        self, project: Path, overrides: Overrides | None, supplied: frozenset[ServiceKind] = frozenset()
    ) -> Analysis:
        """Return the analysis of a project; see ``analyse``. Cancellation: the call leaves nothing behind."""

    async def endpoints(self, project: Path) -> Listing:
        """Return the endpoints in a project's source. Cancellation: the call leaves nothing behind."""

    async def published(self, document: bytes) -> Sequence[Endpoint]:
        """Return the endpoints in a preview's OpenAPI document (JSON). Cancellation: the call leaves nothing behind."""

    async def routes(self, report: bytes) -> RouteTable:
        """Return the routes in a process's report. Cancellation: the call leaves nothing behind."""

    async def unpack(self, archive: IO[bytes], limits: GenerationLimits) -> Mapping[str, bytes]:
        """Return an archive's files; see ``generations.unpack``. Cancellation: the call leaves nothing behind."""

    async def unpack_repository(self, archive: IO[bytes], limits: GenerationLimits, folder: str) -> Unpacked:
        """Return a repository's files; see ``generations.unpack_repository``.

        Cancellation: the call leaves nothing behind.
        """

    async def compare(self, pairs: Sequence[FilePair]) -> Sequence[Text]:
        """Return the diffs; see ``compare_files``. Cancellation: the call leaves nothing behind."""


class WorkerReader:
    """Reads in worker processes, one process for each call. The service uses this reader."""

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool

    @property
    def server_pid(self) -> int | None:
        """Process id of the worker server; None while the server does not run."""
        return self._pool.server_pid

    async def analyse(
        self, project: Path, overrides: Overrides | None, supplied: frozenset[ServiceKind] = frozenset()
    ) -> Analysis:
        """Implement the protocol. Cancellation: the worker is killed."""
        given = None if overrides is None or overrides.is_empty else to_jsonable_python(overrides)
        place = _resolved(project)
        found = await self._pool.run(
            "analyse", {"overrides": given, "supplied": sorted(supplied)}, _ANALYSIS, directory=place
        )
        with _refusing_forged():
            return check_analysis(found, place, supplied)

    async def endpoints(self, project: Path) -> Listing:
        """Implement the protocol. Cancellation: the worker is killed."""
        found = await self._pool.run("endpoints", {}, _LISTING, directory=_resolved(project))
        return replace(found, unread=tuple(clean(one)[:_MAX_SENTENCE] for one in found.unread[:MAX_UNREAD]))

    async def published(self, document: bytes) -> Sequence[Endpoint]:
        """Implement the protocol. Cancellation: the worker is killed."""
        with _in_memory(document) as descriptor:
            return await self._pool.run("openapi", {}, _ENDPOINTS, files=[descriptor])

    async def routes(self, report: bytes) -> RouteTable:
        """Implement the protocol. Cancellation: the worker is killed."""
        with _in_memory(report) as descriptor:
            return await self._pool.run("routes", {}, _ROUTES, files=[descriptor])

    async def unpack(self, archive: IO[bytes], limits: GenerationLimits) -> Mapping[str, bytes]:
        """Implement the protocol. Cancellation: the worker is killed."""
        return (await self._unpack(archive, limits, None)).files

    async def unpack_repository(self, archive: IO[bytes], limits: GenerationLimits, folder: str) -> Unpacked:
        """Implement the protocol. Cancellation: the worker is killed."""
        return await self._unpack(archive, limits, folder)

    async def _unpack(self, archive: IO[bytes], limits: GenerationLimits, folder: str | None) -> Unpacked:
        arguments = {"files": limits.files, "size_bytes": limits.size_bytes, "folder": folder}
        with _temporary() as contents, _temporary() as plain:
            files = [await trio.to_thread.run_sync(_on_disk, archive), contents, plain]
            found = await self._pool.run("unpack", arguments, _ARCHIVE, files=files)
            with _refusing_forged("The archive"):
                unpacked = await trio.to_thread.run_sync(contents_of, found, contents, limits)
        links, installed = ([clean(one) for one in shown_links(paths)] for paths in (found.links, found.installed))
        return Unpacked(unpacked, links, installed)

    async def compare(self, pairs: Sequence[FilePair]) -> Sequence[Text]:
        """Implement the protocol. Cancellation: the worker is killed."""
        sizes, contents = pack(pairs)
        with _in_memory(contents) as descriptor:
            found = await self._pool.run("compare", {"sizes": sizes}, _TEXTS, files=[descriptor])
        if len(found) != len(pairs):
            raise AnalysisFailed("The versions could not be compared: the process that read them gave a wrong answer.")
        return found

    async def node_manifest(self, directory: Path, extra: Sequence[str]) -> NodeManifest:
        """Implement the protocol. Cancellation: the worker is killed."""
        place = _resolved(directory)
        found = await self._pool.run("node", {"extra": list(extra)}, _NODE, directory=place)
        with _refusing_forged():
            return await trio.to_thread.run_sync(manifest_of, found, place)

    async def pins(self, lock: LockFile) -> Pins | str:
        """Implement the protocol. Cancellation: the worker is killed."""
        with _in_memory(lock.data) as descriptor:
            found = await self._pool.run("pins", {"name": lock.name}, _PINS, files=[descriptor])
        if isinstance(found, str):
            return clean(found)
        with _refusing_forged():
            return check_pins(found)


class InProcess(InThread):
    """Reads in a thread of this process, without limits: for a command that users run on their own projects."""

    async def analyse(
        self, project: Path, overrides: Overrides | None, supplied: frozenset[ServiceKind] = frozenset()
    ) -> Analysis:
        """Implement the protocol. Cancellation: the thread continues and its result is dropped."""
        return await trio.to_thread.run_sync(analyse, _resolved(project), overrides, supplied, abandon_on_cancel=True)

    async def endpoints(self, project: Path) -> Listing:
        """Implement the protocol. Cancellation: takes effect after the thread has finished."""
        return await trio.to_thread.run_sync(extract, project)

    async def published(self, document: bytes) -> Sequence[Endpoint]:
        """Implement the protocol. Cancellation: takes effect after the thread has finished."""
        return await trio.to_thread.run_sync(read_openapi, document)

    async def routes(self, report: bytes) -> RouteTable:
        """Implement the protocol. Cancellation: takes effect after the thread has finished."""
        return await trio.to_thread.run_sync(read_route_table, report)

    async def unpack(self, archive: IO[bytes], limits: GenerationLimits) -> Mapping[str, bytes]:
        """Implement the protocol. Cancellation: takes effect after the thread has finished."""
        archive.seek(0)
        return await trio.to_thread.run_sync(unpack, archive, limits)

    async def unpack_repository(self, archive: IO[bytes], limits: GenerationLimits, folder: str) -> Unpacked:
        """Implement the protocol. Cancellation: takes effect after the thread has finished."""
        archive.seek(0)
        part = RepositoryPart(folder)
        files = await trio.to_thread.run_sync(unpack_repository, archive, limits, part)
        return Unpacked(files, shown_links(part.links), shown_links([*part.installed]))

    async def compare(self, pairs: Sequence[FilePair]) -> Sequence[Text]:
        """Implement the protocol. Cancellation: takes effect after the thread has finished."""
        return await trio.to_thread.run_sync(compare_files, pairs)


@contextmanager
def _refusing_forged(what: str = "The project") -> Iterator[None]:
    try:
        yield
    except Forged as error:
        log.warning("worker answer refused", why=str(error))
        raise AnalysisFailed(
            f"{what} could not be read: the process that read its files gave an invalid answer; see the service's log."
        ) from error


@contextmanager
def _in_memory(data: bytes) -> Iterator[int]:
    """Provide a descriptor of an in-memory file with the data."""
    descriptor = os.memfd_create("document", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        yield descriptor


@contextmanager
def _temporary() -> Iterator[int]:
    """Provide a descriptor of an empty temporary file."""
    with tempfile.TemporaryFile(prefix="preview-unpack-") as file:
        yield file.fileno()


def _on_disk(archive: IO[bytes]) -> int:
    """Return a descriptor of the archive's file after all data is written to it. Blocks on the disk."""
    # A spooled file moves to the disk when its descriptor is requested.
    descriptor = archive.fileno()
    archive.flush()
    return descriptor


def _resolved(project: Path) -> Path:
    """Return the path without symbolic links: results name files by this path."""
    return project.resolve()
