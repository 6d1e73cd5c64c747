"""Routes for the generations that this service stores itself."""

from __future__ import annotations

from functools import partial
from hashlib import sha256

import trio
from quart import Blueprint, Response, request
from werkzeug.exceptions import NotFound

from preview.auth import Identity
from preview.core.quoting import quoted
from preview.errors import AlreadyRunning, FileNotKept, GenerationReadOnly
from preview.generations import Edit, GenerationLibrary, GenerationLimits, VersionOrigin, parse_files_json
from preview.http.backend import Backend, BackendRoutes, Running
from preview.http.contracts.generations import FileList, FilesChanged, GenerationPage, GenerationShape
from preview.http.core.answers import json_answer, link, no_content
from preview.http.core.bodies import ArchiveQuery, FilesPatch, PageQuery, RenameBody, file_contents
from preview.http.core.reading import checked_query, etag_of, expected_revision, is_known, read_json
from preview.http.core.uploads import read_upload
from preview.http.core.version_bodies import ChangeQuery, NoteQuery
from preview.http.edits import FileEdits, Reload, Saved
from preview.http.identity import own_generation, require_identity
from preview.http.protocol.listening import request_resources
from preview.http.routes.generations.removed import delete_for_good, delete_surplus
from preview.http.streams.archives import ArchiveBody, archive_name
from preview.settings import Settings

# A name of 256 characters, each of them escaped.
_NAME_BYTES = 4 * 1024


def generation_routes(running: Running) -> Blueprint:
    """Return the routes, relative to ``/api/v1``."""
    routes = BackendRoutes("generations", running)

    @routes.post("/generations")
    async def create_generation(backend: Backend) -> Response:
        """Store a generation: files as JSON, or a zip or tar.gz as `multipart/form-data`."""
        identity = await require_identity(backend)
        library, note = _library(backend), checked_query(request, NoteQuery)
        upload = await read_upload(request, backend.settings, backend.service.reader)
        made = await library.create(
            user_id=identity.user.id,
            project_id=upload.project_id,
            name=upload.name,
            files=upload.files,
            note=note.note(identity, "push"),
        )
        return json_answer(
            GenerationShape.model_validate(made), 201, {"Location": link(f"/api/v1/generations/{made.id}")}
        )

    @routes.get("/generations")
    async def list_generations(backend: Backend) -> Response:
        """Return your generations, newest first, by pages."""
        identity = await require_identity(backend)
        library, query = _library(backend), checked_query(request, PageQuery)
        found, following = await library.list_for_user(identity.user.id, cursor=query.cursor, limit=query.limit)
        return json_answer(GenerationPage.model_validate({"generations": found, "next_cursor": following}))

    @routes.get("/generations/<generation_id>")
    async def get_generation(backend: Backend, generation_id: str) -> Response:
        """Return one of your generations, with its files' paths and sizes."""
        _, generation = await own_generation(backend, generation_id)
        return json_answer(GenerationShape.of(generation, await _library(backend).file_list(generation_id)))

    @routes.patch("/generations/<generation_id>")
    async def rename_generation(backend: Backend, generation_id: str) -> Response:
        """Give one of your generations another display name, or put it in another group."""
        await own_generation(backend, generation_id)
        body = await read_json(request, RenameBody, limit_bytes=_NAME_BYTES)
        changed = await _library(backend).rename(generation_id, body.given_name, group=body.given_group)
        return json_answer(GenerationShape.model_validate(changed))

    @routes.delete("/generations/<generation_id>")
    async def delete_generation(backend: Backend, generation_id: str) -> Response:
        """Remove a generation, its previews and their logs; stop its preview first.

        It is hidden at once, can be restored for a while (`GET /api/v1/removed`), and is then deleted.
        """
        identity, generation = await own_generation(backend, generation_id)
        library, active = _library(backend), backend.previews.active(generation_id)
        if active is not None:
            raise AlreadyRunning(
                f"The generation {generation_id!r} has the preview {active.record.id}; stop it first.",
                preview_id=active.record.id,
                generation_id=generation_id,
            )
        if backend.settings.removed_kept_s == 0:
            await delete_for_good(backend, generation_id, identity.user.id, generation.project_id)
            return no_content()
        await library.removed.put_aside(generation_id, identity.user.id)
        library.tell_gone(identity.user.id, generation_id)
        if backend.previews.active(generation_id) is not None:
            # Launched meanwhile: no user can reach this preview to stop it.
            await backend.previews.stop(generation_id)
        await delete_surplus(backend)
        return no_content()

    return routes


def _library(backend: Backend) -> GenerationLibrary:
    library = backend.service.library
    if library is None:
        raise NotFound  # a host that stores its generations has its own way to manage them
    return library


