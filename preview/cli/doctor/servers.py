"""The checks of ``preview doctor`` for servers that previews get: PostgreSQL, MySQL, Redis, MongoDB."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import trio

from preview.backing import ServerUnavailable, check_server
from preview.cli.doctor.result import Check, Result
from preview.core.isolation import Network
from preview.core.quoting import visible
from preview.core.servers import Program, find_mysql, find_postgresql, find_redis
from preview.runtime import Runtime
from preview.settings import Settings
from preview.settings_address import ServerAddress

_SECTION = "backing services of previews"
# What is looked for, by the setting that turns it off, and where it is had from.
_KINDS: tuple[tuple[str, str, Callable[[], Program | None], str], ...] = (
    ("PostgreSQL", "postgres", find_postgresql, "Debian's package postgresql, or pip install preview[postgres]"),
    ("MySQL", "mysql", find_mysql, "Debian's package mariadb-server"),
    ("Redis", "redis", find_redis, "Debian's package redis-server"),
)


def server_checks(settings: Settings, runtime: Runtime) -> Iterator[Check]:
    """Yield which kinds of servers previews get here."""
    if runtime.network(settings.network) is Network.HOST:
        found = "none: previews have the machine's network, and reach servers that you run on it"
        yield Check("servers", Result.OK, found, "", _SECTION)
        return
    for name, field, find, package in _KINDS:
        chosen = getattr(settings, field)
        if chosen == "off":
            yield Check(name, Result.OK, f"off (PREVIEW_{field.upper()}=off)", "", _SECTION)
            continue
        if isinstance(chosen, ServerAddress):
            yield _operator_check(name, field, chosen)
            continue
        program = find()
        if program is None:
            advice = f"for previews that need it, install a server ({package}); it need not be running"
            yield Check(name, Result.OK, "no server program found", advice, _SECTION)
        elif not program.version():
            advice = f"run `{program.path} --version`, and reinstall the package if it fails"
            yield Check(name, Result.WARN, f"{program.path} does not run", advice, _SECTION)
        else:
            own = "a server of its own" if field == "postgres" and settings.databases == "own" else "its own"
            found = f"{program.describe()} ({program.path}): each preview that needs it gets {own}"
            yield Check(name, Result.OK, found, "", _SECTION)
    if isinstance(settings.mongodb, ServerAddress):
        yield _operator_check("MongoDB", "mongodb", settings.mongodb)
    else:
        advice = "for previews that need it, set PREVIEW_MONGODB to the address of your own server"
        yield Check("MongoDB", Result.OK, "off (the service runs none)", advice, _SECTION)


def _operator_check(name: str, field: str, address: ServerAddress) -> Check:
    """Log in to a server of the operator's. Nothing that is shown contains the password."""
    where = f"PREVIEW_{field.upper()}: {visible(str(address))}"
    try:
        version = trio.run(check_server, address)
    except ServerUnavailable as error:
        advice = "check that the server runs, and that the address, user, password and permissions are correct"
        return Check(name, Result.WARN, f"{where}: {visible(str(error))}", advice, _SECTION)
    return Check(name, Result.OK, f"{where}: {version}; each preview gets a database of its own there", "", _SECTION)
