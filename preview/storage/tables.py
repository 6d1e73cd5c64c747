"""The schema in SQLAlchemy Core; ``migrations/`` creates it in a database.

Times are milliseconds since the epoch in BigInteger columns. They are exact, the same in SQLite and PostgreSQL, and
cheap to encode at the rate of log lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)

from preview.core.launch_steps import LaunchStep
from preview.core.lifecycle import ACTIVE, NO_RELOADS, Health, Reloads, State, StopCause, cause_of

# Explicit constraint names, so that Alembic can drop constraints on every database.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

users = Table(
    "users",
    metadata,
    Column("id", String(128), primary_key=True),
    Column("tier", String(32), nullable=False, server_default="free"),
    Column("created_at", BigInteger, nullable=False),
)

projects = Table(
    "projects",
    metadata,
    # Users choose the ids of their projects, so an id is unique only per user.
    Column("id", String(128), primary_key=True),
    Column("user_id", String(128), ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True),
    Column("name", String(256), nullable=False, server_default=text("''")),
    Column("created_at", BigInteger, nullable=False),
)

generations = Table(
    "generations",
    metadata,
    Column("id", String(128), primary_key=True),
    Column("project_id", String(128), nullable=False, index=True),
    Column("user_id", String(128), ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", String(256), nullable=False, server_default=text("''")),
    Column("file_count", Integer, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    # Counts the changes of the files.
    Column("revision", Integer, nullable=False, server_default=text("1")),
    # The user's own order of the list; empty for none.
    Column("group_name", String(80), nullable=False, server_default=text("''")),
    # Address of the repository that the files were imported from; empty for none.
    Column("origin", String(2048), nullable=False, server_default=text("''")),
    ForeignKeyConstraint(["project_id", "user_id"], ["projects.id", "projects.user_id"], ondelete="CASCADE"),
)

generation_files = Table(
    "generation_files",
    metadata,
    Column("generation_id", String(128), ForeignKey("generations.id", ondelete="CASCADE"), primary_key=True),
    Column("path", String(1024), primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("content", LargeBinary, nullable=False),
)

# No foreign key to generations: a host that embeds the service keeps its generations elsewhere.
preview_instances = Table(
    "preview_instances",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("generation_id", String(128), nullable=False),
    Column("project_id", String(128), nullable=False),
    Column("user_id", String(128), nullable=False),
    Column("status", String(16), nullable=False),
    Column("health_status", String(16), nullable=False),
    Column("port", Integer),
    Column("base_url", Text),
    Column("health_path", Text, nullable=False, server_default="/"),
    Column("runtime", String(32), nullable=False, server_default="plain"),
    # The leader's identity (runtime.ProcessIdentity), for reconciliation after a crash of the service.
    Column("pid", Integer),
    Column("pid_start_ticks", BigInteger),
    Column("boot_id", String(64)),
    Column("created_at", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    Column("stopped_at", BigInteger),
    Column("expires_at", BigInteger, nullable=False),
    Column("token_hash", String(64), nullable=False),
    Column("token_expires_at", BigInteger, nullable=False),
    Column("last_health_check", BigInteger),
    Column("error_message", Text),
    Column("exit_code", Integer),
    Column("exit_signal", SmallInteger),
    Column("directory", Text),
    Column("log_level", String(16), nullable=False),
    # Number of the last line, once the preview has ended. Shows how many lines after the last stored one were lost.
    Column("last_seq", BigInteger),
    # JSON; see launch_steps.
    Column("launch_steps", Text),
    # JSON; see lifecycle.Reloads.
    Column("reload_lines", Text),
    # Version of the generation's files that runs, or ran last.
    Column("revision", Integer),
    # JSON; see ``preview.supervisor.preview.launch_settings``.
    Column("launch_settings", Text),
)
Index(
    "ix_preview_instances_generation_id_created_at", preview_instances.c.generation_id, preview_instances.c.created_at
)
Index("ix_preview_instances_user_id_created_at", preview_instances.c.user_id, preview_instances.c.created_at)
Index("ix_preview_instances_status", preview_instances.c.status)

preview_logs = Table(
    "preview_logs",
    metadata,
    Column("preview_id", String(64), ForeignKey("preview_instances.id", ondelete="CASCADE"), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("timestamp", BigInteger, nullable=False),
    Column("level", SmallInteger, nullable=False),
    Column("source", String(16), nullable=False),
    Column("message", Text, nullable=False),
    # Id of the request that was being handled when the line was printed, if known.
    Column("request_id", String(64)),
    # The primary key is the clustering key: pages of one preview's lines are contiguous.
    sqlite_with_rowid=False,
)

# Logs in the archive, and no longer in ``preview_logs``; see ``preview.logs.storage.archiving``.
archived_logs = Table(
    "archived_logs",
    metadata,
    Column("preview_id", String(64), ForeignKey("preview_instances.id", ondelete="CASCADE"), primary_key=True),
    Column("lines", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("archived_at", BigInteger, nullable=False),
    # 1 once the lines are deleted from ``preview_logs``.
    Column("is_cleared", SmallInteger, nullable=False),
)
Index("ix_archived_logs_is_cleared", archived_logs.c.is_cleared)

# One row for each fact; services on one database share them.
service_facts = Table(
    "service_facts",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", String(256), nullable=False),
)

# Requests to previews; see ``preview.traffic``.
preview_requests = Table(
    "preview_requests",
    metadata,
    Column("preview_id", String(64), ForeignKey("preview_instances.id", ondelete="CASCADE"), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    # Words between spaces; see ``preview.traffic.rows``. One column, because a busy preview adds thousands a second.
    Column("facts", Text, nullable=False),
    # JSON: headers and bodies; NULL if they were not recorded.
    Column("content", Text),
    sqlite_with_rowid=False,
)

# One row for each preview with requests.
preview_traffic = Table(
    "preview_traffic",
    metadata,
    Column("preview_id", String(64), ForeignKey("preview_instances.id", ondelete="CASCADE"), primary_key=True),
    Column("capture", String(8), nullable=False),
    # Number of the last request, stored or not.
    Column("last_number", BigInteger, nullable=False),
    Column("stored_bytes", BigInteger, nullable=False),
    Column("lost_records", BigInteger, nullable=False),
    Column("lost_bodies", BigInteger, nullable=False),
)

# Measurements for charts; see ``preview.traffic.measurements``.
preview_series = Table(
    "preview_series",
    metadata,
    Column("preview_id", String(64), ForeignKey("preview_instances.id", ondelete="CASCADE"), primary_key=True),
    # JSON, some 30 KB at most.
    Column("data", Text, nullable=False),
)

# Requests that retention leaves.
pinned_requests = Table(
    "pinned_requests",
    metadata,
    Column("preview_id", String(64), ForeignKey("preview_instances.id", ondelete="CASCADE"), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("pinned_at", BigInteger, nullable=False),
)

# No foreign keys, as for previews: see ``preview_instances``. The content is in the data folder.
data_snapshots = Table(
    "data_snapshots",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("generation_id", String(128), nullable=False, index=True),
    Column("user_id", String(128), nullable=False, index=True),
    Column("name", String(256), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    # SHA-256 of all parts, in hexadecimal.
    Column("sha256", String(64), nullable=False),
    # The generation's revision; see ``generations``.
    Column("revision", Integer, nullable=False),
    # JSON; see ``preview.data.snapshot.Part``.
    Column("parts", Text, nullable=False),
    # Time of its removal; null unless it was removed.
    Column("removed_at", BigInteger),
)

preview_failures = Table(
    "preview_failures",
    metadata,
    Column("preview_id", String(64), ForeignKey("preview_instances.id", ondelete="CASCADE"), primary_key=True),
    # The first digits of the fingerprint.
    Column("id", String(16), primary_key=True),
    Column("last_at", BigInteger, nullable=False),
    # JSON; see ``preview.logs.failures.encode``.
    Column("data", Text, nullable=False),
)

preview_failure_totals = Table(
    "preview_failure_totals",
    metadata,
    Column("preview_id", String(64), ForeignKey("preview_instances.id", ondelete="CASCADE"), primary_key=True),
    Column("further", BigInteger, nullable=False),
    Column("unread_lines", BigInteger, nullable=False),
)

# No foreign keys to generations, as for previews. See ``preview.alerts``.
alert_rules = Table(
    "alert_rules",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("user_id", String(128), nullable=False, index=True),
    # At most one of the two; neither means all previews of the user.
    Column("generation_id", String(128), index=True),
    Column("project_id", String(128)),
    Column("name", String(256), nullable=False),
    # JSON; see ``preview.alerts.conditions``.
    Column("condition", Text, nullable=False),
    Column("cooldown_s", Float, nullable=False),
    Column("enabled", SmallInteger, nullable=False),
    Column("webhook_url", Text),
    # Of an earlier version, in clear: the next start seals it (``AlertStore.seal_secrets``).
    Column("webhook_secret", Text),
    Column("webhook_sealed", Text),
    # JSON, the user's template.
    Column("webhook_body", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

alert_firings = Table(
    "alert_firings",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("rule_id", String(64), ForeignKey("alert_rules.id", ondelete="CASCADE"), nullable=False),
    Column("user_id", String(128), nullable=False),
    Column("generation_id", String(128), nullable=False),
    Column("project_id", String(128), nullable=False),
    Column("preview_id", String(64), nullable=False),
    Column("fired_at", BigInteger, nullable=False),
    Column("summary", Text, nullable=False),
    Column("matches", BigInteger, nullable=False),
    Column("line", Text),
    Column("first_line", BigInteger),
    Column("last_line", BigInteger),
    Column("request", BigInteger),
    Column("suppressed", BigInteger, nullable=False),
    Column("test", SmallInteger, nullable=False),
    # State of the webhook; see ``preview.alerts.rule.Delivery``.
    Column("delivery", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("status", Integer),
    Column("problem", Text),
    Column("attempted_at", BigInteger),
)
Index("ix_alert_firings_rule_id_fired_at", alert_firings.c.rule_id, alert_firings.c.fired_at)
Index("ix_alert_firings_preview_id_fired_at", alert_firings.c.preview_id, alert_firings.c.fired_at)


# The last one of each generation; no foreign keys, as for previews.
probe_results = Table(
    "probe_results",
    metadata,
    Column("generation_id", String(128), primary_key=True),
    Column("user_id", String(128), nullable=False),
    Column("finished_at", BigInteger, nullable=False),
    # JSON; see ``preview.replay.probe.result.ProbeResult``.
    Column("result", Text, nullable=False),
)

# No foreign key, as for previews: a host keeps its projects elsewhere. Users choose the ids of their projects.
launch_settings = Table(
    "launch_settings",
    metadata,
    Column("user_id", String(128), primary_key=True),
    Column("project_id", String(128), primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    # JSON, with encrypted secrets; see ``preview.launch_settings``.
    Column("data", Text, nullable=False),
)


@dataclass(frozen=True, slots=True)
class PreviewRecord:
    """A preview at one moment, as stored in its row and shown in views.

    Attributes:
        id: ``preview_…``.
        reason: One sentence why the preview stopped or failed; else None.
        port: The current or last port.
        base_url: The preview's address for a browser on this machine, without a trailing slash.
        health_path: The path probed: the project's health route if it has one, else ``/``.
        runtime: Name of the runtime (``plain``…).
        pid: The leader's process id; unique for all time together with ``pid_start_ticks`` and ``boot_id``.
        token_hash: SHA-256 of the preview token, hex.
        token_expires_at: When an unused token expires; never after ``expires_at``.
        log_level: Passed to the preview as ``LOG_LEVEL``.
        last_seq: Number of the last line, stored or not; None while the preview is active, and after a crash.
        steps: Steps of the launch; empty for previews from before revision 0006.
        reloads: Takeovers of new processes.
        revision: Version of the generation's files that runs, or ran last; None before revision 0013.
        launch_settings: JSON of the settings of the launch, without values of secrets.
    """

    id: str
    generation_id: str
    project_id: str
    user_id: str
    state: State
    health: Health
    created_at: datetime
    expires_at: datetime
    token_hash: str
    token_expires_at: datetime
    log_level: str
    port: int | None = None
    base_url: str | None = None
    health_path: str = "/"
    runtime: str = "plain"
    pid: int | None = None
    pid_start_ticks: int | None = None
    boot_id: str | None = None
    started_at: datetime | None = None
    stopped_at: datetime | None = None
    last_health_check: datetime | None = None
    reason: str | None = None
    exit_code: int | None = None
    exit_signal: int | None = None
    directory: str | None = None
    last_seq: int | None = None
    steps: tuple[LaunchStep, ...] = ()
    reloads: Reloads = NO_RELOADS
    revision: int | None = None
    launch_settings: str | None = None

    @property
    def cause(self) -> StopCause | None:
        """Cause of a stop; None for any other end, and while the preview is active."""
        return cause_of(self.state, self.reason)

    @property
    def is_active(self) -> bool:
        """True if the preview still has a port, processes, or a slot in the user's tier."""
        return self.state in ACTIVE


# The newest file in ``migrations/versions``; a test compares them.
HEAD = "0037"
