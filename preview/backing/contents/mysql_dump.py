r"""Saving and loading a MySQL database: the text of ``mariadb-dump``, loaded by ``mariadb``.

Both programs run as the preview's own user. The text has for each table ``CREATE TABLE``, with each key on a line, and
after it statements of up to 1 MiB::

    INSERT INTO `books` VALUES
    (1,'Emma',0x00FF),
    (2,'It\'s\nnew',NULL);

Each row is a line of its own, with all columns in the table's order. No value contains a line's end. Some versions of
``mariadb-dump`` write a whole statement on one line. Binary values are hexadecimal.

Views, triggers, events and routines belong to the user that loads them: the clause ``DEFINER``, which names another
preview's user, is taken out.
"""

from __future__ import annotations

import re
from pathlib import Path

import trio

from preview.backing.contents.clients import client_environment, find_client
from preview.backing.contents.files import open_regular
from preview.backing.interface import CLIENT_SOCKETS, ClientCommand, RunClient
from preview.core.servers import Program
from preview.runtime import Serve

_SOCKET = "mysql.sock"
_PACKAGE = "mariadb-client"
_CONNECTION = (
    *("--no-defaults", "--protocol=socket", f"--socket={CLIENT_SOCKETS / _SOCKET}", "--user=preview", "--skip-ssl"),
    "--max-allowed-packet=1G",
)
_WHAT = (
    *("--single-transaction", "--quick", "--skip-lock-tables", "--no-tablespaces", "--skip-dump-date"),
    *("--hex-blob", "--routines", "--triggers", "--events"),
)
# At the start of a line there is no value: a value's line begins with a bracket.
_WITHOUT_DEFINER = (
    r"s,^(CREATE |/\*!50003 CREATE\*/ /\*!50017 |/\*!50106 CREATE\*/ /\*!50117 |/\*!50013 )"
    r"DEFINER=`[^`]*`@`[^`]*` ?,\1,"
)
# $0: the file, $1: what sed does, then the program. It fails if the program does, or sed.
_SAVE = """
edit=$1
shift
said=$({ { "$@"; echo $? >&3; } | LC_ALL=C sed -E "$edit" > "$0" || echo 1 >&3; } 3>&1)
[ "$said" = 0 ]
"""
# The same, and before it the definitions alone into a file beside it.
_SAVE_BOTH = """
edit=$1
shift
for option in --no-data --quick; do
    file=$0
    [ $option = --no-data ] && file=$0.definitions
    said=$({ { "$@" $option; echo $? >&3; } | LC_ALL=C sed -E "$edit" > "$file" || echo 1 >&3; } 3>&1)
    [ "$said" = 0 ] || exit 1
done
"""
_LOAD = 'exec "$@" < "$0"'
_HEAD_BYTES = 1024
_NAMED = re.compile(rb"^-- Host: [^\n]{0,100}    Database: (\w{1,64})\s*$", re.MULTILINE | re.ASCII)


def definitions_of(file: Path) -> Path:
    """Return where the definitions alone are, of a database that is saved into this file."""
    return file.with_name(f"{file.name}.definitions")


async def save(
    program: Program, file: Path, run: RunClient, serve: Serve, database: str, *, with_definitions: bool = False
) -> None:
    """Write a database into a file.

    Args:
        program: The server program.
        file: See ``BackingDatabase.save``.
        run: See ``BackingDatabase.save``.
        serve: Leads to the database.
        database: Its name.
        with_definitions: Whether to write the definitions alone too.

    Raises:
        DataUnavailable: It cannot be saved.

    Cancellation: there may be a part of the file.
    """
    dump = await trio.to_thread.run_sync(find_client, program, "mariadb-dump", _PACKAGE)
    script = _SAVE_BOTH if with_definitions else _SAVE
    argv = ("/bin/sh", "-c", script, str(file), _WITHOUT_DEFINER, dump, *_CONNECTION, *_WHAT, database)
    await run(ClientCommand(argv, client_environment(file.parent), program.readable, _SOCKET, serve))


async def load(program: Program, file: Path, run: RunClient, serve: Serve, database: str) -> None:
    """Load a file into an empty database. Arguments as for ``save``.

    Raises:
        DataUnavailable: It cannot be loaded; a part of it may have been.

    Cancellation: a part of it may have been loaded.
    """
    client = await trio.to_thread.run_sync(find_client, program, "mariadb", _PACKAGE)
    argv = (
        "/bin/sh",
        "-c",
        _LOAD,
        str(file),
        client,
        *_CONNECTION,
        "--local-infile=0",
        "--comments",
        "--batch",
        database,
    )
    await run(ClientCommand(argv, client_environment(file.parent), program.readable, _SOCKET, serve))


def named_in(file: Path) -> str:
    """Return the name of the database that a saved file comes from; empty if it does not say. Blocks on the disk.

    The file is not believed: the name is a wish, like a client's.
    """
    try:
        with open(open_regular(file), "rb") as opened:  # noqa: PTH123  a descriptor, not a path
            found = _NAMED.search(opened.read(_HEAD_BYTES))
    except OSError:
        return ""
    return found[1].decode("ascii") if found else ""
