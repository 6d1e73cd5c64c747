"""A PostgreSQL server of its own for each preview, whose administrator the project is."""

from preview.backing.own.database import OwnPostgresqlDatabase
from preview.backing.own.engine import OwnPostgresqlEngine
from preview.backing.own.server_folder import OwnLimits

__all__ = ["OwnLimits", "OwnPostgresqlDatabase", "OwnPostgresqlEngine"]
