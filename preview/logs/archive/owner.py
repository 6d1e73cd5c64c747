"""The mark that says which database an archive belongs to: no other service writes to it, or removes its files.

The mark is a hash of an id in the database and of the database's identity. So neither a restored backup, which lacks
the id, nor a copy by other means (``pg_dump``, a copied file), which has it, is the archive's owner.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable

from sqlalchemy import Connection, insert, select

from preview.errors import ConfigurationError
from preview.logs.archive.identity import identity_of
from preview.logs.archive.place import Place
from preview.storage.tables import service_facts

MARK = "preview-archive.json"
_KEY = "archive_of"
FACT = "archive owner"
"""Name of the fact in ``service_facts``. A restored backup does not have it."""
_MOST_BYTES = 1024
_FOREIGN = (
    "PREVIEW_ARCHIVE belongs to another service, whose previews are in another database: "
    "choose a folder, or a bucket's prefix, for this service alone. To take it over after `preview restore`, or after "
    "a database was copied or moved, "
    f"end the other service for good, then remove {MARK} from the archive."
)
_UNKNOWN = (
    "PREVIEW_ARCHIVE has archived logs of previews that are not in this database: "
    "choose an empty folder or prefix, or move those files away."
)


def owner_of(connection: Connection) -> str:
    """Return the mark of this database's archives; what it needs is made when it is first needed.

    Raises:
        ConfigurationError: See ``identity_of``.
    """
    query = select(service_facts.c.value).where(service_facts.c.name == FACT)
    found = connection.scalar(query)
    if found is None:
        found = secrets.token_hex(16)
        connection.execute(insert(service_facts).values(name=FACT, value=found))
    return hashlib.sha256(f"{found} {identity_of(connection)}".encode()).hexdigest()


def claim(place: Place, owner: str, unknown: Callable[[list[str]], bool]) -> None:
    """Mark a place as this service's, if it has no mark. Blocks.

    Args:
        place: The archive.
        owner: See ``owner_of``.
        unknown: Returns true if one of these files is not of a preview in the database.

    Raises:
        ConfigurationError: The place is another service's.
        DatabaseUnavailable: The place does not answer.
    """
    if place.peek(MARK, _MOST_BYTES) is None:
        # Files of a time before marks.
        if any(unknown(names) for names in place.names() if names):
            raise ConfigurationError(_UNKNOWN)
        place.create(MARK, json.dumps({_KEY: owner}).encode() + b"\n")
    if not is_own(place, owner):
        raise ConfigurationError(_FOREIGN)


def is_own(place: Place, owner: str) -> bool:
    """Return whether a place has this service's mark. Blocks, and raises ``DatabaseUnavailable``."""
    data = place.peek(MARK, _MOST_BYTES)
    try:
        found = json.loads(data or b"")
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get(_KEY) == owner
