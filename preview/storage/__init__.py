"""Tables, the engine and its threads, queries, migrations."""

from preview.storage.database import NOTHING_CARRIED, Carried, Database, open_database
from preview.storage.prepare import prepare
from preview.storage.previews import PreviewStore
from preview.storage.sealing import Sealer, open_sealer
from preview.storage.tables import PreviewRecord
from preview.storage.users import UserStore

__all__ = [
    "NOTHING_CARRIED",
    "Carried",
    "Database",
    "PreviewRecord",
    "PreviewStore",
    "Sealer",
    "UserStore",
    "open_database",
    "open_sealer",
    "prepare",
]
