"""Routes that import public repositories from GitHub."""

from __future__ import annotations

from quart import Blueprint, Response, request
from werkzeug.exceptions import NotFound

from preview.errors import GenerationReadOnly, InvalidRequest
from preview.generations import Edit, GenerationLibrary
from preview.github import Fetched
from preview.http.audited import remember_detail
from preview.http.backend import Backend, BackendRoutes, Running
from preview.http.contracts.generations import (
    FilesChanged,
    GenerationShape,
    ImportedChange,
    ImportedGeneration,
    ImportSource,
)
from preview.http.core.answers import json_answer, link
from preview.http.core.reading import checked_query, etag_of, expected_revision, read_json
from preview.http.core.version_bodies import ChangeQuery, ImportBody, ImportChangeBody, NoteQuery
from preview.http.edits import Reload, Saved
from preview.http.identity import own_generation, require_identity

_BODY_BYTES = 16 * 1024


def import_routes(running: Running) -> Blueprint:
    """Return the routes, relative to ``/api/v1``."""
    routes = BackendRoutes("imports", running)

    @routes.get("/imports")
    async def import_source(backend: Backend) -> Response:
        """Return where repositories can be imported from."""
        await require_identity(backend)
        address = backend.service.imports.address if backend.service.library else ""
        return json_answer(ImportSource(address=address, size_bytes=backend.settings.upload_bytes))

    @routes.post("/imports")
    async def add_repository(backend: Backend) -> Response:
        """Import a public repository of GitHub as a generation. Nothing of it runs until you launch it.

        `url` may name a branch, a tag or a commit, and a folder. Symbolic links are left out; the archive has no
        submodules, and only pointers of files of Git LFS: `notes` says so.
        """
        identity = await require_identity(backend)
        library, query = _library(backend), checked_query(request, NoteQuery)
        body = await read_json(request, ImportBody, limit_bytes=_BODY_BYTES)
        found = await backend.service.imports.fetch(identity.user.id, body.url)
        remember_detail(request.scope, found.source)
        made = await library.create(
            user_id=identity.user.id,
            project_id=body.project_id,
            name=body.name or found.repository.title,
            files=found.files,
            note=query.note(identity, "import", found.source),
            origin=found.origin,
        )
        shape = GenerationShape.model_validate(made).dumped()
        answer = ImportedGeneration.model_validate(shape | _facts(found))
        return json_answer(answer, 201, {"Location": link(f"/api/v1/generations/{made.id}")})

    @routes.post("/generations/<generation_id>/import")
    async def update_from_repository(backend: Backend, generation_id: str) -> Response:
        """Replace all of the generation's files with those of a repository; its running preview is reloaded.

        Without `url` it is the repository that the generation was imported from. With `dry_run=true` nothing is stored,
        and the response tells what would change. To get just that, send its `origin` as `url`, its `commit`, and its
        `etag` in `If-Match`.
        """
        identity, generation = await own_generation(backend, generation_id)
        library, edits, query = _library(backend), backend.edits, checked_query(request, ChangeQuery)
        if edits is None:
            raise GenerationReadOnly("This generation's files cannot be changed here.")
        body = await read_json(request, ImportChangeBody, limit_bytes=_BODY_BYTES)
        address, expected = body.url or generation.origin, expected_revision(request)
        if not address:
            raise InvalidRequest("This generation was not imported; send the repository's address.", field="url")
        found = await backend.service.imports.fetch(identity.user.id, address, body.commit)
        remember_detail(request.scope, found.source)
        edit, note = Edit(found.files, is_whole=True, origin=found.origin), query.note(identity, "import", found.source)
        if query.dry_run:
            edited = await library.edit(generation_id, edit, expected=expected, is_dry=True)
            return _changed(Saved(edited, Reload("none")), found)
        saved = await edits.save(identity.user, generation_id, edit, note=note, expected=expected)
        return _changed(saved, found)

    return routes


def _library(backend: Backend) -> GenerationLibrary:
    library = backend.service.library
    if library is None:
        raise NotFound  # a host that stores its generations has its own way to manage them
    return library


def _facts(found: Fetched) -> dict[str, object]:
    return {"commit": found.commit, "notes": list(found.notes)}


def _changed(saved: Saved, found: Fetched) -> Response:
    change = FilesChanged.of(saved, etag_of(saved.edited.generation.revision))
    facts = _facts(found) | {"origin": found.origin}
    return json_answer(ImportedChange.model_validate(change.dumped() | facts))
