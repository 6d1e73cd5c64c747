"""Find the database drivers that a Python project's manifests and imports name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from preview.detection.facts import Facts
from preview.detection.layout import is_manifest
from preview.detection.plan import ServiceKind
from preview.sources import Sources

_PG, _MYSQL, _REDIS = ServiceKind.POSTGRESQL, ServiceKind.MYSQL, ServiceKind.REDIS
# Modules of drivers, and the names of distributions that have them.
_MODULES: Final = {
    "psycopg2": ("psycopg2", "psycopg2-binary", "psycopg2cffi", "aiopg"),
    "psycopg": ("psycopg", "psycopg-binary", "psycopg-pool"),
    "asyncpg": ("asyncpg",),
    "pg8000": ("pg8000",),
    "pymysql": ("pymysql", "flask-mysql"),
    "MySQLdb": ("mysqlclient", "flask-mysqldb"),
    "aiomysql": ("aiomysql",),
    "asyncmy": ("asyncmy",),
    "mysql.connector": ("mysql-connector-python", "mysql-connector"),
    "redis": ("redis", "aioredis", "arq", "rq", "django-redis", "channels-redis", "django-rq", "flask-redis",
              "flask-rq2", "redis-om", "fastapi-limiter", "taskiq-redis", "huey"),
}  # fmt: skip
_KINDS: Final = {
    **dict.fromkeys(("asyncpg", "psycopg2", "psycopg", "pg8000"), _PG),
    **dict.fromkeys(("pymysql", "MySQLdb", "aiomysql", "asyncmy", "mysql.connector"), _MYSQL),
    "redis": _REDIS,
}
# Modules that use the driver.
_WRAPPERS: Final = {
    "psycopg": ("psycopg_pool",),
    "psycopg2": ("aiopg",),
    "MySQLdb": ("flask_mysqldb",),
    "pymysql": ("flaskext.mysql",),
    "redis": ("aioredis", "arq", "rq", "django_redis", "channels_redis", "flask_redis", "django_rq", "redis_om"),
}
# A word is the name of a package if it starts a requirement, or stands in the extras of one.
_NAME: Final = re.compile(r"""(?:^|["'\[,=\s-])([a-z0-9]+(?:[-_.][a-z0-9]+)*)(?=[\s"'\]\[,;=<>~!^]|$)""", re.MULTILINE)
_EXTRAS: Final = {"postgresql": "psycopg2", "postgresql-asyncpg": "asyncpg", "aiopg": "psycopg2", "mysql": "MySQLdb"}
_SQLALCHEMY: Final = re.compile(
    r"""(?<![\w-])sqlalchemy(?![\w-])(?:\[[^\]\n]{0,80}\])?["']?[ \t]{0,8}"""
    r"""(?:=(?!=)[ \t]{0,8}(?:\{[^}\n]{0,80}?version[ \t]{0,8}=[ \t]{0,8})?["'])?([^"'\n;#]{0,80})""",
    re.IGNORECASE,
)
_PART: Final = re.compile(r"(===?|<=?|>=?|!=|~=?|\^|)[ \t]{0,8}v?(\d{1,4})(?:\.(\d{1,4}))?(\.\d)?")
# Signs that keep the minor version, or end at it; an empty one is an exact version in Poetry's table.
_EXACT: Final = frozenset({"==", "===", "<=", "~", "~=", ""})
_LOCKED: Final = re.compile(r"""name = "sqlalchemy"\s+version = "(\d+)\.(\d+)""", re.IGNORECASE)
_FIRST_WITH_PSYCOPG: Final = (2, 1)
_MAX_BYTES: Final = 200_000
_MAX_FILES: Final = 20


@dataclass(frozen=True, slots=True)
class Drivers:
    """Drivers of a project, by the names of their modules.

    Attributes:
        imported: Drivers that the sources import.
        declared: Drivers that the manifests name.
        psycopg_by_default: SQLAlchemy takes psycopg for ``postgresql://``, as it does from 2.1 on, and not psycopg2.
    """

    imported: frozenset[str] = frozenset()
    declared: frozenset[str] = frozenset()
    psycopg_by_default: bool = True

    def has(self, module: str) -> bool:
        """Return true if the project has the driver."""
        return module in self.imported or module in self.declared

    def first(self, *modules: str) -> str | None:
        """Return the first of these drivers that the project has, or None."""
        return next((module for module in modules if self.has(module)), None)

    def kinds(self, *, imported_only: bool = False) -> list[ServiceKind]:
        """Return the kinds of servers that the drivers are for, those of imports first."""
        groups = (self.imported,) if imported_only else (self.imported, self.declared)
        found = [_KINDS[name] for names in groups for name in _KINDS if name in names]
        return list(dict.fromkeys(found))


def find_drivers(sources: Sources, facts: Facts, folder: str) -> Drivers:
    """Read the drivers of the manifests in and below ``folder``, and those of the imports."""
    text = "\n".join(_texts(sources, folder))
    names = {match[1].replace("_", "-").replace(".", "-") for match in _NAME.finditer(text.lower())}
    declared = {module for module, listed in _MODULES.items() if not names.isdisjoint(listed)}
    declared |= {_EXTRAS[extra] for extra in _extras(text) if extra in _EXTRAS}
    imported = {module for module in _MODULES if facts.imported(module, *_WRAPPERS.get(module, ()))}
    return Drivers(frozenset(imported), frozenset(declared), not _is_before(text, _locked(sources, folder)))


def _texts(sources: Sources, folder: str) -> Iterator[str]:
    prefix = "" if folder == "." else f"{folder}/"
    names = [name for name in sources.all_names if name.startswith(prefix) and is_manifest(name)]
    for name in names[:_MAX_FILES]:
        text = sources.text(name)[:_MAX_BYTES].decode("utf-8", "replace")
        yield re.sub(r"(?:^|\s)#.*$", "", text, flags=re.MULTILINE)


def _extras(text: str) -> Iterator[str]:
    for found in re.finditer(r"\b(?:sqlalchemy|databases)\[([^\]\n]{1,80})\]", text, re.IGNORECASE):
        yield from (extra.strip().lower().replace("_", "-") for extra in found[1].split(","))


def _locked(sources: Sources, folder: str) -> tuple[int, int] | None:
    prefix = "" if folder == "." else f"{folder}/"
    for name in ("uv.lock", "poetry.lock", "pdm.lock"):
        found = _LOCKED.search(_text(sources, prefix + name))
        if found is not None:
            return int(found[1][:4]), int(found[2][:4])
    return None


def _text(sources: Sources, name: str) -> str:
    return sources.text(name).decode("utf-8", "replace") if sources.has_file(name) else ""


def _is_before(text: str, locked: tuple[int, int] | None) -> bool:
    """Return true if the manifests or the lock file want an SQLAlchemy before 2.1."""
    if locked is not None:
        return locked < _FIRST_WITH_PSYCOPG
    return any(_ends_before(found[1]) for found in _SQLALCHEMY.finditer(text))


def _ends_before(wanted: str) -> bool:
    """Return true if a specifier excludes 2.1 and later: ``==2.0.36``, ``<2.1``, ``~=2.0.3``, ``^1.4``."""
    for part in wanted.split(","):
        found = _PART.match(part.strip())
        if found is None:
            continue
        sign, version = found[1], (int(found[2]), int(found[3] or 0))
        if sign == "<" and version <= _FIRST_WITH_PSYCOPG:
            return True
        if (sign == "^" or (sign == "~=" and not found[4])) and version < (2, 0):
            return True
        if sign in _EXACT and (sign != "~=" or found[4]) and version < _FIRST_WITH_PSYCOPG:
            return True
    return False
