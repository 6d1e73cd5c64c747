"""First tables: users, projects, generations with their files, previews with their log lines.

Revision: 0001, the first.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create all tables."""
    _create_owners()
    _create_generations()
    _create_previews()
    _create_logs()


def downgrade() -> None:
    """Drop all tables, referring tables first; indexes are dropped with them."""
    for table in ("preview_logs", "preview_instances", "generation_files", "generations", "projects", "users"):
        op.drop_table(table)


def _create_owners() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.String(128), nullable=False),
        sa.Column("tier", sa.String(32), nullable=False, server_default="free"),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
    )
    op.create_table(
        "projects",
        sa.Column("id", sa.String(128), nullable=False),
        sa.Column("user_id", sa.String(128), nullable=False),
        sa.Column("name", sa.String(256), nullable=False, server_default=sa.text("''")),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_projects")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_projects_user_id_users"), ondelete="CASCADE"),
    )
    op.create_index(op.f("ix_projects_user_id"), "projects", ["user_id"])


def _create_generations() -> None:
    op.create_table(
        "generations",
        sa.Column("id", sa.String(128), nullable=False),
        sa.Column("project_id", sa.String(128), nullable=False),
        sa.Column("user_id", sa.String(128), nullable=False),
        sa.Column("name", sa.String(256), nullable=False, server_default=sa.text("''")),
        sa.Column("file_count", sa.Integer, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_generations")),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_generations_project_id_projects"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_generations_user_id_users"), ondelete="CASCADE"
        ),
    )
    op.create_index(op.f("ix_generations_project_id"), "generations", ["project_id"])
    op.create_index(op.f("ix_generations_user_id"), "generations", ["user_id"])
    op.create_table(
        "generation_files",
        sa.Column("generation_id", sa.String(128), nullable=False),
        sa.Column("path", sa.String(1024), nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("generation_id", "path", name=op.f("pk_generation_files")),
        sa.ForeignKeyConstraint(
            ["generation_id"],
            ["generations.id"],
            name=op.f("fk_generation_files_generation_id_generations"),
            ondelete="CASCADE",
        ),
    )


def _create_previews() -> None:
    op.create_table(
        "preview_instances",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("generation_id", sa.String(128), nullable=False),
        sa.Column("project_id", sa.String(128), nullable=False),
        sa.Column("user_id", sa.String(128), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("health_status", sa.String(16), nullable=False),
        sa.Column("port", sa.Integer),
        sa.Column("base_url", sa.Text),
        sa.Column("health_path", sa.Text, nullable=False, server_default="/"),
        sa.Column("runtime", sa.String(32), nullable=False, server_default="plain"),
        sa.Column("pid", sa.Integer),
        sa.Column("pid_start_ticks", sa.BigInteger),
        sa.Column("boot_id", sa.String(64)),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("started_at", sa.BigInteger),
        sa.Column("stopped_at", sa.BigInteger),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("token_expires_at", sa.BigInteger, nullable=False),
        sa.Column("last_health_check", sa.BigInteger),
        sa.Column("error_message", sa.Text),
        sa.Column("exit_code", sa.Integer),
        sa.Column("exit_signal", sa.SmallInteger),
        sa.Column("directory", sa.Text),
        sa.Column("log_level", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_preview_instances")),
    )
    for columns in (["generation_id", "created_at"], ["user_id", "created_at"], ["status"]):
        op.create_index(op.f(f"ix_preview_instances_{'_'.join(columns)}"), "preview_instances", columns)


def _create_logs() -> None:
    op.create_table(
        "preview_logs",
        sa.Column("preview_id", sa.String(64), nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("timestamp", sa.BigInteger, nullable=False),
        sa.Column("level", sa.SmallInteger, nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("preview_id", "seq", name=op.f("pk_preview_logs")),
        sa.ForeignKeyConstraint(
            ["preview_id"],
            ["preview_instances.id"],
            name=op.f("fk_preview_logs_preview_id_preview_instances"),
            ondelete="CASCADE",
        ),
        sqlite_with_rowid=False,
    )
