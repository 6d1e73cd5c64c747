"""Parameters and responses of the routes of versions, launches, names and examples."""

from __future__ import annotations

from preview import errors, people_errors
from preview.http.contracts import generations
from preview.http.contracts.history import launches, versions
from preview.http.contracts.history.metrics import MetricsShape
from preview.http.core.bodies import OneRequestQuery, PageQuery, RenameBody
from preview.http.core.version_bodies import (
    ChangeQuery,
    DiffQuery,
    ImportBody,
    ImportChangeBody,
    LaunchCompareQuery,
    NoteQuery,
    VersionsQuery,
)
from preview.http.openapi.model import ErrorKinds, Operation, Reply

_IF_MATCH = {"If-Match": "Change the files only if their `ETag` is still this one (RFC 9110)."}


def version_operations() -> dict[str, Operation]:
    """Describe the routes of versions and launches."""
    missing: ErrorKinds = (errors.GenerationReadOnly, errors.VersionNotFound)
    restored = Reply(
        "The stored change.", generations.FilesChanged, headers={"ETag": "Entity tag of the files after the change."}
    )
    changed: ErrorKinds = (*missing, errors.PreconditionFailed, errors.InvalidGeneration, errors.TooLarge)
    return {
        "versions.list_versions": Operation(
            Reply("A page of versions.", versions.VersionList), missing, query=VersionsQuery
        ),
        "versions.get_version": Operation(Reply("The version.", versions.VersionDetail), missing),
        "versions.diff": Operation(Reply("The difference.", versions.VersionDiff), missing, query=DiffQuery),
        "launches.list_launches": Operation(Reply("A page of launches.", launches.LaunchList), query=PageQuery),
        "launches.get_launch": Operation(
            Reply("The launch.", launches.LaunchDetail), (errors.NoActivePreview, errors.PreviewNotFound)
        ),
        "launches.compare_launches": Operation(
            Reply("The comparison.", launches.LaunchComparison),
            (errors.NoActivePreview, errors.PreviewNotFound),
            query=LaunchCompareQuery,
        ),
        "versions.restore": Operation(restored, changed, query=NoteQuery, headers=_IF_MATCH),
    }


def naming_operations(added: Reply) -> dict[str, Operation]:
    """Describe the routes of names and examples; ``added`` is the reply with a new generation."""
    return {
        "examples.list_examples": Operation(Reply("The examples.", generations.ExampleList)),
        "examples.add_example": Operation(added, (errors.GenerationLimitReached,), 201, is_missing=True),
        "generations.rename_generation": Operation(
            Reply("The generation, without its files.", generations.GenerationShape),
            (errors.InvalidRequest,),
            body=RenameBody,
            is_missing=True,
        ),
    }


def import_operations(upload: ErrorKinds, edit: ErrorKinds, location: dict[str, str]) -> dict[str, Operation]:
    """Describe the routes of imports; with the errors of an upload and of an edit."""
    failed: ErrorKinds = (
        people_errors.ImportsOff,
        people_errors.RepositoryNotFound,
        people_errors.ImportFailed,
        people_errors.TooFast,
    )
    return {
        "imports.import_source": Operation(Reply("Where from.", generations.ImportSource)),
        "imports.add_repository": Operation(
            Reply("The stored generation.", generations.ImportedGeneration, headers=location),
            (*upload, *failed, errors.AnalysisFailed),
            201,
            query=NoteQuery,
            body=ImportBody,
            is_missing=True,
        ),
        "imports.update_from_repository": Operation(
            Reply("The stored change.", generations.ImportedChange),
            (*edit, *failed, errors.AnalysisFailed),
            query=ChangeQuery,
            body=ImportChangeBody,
            headers=_IF_MATCH,
        ),
    }


def removal_operations() -> dict[str, Operation]:
    """Describe the routes of removed generations."""
    return {
        "removed.list_removed": Operation(Reply("The removed generations.", generations.RemovedList), is_missing=True),
        "removed.restore": Operation(
            Reply("The generation, without its files.", generations.GenerationShape),
            (errors.GenerationNotFound, errors.GenerationLimitReached),
            is_missing=True,
        ),
        "removed.delete": Operation(
            Reply("Done; the response has no body.", kind=None), (errors.GenerationNotFound,), 204, is_missing=True
        ),
    }


def metrics_operations() -> dict[str, Operation]:
    """Describe the route of a preview's measurements."""
    gone = (errors.NoActivePreview, errors.PreviewNotFound)
    return {"metrics.show": Operation(Reply("The measurements.", MetricsShape), gone, query=OneRequestQuery)}
