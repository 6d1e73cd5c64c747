"""Routes of a preview's data, relative to ``/api/v1/generations/<generation_id>``."""

from __future__ import annotations

import trio
from quart import Blueprint, Response, request

from preview.errors import GenerationReadOnly
from preview.generations import Generation, VersionNote
from preview.http.backend import Backend, BackendRoutes, Running
from preview.http.contracts.data import (
    ComparisonShape,
    Databases,
    RemovedSnapshotList,
    ReplacedShape,
    Rows,
    SnapshotList,
    SnapshotShape,
    TablePage,
)
from preview.http.contracts.generations import GenerationShape
from preview.http.core.answers import json_answer, link, no_content
from preview.http.core.bodies import ForkBody, RowsQuery, SnapshotBody, StatementBody
from preview.http.core.reading import checked_query, read_json
from preview.http.identity import own_generation

_BODY_BYTES = 256 * 1024


def data_routes(running: Running) -> Blueprint:
    """Return the routes that look at a preview's data."""
    routes = BackendRoutes("data", running)

    @routes.get("/preview/data")
    async def databases(backend: Backend, generation_id: str) -> Response:
        """Return the databases of the running preview, with their tables."""
        await own_generation(backend, generation_id)
        return json_answer(Databases.of(await backend.service.data.databases(generation_id)))

    @routes.get("/preview/data/rows")
    async def rows(backend: Backend, generation_id: str) -> Response:
        """Return rows of a table, by pages."""
        await own_generation(backend, generation_id)
        query = checked_query(request, RowsQuery)
        found = await backend.service.data.read_table(
            generation_id, query.database, query.table, offset=query.offset, limit=query.limit + 1
        )
        return json_answer(TablePage.of(found, query.offset, query.limit))

    @routes.post("/preview/data/query")
    async def statement(backend: Backend, generation_id: str) -> Response:
        """Execute one SQL statement that only reads."""
        await own_generation(backend, generation_id)
        body = await read_json(request, StatementBody, limit_bytes=_BODY_BYTES)
        began = trio.current_time()
        found = await backend.service.data.query(generation_id, body.database, body.sql, most_rows=body.limit)
        return json_answer(Rows.of(found, trio.current_time() - began))

    @routes.post("/preview/data/reset")
    async def reset(backend: Backend, generation_id: str) -> Response:
        """Set the data back: files as uploaded, empty databases, all steps again.

        The application is stopped and started again. The old data is kept as a snapshot.
        """
        identity, generation = await own_generation(backend, generation_id)
        return json_answer(ReplacedShape.of(await backend.service.data.reset(identity.user, generation)))

    return routes


def snapshot_routes(running: Running) -> Blueprint:
    """Return the routes of data snapshots."""
    routes = BackendRoutes("snapshots", running)

    @routes.post("/preview/snapshots")
    async def save(backend: Backend, generation_id: str) -> Response:
        """Save the running preview's data: files that the application has changed, and databases."""
        _, generation = await own_generation(backend, generation_id)
        body = await read_json(request, SnapshotBody, limit_bytes=_BODY_BYTES)
        made = await backend.service.data.save(generation, _name(body.name))
        return json_answer(SnapshotShape.model_validate(made), 201)

    @routes.get("/preview/snapshots")
    async def list_snapshots(backend: Backend, generation_id: str) -> Response:
        """Return the generation's data snapshots, newest first. No preview need run."""
        _, generation = await own_generation(backend, generation_id)
        return json_answer(SnapshotList.of(await backend.service.data.snapshots(generation)))

    @routes.post("/preview/snapshots/<snapshot_id>/restore")
    async def restore(backend: Backend, generation_id: str, snapshot_id: str) -> Response:
        """Replace the running preview's data by a snapshot's.

        The application is stopped and started again. The old data is kept as a snapshot. If the application does not
        start with the new data, the old data comes back.
        """
        identity, generation = await own_generation(backend, generation_id)
        return json_answer(ReplacedShape.of(await backend.service.data.restore(identity.user, generation, snapshot_id)))

    @routes.delete("/preview/snapshots/<snapshot_id>")
    async def delete(backend: Backend, generation_id: str, snapshot_id: str) -> Response:
        """Remove a data snapshot.

        It is hidden at once, can be brought back for a while (`GET …/preview/removed-snapshots`), and is then deleted.
        """
        _, generation = await own_generation(backend, generation_id)
        await backend.service.data.delete(generation, snapshot_id)
        return no_content()

    @routes.get("/preview/removed-snapshots")
    async def list_removed(backend: Backend, generation_id: str) -> Response:
        """Return the removed data snapshots that can be brought back, the last removed first."""
        _, generation = await own_generation(backend, generation_id)
        return json_answer(RemovedSnapshotList.of(await backend.service.data.removed(generation)))

    @routes.post("/preview/snapshots/<snapshot_id>/undelete")
    async def undelete(backend: Backend, generation_id: str, snapshot_id: str) -> Response:
        """Bring a removed data snapshot back."""
        _, generation = await own_generation(backend, generation_id)
        return json_answer(SnapshotShape.model_validate(await backend.service.data.bring_back(generation, snapshot_id)))

    @routes.get("/preview/snapshots/<snapshot_id>/diff/<other_id>")
    async def diff(backend: Backend, generation_id: str, snapshot_id: str, other_id: str) -> Response:
        """Compare two data snapshots; `now` in place of an id is the running preview's data."""
        _, generation = await own_generation(backend, generation_id)
        found = await backend.service.data.compare(generation, snapshot_id, other_id)
        return json_answer(ComparisonShape.of(found))

    @routes.post("/fork")
    async def fork(backend: Backend, generation_id: str) -> Response:
        """Make a new generation with the same files, whose previews begin with a snapshot's data.

        Without a snapshot, with the running preview's.
        """
        _, generation = await own_generation(backend, generation_id)
        body = await read_json(request, ForkBody, limit_bytes=_BODY_BYTES)
        made = await _fork(backend, generation, _name(body.name) or generation.name, body.snapshot)
        return json_answer(
            GenerationShape.model_validate(made), 201, {"Location": link(f"/api/v1/generations/{made.id}")}
        )

    return routes


async def _fork(backend: Backend, generation: Generation, name: str, snapshot_id: str | None) -> Generation:
    """Return the new generation. Cancellation: it may exist without the data."""
    library = backend.service.library
    if library is None:
        raise GenerationReadOnly(
            "This generation's files are not kept by this service, so it cannot be forked here; with `preview serve`, "
            "`preview push` makes one that can."
        )
    paths = [path for path, _ in await library.file_list(generation.id)]
    files = await library.read_files(generation.id, paths)
    made = await library.create(
        user_id=generation.user_id,
        project_id=generation.project_id,
        name=name,
        files=files,
        note=VersionNote(generation.user_id, "fork", f"Copy of {generation.id}, version {generation.revision}"),
    )
    is_whole = False
    try:
        await backend.service.data.copy_to(generation, snapshot_id, made)
        is_whole = True
    finally:
        if not is_whole:
            with trio.move_on_after(backend.settings.database_timeout_s, shield=True):
                await library.delete(made.id)
    return made


def _name(name: str) -> str:
    """Return a name for people, without characters that cannot be shown or stored."""
    return "".join(one if one.isprintable() else " " for one in name).strip()
