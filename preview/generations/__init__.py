"""What was generated: where its files come from, and what they may be."""

from preview.generations.archive import plain_bytes, unpack, unpack_tar_gz, unpack_zip
from preview.generations.editing import Edit, Edited, StoredFile
from preview.generations.files import check_files, parse_files_json
from preview.generations.folder import FolderGenerations
from preview.generations.folder_changes import FolderChange, FolderChanges
from preview.generations.interface import Generation, GenerationSource
from preview.generations.library import GenerationLibrary
from preview.generations.limits import Limits
from preview.generations.paths import check_paths

__all__ = [
    "Edit",
    "Edited",
    "FolderChange",
    "FolderChanges",
    "FolderGenerations",
    "Generation",
    "GenerationLibrary",
    "GenerationSource",
    "Limits",
    "StoredFile",
    "check_files",
    "check_paths",
    "parse_files_json",
    "plain_bytes",
    "unpack",
    "unpack_tar_gz",
    "unpack_zip",
]
