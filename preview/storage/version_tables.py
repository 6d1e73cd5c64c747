"""Tables of the versions of generations' files; see ``preview.generations.versions``.

A content is stored once per generation. The current files stay in ``generation_files``; only contents that no current
file has any more are in ``file_contents``.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Table,
    Text,
)

from preview.storage.tables import metadata

generation_versions = Table(
    "generation_versions",
    metadata,
    Column("generation_id", String(128), ForeignKey("generations.id", ondelete="CASCADE"), primary_key=True),
    # The generation's revision after the change.
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("author", String(128), nullable=False),
    # Name of the program or token that made the change; may be empty.
    Column("agent", String(128), nullable=False),
    Column("source", String(16), nullable=False),
    Column("message", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("file_count", Integer, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    # Number of files that are new, changed and removed, compared with the version before.
    Column("added", Integer, nullable=False),
    Column("changed", Integer, nullable=False),
    Column("removed", Integer, nullable=False),
    # Bytes of all past files as of this version; only the newest version's number counts.
    Column("past_bytes", BigInteger, nullable=False),
)

version_files = Table(
    "version_files",
    metadata,
    Column("generation_id", String(128), ForeignKey("generations.id", ondelete="CASCADE"), primary_key=True),
    Column("path", String(1024), primary_key=True),
    # The file has this content from version ``since`` to the one before ``until``; NULL: it is current.
    Column("since", Integer, primary_key=True, autoincrement=False),
    Column("until", Integer),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    # 1: UTF-8 without NUL; NULL for files from before revision 0013.
    Column("is_text", SmallInteger),
)
Index("ix_version_files_generation_id_until", version_files.c.generation_id, version_files.c.until)
Index("ix_version_files_generation_id_sha256", version_files.c.generation_id, version_files.c.sha256)

# Contents of past files.
file_contents = Table(
    "file_contents",
    metadata,
    Column("generation_id", String(128), ForeignKey("generations.id", ondelete="CASCADE"), primary_key=True),
    Column("sha256", String(64), primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("content", LargeBinary, nullable=False),
)

# Versions that a running preview did not start with. Launches that failed are in ``preview_instances``.
failed_reloads = Table(
    "failed_reloads",
    metadata,
    Column("generation_id", String(128), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("preview_id", String(64), nullable=False),
    Column("reason", Text, nullable=False),
    ForeignKeyConstraint(
        ["generation_id", "number"],
        ["generation_versions.generation_id", "generation_versions.number"],
        ondelete="CASCADE",
    ),
)
