"""Data of previews: files, SQLite files and their comparison. Nothing here believes what a preview has written.

Import ``query`` and the like from ``sqlite``, and ``compare`` from the module of that name.
"""

from preview.data.client import ConfinedProgram, RunConfined
from preview.data.compare import Comparison, DatabaseChange, FileChange, RowSample, TableChange
from preview.data.sqlite import SqliteFile, SqliteTables, find_sqlite_files
from preview.data.tree import Tree, TreeChange, add_copy, restore_tree, save_tree

__all__ = [
    "Comparison",
    "ConfinedProgram",
    "DatabaseChange",
    "FileChange",
    "RowSample",
    "RunConfined",
    "SqliteFile",
    "SqliteTables",
    "TableChange",
    "Tree",
    "TreeChange",
    "add_copy",
    "find_sqlite_files",
    "restore_tree",
    "save_tree",
]
