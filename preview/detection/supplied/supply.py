"""The servers that a preview gets, and what the project's files tell about the ones that it wants."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from preview.detection.databases.dialect import refuses_sqlite
from preview.detection.databases.services import SQL_KINDS, kind_of_scheme
from preview.detection.facts import Facts
from preview.detection.plan import ServiceKind
from preview.detection.settings import ExampleValue, ProjectSettings, SettingRead, compose_values
from preview.detection.supplied.drivers import Drivers, find_drivers
from preview.detection.supplied.urls import SCHEMES
from preview.sources import Sources

SQLITE: Final = "sqlite"
"""What ``told_kind`` returns for the URL of an SQLite file."""

_INI_URL: Final = re.compile(r"^sqlalchemy\.url[ \t]*=[ \t]*(?!\S*%\()(\S{1,400})[ \t]*$", re.MULTILINE)
_MAX_BYTES: Final = 200_000

_SERVER: Final = re.compile(r"POSTGRES|MYSQL|MARIADB")


@dataclass(frozen=True, slots=True)
class Supply:
    """The servers of a preview; false if it gets none.

    Attributes:
        kinds: Kinds of servers that the preview gets.
        drivers: Drivers that the project has.
        composed: Values of variables in its compose files.
        refuses_sqlite: Its migrations change tables in ways that SQLite lacks.
        migrated: URL of the database in its ``alembic.ini``, without options; empty without one.
    """

    kinds: frozenset[ServiceKind] = frozenset()
    drivers: Drivers = field(default_factory=Drivers)
    composed: Mapping[str, ExampleValue] = field(default_factory=dict)
    refuses_sqlite: bool = False
    migrated: str = ""

    def __bool__(self) -> bool:
        return bool(self.kinds)

    def texts(self, read: SettingRead, settings: ProjectSettings) -> Iterator[str]:
        """Yield the variable's values: of ``.env``, the default, of the example file, of a compose file.

        SQLite as a default or an example counts only if the migrations can be run on it, or nothing names a server:
        neither the variable's name nor another value.
        """
        name = read.name
        own = settings.own.get(name) or settings.own.get(name.lower())
        example = settings.examples.get(name) or settings.examples.get(name.lower())
        composed = self.composed.get(name)
        others = [one.value for one in (example, composed) if one is not None and one.value]
        offered = [read.default, *others]
        if self.refuses_sqlite and (_SERVER.search(name.upper()) or any(map(_is_sql_server, others))):
            offered = [text for text in offered if text and not text.startswith(SQLITE)]
        yield from (text for text in (own and own.value, *offered) if text)

    def told_kind(self, read: SettingRead, settings: ProjectSettings) -> ServiceKind | str | None:
        """Return the kind of the first value that is a URL, ``SQLITE`` for a file; None if no value tells."""
        for text in self.texts(read, settings):
            kind = kind_of_scheme(text)
            if kind is not None:
                return kind
            if text.startswith((SQLITE, "file:")):
                return SQLITE
        return None


def _is_sql_server(text: str) -> bool:
    return kind_of_scheme(text) in SQL_KINDS


def find_supply(sources: Sources, facts: Facts, folder: str, kinds: frozenset[ServiceKind]) -> Supply:
    """Read the drivers and the compose files of a Python project; ``folder`` has its manifests."""
    kinds = kinds & frozenset(SCHEMES)
    if not kinds:
        return Supply()
    values, drivers = compose_values(sources), find_drivers(sources, facts, folder)
    return Supply(kinds, drivers, values, refuses_sqlite(sources), _migrated(sources, folder))


def _migrated(sources: Sources, folder: str) -> str:
    files = [name for name in sources.all_names if name.rpartition("/")[2] == "alembic.ini"]
    # Another service beside this one may have its own.
    own = "alembic.ini" if folder in {"", "."} else f"{folder}/alembic.ini"
    file = own if own in files else files[0] if len(files) == 1 else None
    text = sources.text(file)[:_MAX_BYTES].decode("utf-8", "replace") if file is not None else ""
    match = _INI_URL.search(text)
    return match[1].partition("?")[0].replace("%%", "%") if match is not None else ""
