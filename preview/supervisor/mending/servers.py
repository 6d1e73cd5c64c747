"""Mend of a project that makes databases, roles or extensions, which the shared PostgreSQL refuses. Pure."""

from __future__ import annotations

from preview.supervisor.diagnosis.diagnose_services import may_be_administered, refused_right
from preview.supervisor.mending.model import FailedStart, Mend


def mend_server(failed: FailedStart) -> Mend | None:
    """Return a PostgreSQL server of its own for a project that the shared one has refused; None for others."""
    asked = refused_right(failed.lines)
    if asked is None or not failed.may_administer or not may_be_administered(failed.plan.services):
        return None
    why = f'PostgreSQL has refused the project "{asked}": it gets a server of its own'
    return Mend(why, administers=True)
