"""The data of previews: databases, tables, rows, snapshots; only contract ``v1`` has them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, Self

from pydantic import Field

from preview.backing import QueryResult
from preview.data import Comparison, Database, DataSnapshot
from preview.http.core.answers import Answer, Time
from preview.supervisor import Replaced


class TableShape(Answer):
    """A table or a view."""

    name: str = Field(examples=["public.books"])
    rows: int | None = Field(description="Number of rows, often an estimate; null if unknown.")
    size_bytes: int | None


class DatabaseShape(Answer):
    """A database of the preview."""

    id: str = Field(examples=["postgresql", "sqlite:instance/app.db"])
    kind: Literal["PostgreSQL", "MySQL", "SQLite", "MongoDB"]
    name: str
    size_bytes: int | None
    tables: list[TableShape]
    problem: str | None = Field(description="Why it cannot be read; null if it can.")


class Databases(Answer):
    """The databases of the preview: those of its own servers, and its SQLite files."""

    databases: list[DatabaseShape]

    @classmethod
    def of(cls, found: Sequence[Database]) -> Self:
        """Return the databases."""
        return cls(databases=[DatabaseShape.model_validate(one) for one in found])


class ColumnShape(Answer):
    """A column."""

    name: str
    type: str = Field(description="Type as the database names it; empty if unknown.")


Row = list[str | None]


class TablePage(Answer):
    """A page of a table, in the order of its primary key."""

    columns: list[ColumnShape]
    rows: list[Row] = Field(description="Values as text, long ones cut; null for NULL.")
    offset: int
    has_more: bool

    @classmethod
    def of(cls, found: QueryResult, offset: int, limit: int) -> Self:
        """Return the first ``limit`` rows; one more shows that there are more."""
        columns = [ColumnShape.model_validate(one) for one in found.columns]
        rows = [list(row) for row in found.rows[:limit]]
        return cls(columns=columns, rows=rows, offset=offset, has_more=found.has_more or len(found.rows) > limit)


class Rows(Answer):
    """Rows of a statement."""

    columns: list[ColumnShape]
    rows: list[Row] = Field(description="Values as text, long ones cut; null for NULL.")
    is_cut: bool = Field(description="Whether there are more rows, or a value was cut.")
    elapsed_ms: float

    @classmethod
    def of(cls, found: QueryResult, elapsed_s: float) -> Self:
        """Return the rows."""
        columns = [ColumnShape.model_validate(one) for one in found.columns]
        rows = [list(row) for row in found.rows]
        return cls(columns=columns, rows=rows, is_cut=found.is_cut, elapsed_ms=round(elapsed_s * 1000, 1))


class PartShape(Answer):
    """A part of a snapshot."""

    kind: Literal["files", "SQLite", "PostgreSQL", "MySQL", "Redis", "MongoDB"]
    size_bytes: int
    files: int | None = Field(description="Number of files; null for a database.")


class SnapshotShape(Answer):
    """A data snapshot: what the application has stored in files and databases, at one moment."""

    id: str = Field(examples=["snapshot_789abcdefghjkmnp"])
    generation_id: str
    name: str
    kind: Literal["manual", "before_restore", "before_reset", "before_move", "fork"] = Field(
        description="`fork`: the data that the generation's previews begin with."
    )
    created_at: Time
    size_bytes: int
    sha256: str = Field(description="Hash of all parts: snapshots of the same data may have the same one.")
    parts: list[PartShape]


class SnapshotList(Answer):
    """The generation's data snapshots, newest first."""

    snapshots: list[SnapshotShape]

    @classmethod
    def of(cls, found: Sequence[DataSnapshot]) -> Self:
        """Return the snapshots."""
        return cls(snapshots=[SnapshotShape.model_validate(one) for one in found])


class RemovedSnapshotShape(Answer):
    """A removed data snapshot that can be brought back."""

    snapshot: SnapshotShape
    expires_at: Time = Field(description="Time at which it is deleted; more or larger snapshots delete it earlier.")


class RemovedSnapshotList(Answer):
    """The removed data snapshots of a generation, the last removed first."""

    items: list[RemovedSnapshotShape]
    next: None = Field(default=None, description="Always null: few are kept.")

    @classmethod
    def of(cls, found: Sequence[tuple[DataSnapshot, datetime]]) -> Self:
        """Return the snapshots."""
        return cls(
            items=[
                RemovedSnapshotShape(snapshot=SnapshotShape.model_validate(one), expires_at=until)
                for one, until in found
            ]
        )


class ReplacedShape(Answer):
    """The data was replaced, and the application serves with it."""

    before: SnapshotShape = Field(description="Snapshot of the data that was replaced: restore it to undo this.")
    elapsed_ms: float

    @classmethod
    def of(cls, replaced: Replaced) -> Self:
        """Return the result."""
        before = SnapshotShape.model_validate(replaced.before)
        return cls(before=before, elapsed_ms=round(replaced.elapsed_s * 1000, 1))


class ChangedFile(Answer):
    """A file that differs."""

    path: str
    change: Literal["added", "removed", "changed"]
    size_before: int | None
    size_after: int | None


class ChangedRow(Answer):
    """A row that differs, as an example."""

    change: Literal["added", "removed", "changed"]
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class ChangedTable(Answer):
    """A table with rows that differ."""

    name: str
    added: int
    changed: int
    removed: int
    samples: list[ChangedRow] = Field(description="At most three of each kind.")
    note: str | None = Field(description="What could not be compared; null if everything was.")


class ChangedDatabase(Answer):
    """A database with tables that differ."""

    name: str
    tables: list[ChangedTable]


class ComparisonShape(Answer):
    """Differences between two snapshots."""

    files: list[ChangedFile]
    databases: list[ChangedDatabase]
    is_cut: bool = Field(description="Whether there is more than is listed.")

    @classmethod
    def of(cls, found: Comparison) -> Self:
        """Return the differences."""
        return cls.model_validate(found)
