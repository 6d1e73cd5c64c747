"""Keep versions of generations' files, and of launches the version that they ran.

Revision: 0013, after 0012. The present files become a generation's first version. The database hashes their contents
file by file; they are neither copied nor read as a whole.
"""

from __future__ import annotations

from hashlib import sha256

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_VERSIONS = """
    INSERT INTO generation_versions (generation_id, number, author, agent, source, message, created_at, file_count,
        size_bytes, added, changed, removed, past_bytes)
    SELECT id, revision, user_id, '', 'push', '', created_at, file_count, size_bytes, file_count, 0, 0, 0
    FROM generations
"""
_FILES = """
    INSERT INTO version_files (generation_id, path, since, until, size_bytes, sha256)
    SELECT f.generation_id, f.path, g.revision, NULL, f.size_bytes, {hash}
    FROM generation_files f JOIN generations g ON g.id = f.generation_id
"""


def upgrade() -> None:
    """Add the tables, and the present files as versions."""
    op.create_table(
        "generation_versions",
        sa.Column("generation_id", sa.String(128), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("author", sa.String(128), nullable=False),
        sa.Column("agent", sa.String(128), nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("file_count", sa.Integer, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("added", sa.Integer, nullable=False),
        sa.Column("changed", sa.Integer, nullable=False),
        sa.Column("removed", sa.Integer, nullable=False),
        sa.Column("past_bytes", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("generation_id", "number", name=op.f("pk_generation_versions")),
        _of_generation("generation_versions"),
    )
    op.create_table(
        "version_files",
        sa.Column("generation_id", sa.String(128), nullable=False),
        sa.Column("path", sa.String(1024), nullable=False),
        sa.Column("since", sa.Integer, nullable=False),
        sa.Column("until", sa.Integer),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("is_text", sa.SmallInteger),
        sa.PrimaryKeyConstraint("generation_id", "path", "since", name=op.f("pk_version_files")),
        _of_generation("version_files"),
    )
    op.create_table(
        "file_contents",
        sa.Column("generation_id", sa.String(128), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("generation_id", "sha256", name=op.f("pk_file_contents")),
        _of_generation("file_contents"),
    )
    op.create_index("ix_version_files_generation_id_until", "version_files", ["generation_id", "until"])
    op.create_index("ix_version_files_generation_id_sha256", "version_files", ["generation_id", "sha256"])
    op.add_column("preview_instances", sa.Column("revision", sa.Integer))
    op.add_column("preview_instances", sa.Column("launch_settings", sa.Text))
    _fill()


def downgrade() -> None:
    """Drop the tables; the current files stay."""
    op.drop_column("preview_instances", "launch_settings")
    op.drop_column("preview_instances", "revision")
    op.drop_table("file_contents")
    op.drop_table("version_files")
    op.drop_table("generation_versions")


def _of_generation(table: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_generation_id_generations")
    return sa.ForeignKeyConstraint(["generation_id"], ["generations.id"], name=name, ondelete="CASCADE")


def _fill() -> None:
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        driver = connection.connection.driver_connection
        assert driver is not None  # noqa: S101  it is connected
        driver.create_function("preview_sha256", 1, _hex, deterministic=True)
        hashed = "preview_sha256(f.content)"
    else:
        # Hashing all contents may take longer than any other statement of the service.
        op.execute("SET LOCAL statement_timeout = 0")
        hashed = "encode(sha256(f.content), 'hex')"
    op.execute(_VERSIONS)
    op.execute(_FILES.format(hash=hashed))


def _hex(content: bytes) -> str:
    return sha256(content).hexdigest()
