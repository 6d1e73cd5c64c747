"""The client programs that save and load the contents of databases."""

from __future__ import annotations

from pathlib import Path

from preview.core.servers import Program, find_program
from preview.errors import DataUnavailable


def find_client(program: Program, name: str, package: str) -> str:
    """Return the path of a client program, of the server's version if possible. Blocks on the disk.

    Args:
        program: The server program.
        name: The client's file name.
        package: Package that brings it, for the message.

    Raises:
        DataUnavailable: It is not installed.
    """
    beside = program.beside(name)
    found = str(beside) if beside.is_file() else find_program(name)
    if found is None:
        raise DataUnavailable(f"The program {name} is missing; install it (Debian: apt install {package}).")
    return found


def client_environment(folder: Path) -> dict[str, str]:
    """Return the variables that all client programs get.

    Args:
        folder: Folder that they may write.
    """
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": str(folder)}