def file_routes(running: Running) -> Blueprint:
    """Return the routes, relative to ``/api/v1``."""
    routes = BackendRoutes("files", running)

    @routes.get("/generations/<generation_id>/files")
    async def list_files(backend: Backend, generation_id: str) -> Response:
        """Return the generation's files: paths, sizes and SHA-256.

        The `ETag` covers all of them; send it as `If-Match` with a change that builds on what you have read.
        """
        _, generation = await own_generation(backend, generation_id)
        # Taken before the files are read: if they change meanwhile, the tag is outdated, not the files.
        tag = etag_of(generation.revision)
        if is_known(request, tag):
            return _not_modified(tag)
        files = await _library(backend).stored_files(generation_id)
        return json_answer(FileList.of(files, tag), headers={"ETag": tag})

    @routes.get("/generations/<generation_id>/files/<path:path>")
    async def get_file(backend: Backend, generation_id: str, path: str) -> Response:
        """Return the content of one file, unchanged."""
        await own_generation(backend, generation_id)
        found = await _library(backend).read_files(generation_id, [path])
        if path not in found:
            raise FileNotKept(f"The generation has no file {quoted(path)}; GET …/files lists those it has.")
        tag = f'"{sha256(found[path]).hexdigest()}"'
        if is_known(request, tag):
            return _not_modified(tag)
        # Never with a type that a browser would show or run as a document of this service.
        headers = {"ETag": tag, "Content-Disposition": "attachment"}
        return Response(found[path], headers=headers, content_type="application/octet-stream")

    @routes.get("/generations/<generation_id>/archive")
    async def download(backend: Backend, generation_id: str) -> Response:
        """Return all of the generation's files as one archive, at their own paths.

        It can be uploaded again as it is. If the files change meanwhile, the archive may hold some of both versions.
        """
        identity, generation = await own_generation(backend, generation_id)
        library, kind = _library(backend), checked_query(request, ArchiveQuery).format
        tag = f'"{generation.revision}-{kind}"'
        if is_known(request, tag):
            return _not_modified(tag)
        # A client that does not read keeps a group of files in memory.
        request_resources().enter_context(backend.slots.hold(identity.key))
        body = ArchiveBody(library, generation, await library.file_groups(generation_id), kind)
        headers = {"ETag": tag, "Content-Disposition": f'attachment; filename="{archive_name(generation, kind)}"'}
        return Response(body, headers=headers, content_type="application/octet-stream")

    @routes.put("/generations/<generation_id>/files")
    async def replace_files(backend: Backend, generation_id: str) -> Response:
        """Replace all of the generation's files; its running preview is reloaded.

        As for creation: JSON, or a zip or tar.gz as `multipart/form-data`. Files that are not sent are removed; project
        and name stay. With `dry_run=true` nothing is stored, and the response tells what would change.
        """
        identity, edits = await _editable(backend, generation_id)
        query = checked_query(request, ChangeQuery)
        upload = await read_upload(request, backend.settings, backend.service.reader)
        edit = Edit(upload.files, is_whole=True)
        return _answer(await _save(backend, edits, identity, generation_id, edit, query, "upload"))

    @routes.patch("/generations/<generation_id>/files")
    async def change_files(backend: Backend, generation_id: str) -> Response:
        """Write some files and remove others, in one step; the running preview is reloaded.

        The change is stored even if the preview does not start with it. Then `reload.status` is `failed`, the error
        gives the reason, and the previous process still serves.
        """
        identity, edits = await _editable(backend, generation_id)
        settings, query = backend.settings, checked_query(request, ChangeQuery)
        body = await read_json(request, FilesPatch, limit_bytes=settings.upload_bytes)
        edit = await trio.to_thread.run_sync(partial(_edit_of, body, settings))
        saved = await _save(backend, edits, identity, generation_id, edit, query, "edit")
        return _answer(saved, {"ETag": etag_of(saved.edited.generation.revision)})

    return routes


async def _editable(backend: Backend, generation_id: str) -> tuple[Identity, FileEdits]:
    """Return the user and a generation of theirs that can be changed here.

    Raises:
        GenerationReadOnly: A host stores the generation.
        Unauthenticated, Forbidden, GenerationNotFound: See ``own_generation``.
    """
    identity, _ = await own_generation(backend, generation_id)
    edits = backend.edits
    if edits is None:
        raise GenerationReadOnly(
            "This generation's files are kept by the application that this service is part of; change them there, and "
            "restart the preview."
        )
    return identity, edits


async def _save(
    backend: Backend,
    edits: FileEdits,
    identity: Identity,
    generation_id: str,
    edit: Edit,
    query: ChangeQuery,
    source: VersionOrigin,
) -> Saved:
    """Store the change; or with ``dry_run`` return what it would change."""
    expected, note = expected_revision(request), query.note(identity, query.source or source)
    if query.dry_run:
        edited = await _library(backend).edit(generation_id, edit, expected=expected, is_dry=True)
        return Saved(edited, Reload("none"))
    return await edits.save(identity.user, generation_id, edit, note=note, expected=expected)


def _edit_of(body: FilesPatch, settings: Settings) -> Edit:
    written = parse_files_json(file_contents(body.files), settings, may_be_none=True)
    return Edit.of(written, body.remove, GenerationLimits.of(settings))


def _answer(saved: Saved, headers: dict[str, str] | None = None) -> Response:
    tag = etag_of(saved.edited.generation.revision)
    return json_answer(FilesChanged.of(saved, tag), headers=headers)


def _not_modified(tag: str) -> Response:
    response = Response(b"", 304, {"ETag": tag})
    del response.headers["Content-Type"]
    return response
