"""PyMySQL in place of mysqlclient, which needs a compiler and MySQL's headers on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from preview.environments.folders.layout import site_packages

_NAME: Final = "MySQLdb.py"
# Frameworks compare the version with that of mysqlclient.
_MODULE: Final = """import pymysql

pymysql.version_info = (2, 2, 7, "final", 0)
pymysql.install_as_MySQLdb()
"""


def serve_as_mysqldb(environment: Path) -> bool:
    """Let ``import MySQLdb`` load PyMySQL; return False if a package provides the module. Call it in a thread.

    Raises:
        OSError: The module cannot be written.
    """
    for folder in site_packages(environment):
        if (folder / "MySQLdb").exists() or not (folder / "pymysql").is_dir():
            continue
        try:
            with (folder / _NAME).open("x", encoding="utf-8") as file:
                file.write(_MODULE)
        except FileExistsError:
            continue
        return True
    return False
