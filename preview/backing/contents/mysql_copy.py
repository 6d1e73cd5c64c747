"""The copy of a database's tables: a folder with their files, its definitions, and the manifest, written last.

A folder without a manifest is no copy. A copy is loaded only into the run of the server that it comes from: what a
server wrote that was taken over reaches no other. So files need not be written through to the disk either.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from preview.backing.contents.files import open_regular
from preview.core.removal import remove_folder

MANIFEST, DEFINITIONS = "manifest.json", "definitions.sql"
ENDINGS = (".ibd", ".cfg")
_MOST_MANIFEST_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class CopiedTable:
    """A table of a copy.

    Attributes:
        name: Its name, of letters, digits and ``_``.
        sizes: Bytes of its files, in the order of ``ENDINGS``.
        rows: Number of its rows.
    """

    name: str
    sizes: tuple[int, ...]
    rows: int


@dataclass(frozen=True, slots=True)
class TableCopy:
    """A copy.

    Attributes:
        folder: Its folder.
        run: The server's run.
        inventory: What the database had: see ``Inventory.mark``.
        tables: All its tables.
    """

    folder: Path
    run: str
    inventory: str
    tables: tuple[CopiedTable, ...]


def measure(folder: Path, names: Sequence[str], rows: Sequence[int]) -> tuple[CopiedTable, ...]:
    """Return the tables whose files are in the folder. Blocks. Raises: OSError."""
    return tuple(
        CopiedTable(name, tuple((folder / f"{name}{ending}").stat().st_size for ending in ENDINGS), count)
        for name, count in zip(names, rows, strict=True)
    )


def write_manifest(copy: TableCopy) -> None:
    """Make the folder a copy. Blocks. Raises: OSError."""
    said = asdict(copy) | {"folder": ""}
    new = copy.folder / f"{MANIFEST}.new"
    new.write_text(json.dumps(said), "ascii")
    new.rename(copy.folder / MANIFEST)


def read_copy(folder: Path, run: str) -> TableCopy | None:
    """Return the copy in a folder; None if there is none that is whole and of this run of the server. Blocks."""
    try:
        with open(open_regular(folder / MANIFEST), "rb") as file:  # noqa: PTH123  a descriptor, not a path
            said = json.loads(file.read(_MOST_MANIFEST_BYTES))
        tables = tuple(CopiedTable(one["name"], tuple(one["sizes"]), one["rows"]) for one in said["tables"])
        found = measure(folder, [one.name for one in tables], [one.rows for one in tables])
        is_whole = said["run"] == run and found == tables and (folder / DEFINITIONS).is_file()
        return TableCopy(folder, said["run"], said["inventory"], tables) if is_whole and tables else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remove_copy(folder: Path) -> None:
    """Remove a copy, or a part of one. From its first moment on there is none. Blocks; what cannot be removed stays."""
    removed = folder.with_name(f"{folder.name}.removed")
    remove_folder(removed)
    with suppress(OSError):
        folder.rename(removed)
        remove_folder(removed)


def send_file(source: int, target: int, size: int) -> None:
    """Copy exactly ``size`` bytes from one open file to another. Blocks.

    Raises:
        OSError: The source is shorter, or the target cannot be written.
    """
    left = size
    while left:
        sent = os.sendfile(target, source, None, left)
        if not sent:
            raise OSError("the file is shorter than it was")
        left -= sent
