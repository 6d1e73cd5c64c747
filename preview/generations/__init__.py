"""Generations: their sources and their limits.

The names that need the database are imported on first use. The processes that read untrusted files do not load it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from preview.generations.archive import (
    plain_bytes,
    unpack,
    unpack_repository,
    unpack_tar_gz,
    unpack_zip,
)
from preview.generations.files import check_files, check_paths, parse_files_json
from preview.generations.folder import FolderGenerations, installed_folders
from preview.generations.folder_changes import FolderChange, FolderChanges
from preview.generations.interface import Generation, GenerationLimits, GenerationSource
from preview.generations.packing import ArchiveKind, Packer
from preview.generations.repository_part import RepositoryPart
from preview.generations.stored_file import StoredFile
from preview.lazy_imports import importer

if TYPE_CHECKING:
    from preview.generations.editing import Edit, Edited
    from preview.generations.library import GenerationLibrary
    from preview.generations.version_rows import VersionNote, VersionOrigin
    from preview.generations.versions import (
        MAX_VERSION,
        FailedStart,
        GenerationVersions,
        Version,
        VersionFile,
        VersionPage,
    )

__all__ = [
    "MAX_VERSION",
    "ArchiveKind",
    "Edit",
    "Edited",
    "FailedStart",
    "FolderChange",
    "FolderChanges",
    "FolderGenerations",
    "Generation",
    "GenerationLibrary",
    "GenerationLimits",
    "GenerationSource",
    "GenerationVersions",
    "Packer",
    "RepositoryPart",
    "StoredFile",
    "Version",
    "VersionFile",
    "VersionNote",
    "VersionOrigin",
    "VersionPage",
    "check_files",
    "check_paths",
    "installed_folders",
    "parse_files_json",
    "plain_bytes",
    "unpack",
    "unpack_repository",
    "unpack_tar_gz",
    "unpack_zip",
]

__getattr__ = importer(
    __name__,
    {
        "Edit": "preview.generations.editing",
        "Edited": "preview.generations.editing",
        "GenerationLibrary": "preview.generations.library",
        "GenerationVersions": "preview.generations.versions",
        "MAX_VERSION": "preview.generations.versions",
        "Version": "preview.generations.versions",
        "VersionFile": "preview.generations.versions",
        "FailedStart": "preview.generations.versions",
        "VersionNote": "preview.generations.version_rows",
        "VersionOrigin": "preview.generations.version_rows",
        "VersionPage": "preview.generations.versions",
    },
)
