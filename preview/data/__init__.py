"""Data of previews: snapshots of files and databases, tables to look at, statements to run."""

from preview.data.client import Confined, ConfinedProgram, RunConfined
from preview.data.compare import Comparison
from preview.data.preview_data import Database, DataLimits, PreviewData
from preview.data.snapshot import DataSnapshot, Part, SnapshotKind
from preview.data.stillness import Stillness
from preview.data.stored import SnapshotStore

__all__ = [
    "Comparison",
    "Confined",
    "ConfinedProgram",
    "DataLimits",
    "DataSnapshot",
    "Database",
    "Part",
    "PreviewData",
    "RunConfined",
    "SnapshotKind",
    "SnapshotStore",
    "Stillness",
]
