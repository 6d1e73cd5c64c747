"""Generations: their sources and their limits.

The names that need the database are imported on first use. The processes that read untrusted files do not load it.
"""

from __future__ import annotations

from importlib import import_module
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

_STORED = {
    "Edit": "editing",
    "Edited": "editing",
    "GenerationLibrary": "library",
    "GenerationVersions": "versions",
    "MAX_VERSION": "versions",
    "Version": "versions",
    "VersionFile": "versions",
    "FailedStart": "versions",
    "VersionNote": "version_rows",
    "VersionOrigin": "version_rows",
    "VersionPage": "versions",
}


def __getattr__(name: str) -> object:
    if name not in _STORED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_STORED[name]}"), name)
