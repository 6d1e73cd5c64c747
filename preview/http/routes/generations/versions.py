"""Routes of the versions of a generation's files, relative to ``/api/v1``."""

from __future__ import annotations

from quart import Blueprint, Response, request

from preview.auth import Identity
from preview.errors import GenerationReadOnly, PreconditionFailed, VersionNotFound
from preview.generations import MAX_VERSION, Generation, GenerationVersions
from preview.http.backend import Backend, BackendRoutes, Running
from preview.http.contracts.generations import FilesChanged
from preview.http.contracts.history.versions import VersionDetail, VersionDiff, VersionList
from preview.http.core.answers import json_answer
from preview.http.core.reading import checked_query, etag_of, expected_revision
from preview.http.core.version_bodies import DiffQuery, NoteQuery, VersionsQuery
from preview.http.edits import Saved
from preview.http.identity import own_generation
from preview.http.version_diffs import difference_of

# Attempts to restore while others change the files, if the caller did not name a revision.
_TRIES = 3


def version_routes(running: Running) -> Blueprint:
    """Return the routes."""
    routes = BackendRoutes("versions", running)

    @routes.get("/generations/<generation_id>/versions")
    async def list_versions(backend: Backend, generation_id: str) -> Response:
        """Return the versions of the generation's files, newest first. Each change of the files makes one."""
        _, _, versions = await _own_versions(backend, generation_id)
        query = checked_query(request, VersionsQuery)
        page = await versions.page(generation_id, before=query.before, limit=query.limit)
        return json_answer(VersionList.of(page, backend.settings))

    @routes.get("/generations/<generation_id>/versions/<record:number>")
    async def get_version(backend: Backend, generation_id: str, number: str) -> Response:
        """Return one version, with its files' paths, sizes and SHA-256."""
        _, _, versions = await _own_versions(backend, generation_id)
        place = version_number(number)
        version = await versions.get(generation_id, place)
        failed = await versions.failed(generation_id, [place])
        return json_answer(VersionDetail.of(version, failed.get(place), await versions.files(generation_id, place)))

    @routes.get("/generations/<generation_id>/versions/<record:number>/diff")
    async def diff(backend: Backend, generation_id: str, number: str) -> Response:
        """Return what differs from another version: each file, and for text a unified diff.

        The text is bounded: large and binary files are named without a diff.
        """
        _, _, versions = await _own_versions(backend, generation_id)
        place, query = version_number(number), checked_query(request, DiffQuery)
        against = place - 1 if query.against is None else query.against
        files = await difference_of(versions, backend.service.reader, generation_id, against, place)
        return json_answer(VersionDiff.of(place, against, files))

    @routes.post("/generations/<generation_id>/versions/<record:number>/restore")
    async def restore(backend: Backend, generation_id: str, number: str) -> Response:
        """Make the version's files the current ones, as a new version; the running preview is reloaded.

        The change is stored even if the preview does not start with it. Then `reload.status` is `failed`, the error
        gives the reason, and the previous process still serves.
        """
        identity, _, versions = await _own_versions(backend, generation_id)
        note = checked_query(request, NoteQuery)
        saved = await _restore(backend, identity, versions, generation_id, version_number(number), note)
        tag = etag_of(saved.edited.generation.revision)
        return json_answer(FilesChanged.of(saved, tag), headers={"ETag": tag})

    return routes


async def _restore(
    backend: Backend,
    identity: Identity,
    versions: GenerationVersions,
    generation_id: str,
    number: int,
    query: NoteQuery,
) -> Saved:
    edits, given = backend.edits, expected_revision(request)
    assert edits is not None, "there are versions, so the service stores the files"  # noqa: S101
    note = query.note(identity, "restore", f"Version {number} restored")
    for tries_left in reversed(range(_TRIES)):
        edit, seen = await versions.edit_to(generation_id, number)

        def is_seen(revision: int, seen: int = seen) -> bool:
            return revision == seen and (given is None or given(revision))

        try:
            return await edits.save(identity.user, generation_id, edit, note=note, expected=is_seen)
        except PreconditionFailed:
            if given is not None or not tries_left:
                raise
    raise AssertionError("the last try has returned or raised")


async def _own_versions(backend: Backend, generation_id: str) -> tuple[Identity, Generation, GenerationVersions]:
    """Return the user, their generation, and the versions that this service keeps.

    Raises:
        GenerationReadOnly: A host stores the generation.
        Unauthenticated, Forbidden, GenerationNotFound: See ``own_generation``.
    """
    identity, generation = await own_generation(backend, generation_id)
    return identity, generation, versions_of(backend)


def versions_of(backend: Backend) -> GenerationVersions:
    """Return the versions that this service keeps.

    Raises:
        GenerationReadOnly: A host stores the generations.
    """
    library = backend.service.library
    if library is None:
        raise GenerationReadOnly(
            "This generation's files are kept by the application that this service is part of, so this service has no "
            "versions of them; look for them there."
        )
    return library.versions


def version_number(text: str) -> int:
    """Return the number of a version from an address.

    Raises:
        VersionNotFound: It is not a number that a version can have.
    """
    if not text.isascii() or not text.isdigit() or len(text) > 10 or not 0 < int(text) <= MAX_VERSION:
        raise VersionNotFound("There is no such version; list the versions to see which there are.")
    return int(text)
