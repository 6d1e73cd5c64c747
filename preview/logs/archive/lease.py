"""The lease of the archiver: of the services on one database, one writes to the archive at a time.

Without it, one could write a log's file while another deletes the lines of that log.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, delete, insert, select, text, update

from preview.core.clock import now_ms
from preview.storage.tables import service_facts

LEASE_MS: Final = 600_000
"""A lease without a sign of its holder ends after this time. Each log extends it."""

_LEASE = "log archiver"
_F = service_facts.c
_NOW = text("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")


def take_lease(connection: Connection, holder: str) -> bool:
    """Take the lease, or extend it; return whether it is held.

    Raises:
        IntegrityError: Another service has made the first lease at the same moment.
    """
    # Services on other machines may have other clocks.
    now = int(connection.execute(_NOW).scalar_one()) if connection.dialect.name == "postgresql" else now_ms()
    found = connection.scalar(select(_F.value).where(_F.name == _LEASE))
    mine = f"{holder} {now + LEASE_MS}"
    if found is None:
        connection.execute(insert(service_facts).values(name=_LEASE, value=mine))
        return True
    whose, _, until = found.partition(" ")
    # A time far ahead is of a clock that was wrong.
    if whose != holder and until.isdecimal() and now < int(until) <= now + LEASE_MS:
        return False
    # Compared and set in one statement: of two services at the same moment only one gets it.
    changed = connection.execute(update(service_facts).where(_F.name == _LEASE, _F.value == found).values(value=mine))
    return changed.rowcount == 1


def has_lease(connection: Connection, holder: str) -> bool:
    """Return whether no other service has taken the lease since."""
    found = connection.scalar(select(_F.value).where(_F.name == _LEASE))
    return found is not None and found.startswith(f"{holder} ")


def end_lease(connection: Connection, holder: str) -> None:
    """End the lease, so that another service takes it at once."""
    connection.execute(delete(service_facts).where(_F.name == _LEASE, _F.value.startswith(f"{holder} ")))
