"""Tables of what people do (tokens, invitations, comments, requests, audit, removals, flags), and of nodes."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)

from preview.storage.tables import metadata

# No foreign key to users: their rows are created on demand.
api_tokens = Table(
    "api_tokens",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("user_id", String(128), nullable=False, index=True),
    Column("name", String(256), nullable=False),
    # SHA-256 of the token, in hexadecimal. The token itself is not stored.
    Column("hash", String(64), nullable=False),
    Column("role", String(8), nullable=False),
    # Tier of the token that made it; NULL: the users table decides.
    Column("tier", String(32)),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    # To the hour.
    Column("last_used_at", BigInteger),
)
Index("uq_api_tokens_hash", api_tokens.c.hash, unique=True)

# Links of operators that admit people. One that is over is kept for the list, until a newer one needs space.
invitations = Table(
    "invitations",
    metadata,
    Column("id", String(64), primary_key=True),
    # SHA-256 of the link's code, in hexadecimal. The code itself is not stored.
    Column("hash", String(64), nullable=False),
    Column("note", String(256), nullable=False),
    Column("created_by", String(128), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("most_uses", BigInteger, nullable=False),
    Column("uses", BigInteger, nullable=False),
    Column("tier", String(32), nullable=False),
    Column("role", String(8), nullable=False),
    # NULL: not revoked.
    Column("revoked_at", BigInteger),
)
Index("uq_invitations_hash", invitations.c.hash, unique=True)

# The people whom they have admitted. No foreign keys: a member stays when the invitation is gone.
members = Table(
    "members",
    metadata,
    Column("user_id", String(128), primary_key=True),
    Column("invitation_id", String(64), nullable=False, index=True),
    Column("name", String(256), nullable=False),
    Column("role", String(8), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    # NULL: the person may use the service.
    Column("removed_at", BigInteger),
)

preview_comments = Table(
    "preview_comments",
    metadata,
    Column("preview_id", String(64), ForeignKey("preview_instances.id", ondelete="CASCADE"), primary_key=True),
    Column("id", String(64), primary_key=True),
    # The line, request or failure.
    Column("kind", String(8), nullable=False),
    Column("target", String(20), nullable=False),
    # The user's or guest's id, the name that is shown, and the role.
    Column("author_id", String(128), nullable=False),
    Column("author", String(256), nullable=False),
    Column("role", String(8), nullable=False),
    Column("text", Text, nullable=False),
    Column("resolved", SmallInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)
Index("ix_preview_comments_preview_id_created_at", preview_comments.c.preview_id, preview_comments.c.created_at)

# Requests under a name, for all who may use a generation's preview.
saved_requests = Table(
    "saved_requests",
    metadata,
    Column("generation_id", String(128), ForeignKey("generations.id", ondelete="CASCADE"), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("name", String(256), nullable=False),
    # JSON.
    Column("request", Text, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)
Index("uq_saved_requests_generation_id_name", saved_requests.c.generation_id, saved_requests.c.name, unique=True)

# Values for ``{{name}}`` in requests to a generation's preview.
request_variables = Table(
    "request_variables",
    metadata,
    Column("generation_id", String(128), ForeignKey("generations.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(64), primary_key=True),
    # Encrypted if it is a secret.
    Column("value", Text, nullable=False),
    Column("is_secret", SmallInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

# Generations that nobody sees, until they are restored or deleted.
removed_generations = Table(
    "removed_generations",
    metadata,
    Column("generation_id", String(128), ForeignKey("generations.id", ondelete="CASCADE"), primary_key=True),
    Column("removed_at", BigInteger, nullable=False, index=True),
)

# No foreign keys: entries outlive what they are about. Rows are only appended, and removed from the oldest on.
audit_trail = Table(
    "audit_trail",
    metadata,
    # Dense from 1; the oldest ones are removed.
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("id", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False, index=True),
    Column("user_id", String(128), nullable=False),
    # The user whom it concerns; the same user in most cases.
    Column("owner_id", String(128), nullable=False),
    Column("action", String(64), nullable=False),
    Column("subject", String(128), nullable=False),
    Column("preview_id", String(64), nullable=False),
    # One line for people.
    Column("detail", Text, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("via", String(160), nullable=False),
    Column("address", String(64), nullable=False),
    # SHA-256 over this row and the hash of the row before; see ``preview.auth.audit.entry``.
    Column("hash", String(64), nullable=False),
)
Index("uq_audit_trail_id", audit_trail.c.id, unique=True)
Index("ix_audit_trail_user_id_created_at", audit_trail.c.user_id, audit_trail.c.created_at)
Index("ix_audit_trail_owner_id_created_at", audit_trail.c.owner_id, audit_trail.c.created_at)

# What operators have set; see ``preview.rollout``. A row stays when its flag is set back, for its version.
rollout_flags = Table(
    "rollout_flags",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("updated_by", String(128), nullable=False),
    # JSON; see ``preview.rollout.flags.Flag.content``.
    Column("content", Text, nullable=False),
)

# Nodes of a cluster; see ``preview.cluster``. Times are the database's: the nodes' clocks may differ.
nodes = Table(
    "nodes",
    metadata,
    Column("id", String(64), primary_key=True),
    # HOST:PORT for other nodes.
    Column("address", String(256), nullable=False),
    # End of the lease.
    Column("until", BigInteger, nullable=False),
    # Grows each time that the node joins.
    Column("epoch", BigInteger, nullable=False),
    Column("version", String(32), nullable=False),
    # Number of previews that it may run, and that it runs.
    Column("capacity", Integer, nullable=False),
    Column("load", Integer, nullable=False),
    # JSON.
    Column("labels", Text, nullable=False),
    Column("draining", SmallInteger, nullable=False),
    Column("started_at", BigInteger, nullable=False),
)

# Which node runs which preview. No foreign key: a preview is claimed before its row is stored.
owners = Table(
    "owners",
    metadata,
    Column("preview_id", String(64), primary_key=True),
    Column("generation_id", String(128), nullable=False),
    Column("user_id", String(128), nullable=False),
    # See ``preview.cluster.ownership.OwnerState``.
    Column("state", String(16), nullable=False),
    # NULL until a node has taken it.
    Column("node", String(64)),
    # Grows with each owner: a write of an earlier owner is refused.
    Column("fence", BigInteger, nullable=False),
    # Number of the first line of this owner.
    Column("first_seq", BigInteger, nullable=False),
    Column("queued_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    # The launch's own options, encrypted: another node restarts the preview with them.
    Column("options", Text),
    # JSON: constraints on the node.
    Column("wants", Text),
    # 0: a launch in the queue that no node has started yet.
    Column("has_run", SmallInteger, nullable=False, server_default=text("1")),
    # How often a node was lost that had it.
    Column("losses", BigInteger, nullable=False, server_default=text("0")),
    # The last snapshot of its own data; the next owner begins with it.
    Column("snapshot_id", String(64)),
    # Of a launch in the queue: names of the nodes that its notice has woken, separated by spaces.
    Column("invited", Text),
)
_LIVE = text("state IN ('queued', 'running')")
Index("uq_owners_generation_id", owners.c.generation_id, unique=True, sqlite_where=_LIVE, postgresql_where=_LIVE)
Index("ix_owners_state_queued_at", owners.c.state, owners.c.queued_at)
Index("ix_owners_user_id", owners.c.user_id)
Index("ix_owners_node_state", owners.c.node, owners.c.state)

# Numbers of lines that a preview's node may have given out, stored or not: the next owner starts after them. A table of
# its own: updates of a row that other writes share could wait for each other.
handed_lines = Table(
    "handed_lines",
    metadata,
    Column("preview_id", String(64), ForeignKey("preview_instances.id", ondelete="CASCADE"), primary_key=True),
    Column("before_seq", BigInteger, nullable=False),
)

# Copies for the other nodes of a cluster; see ``preview.data.shared``.
snapshot_contents = Table(
    "snapshot_contents",
    metadata,
    Column("snapshot_id", String(64), ForeignKey("data_snapshots.id", ondelete="CASCADE"), primary_key=True),
    # Name of the part's file, and number of the chunk in it.
    Column("file", String(64), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("content", LargeBinary, nullable=False),
)

# Launches of the last minute by user, on all nodes of a cluster.
launch_times = Table(
    "launch_times",
    metadata,
    Column("user_id", String(128), primary_key=True),
    # Milliseconds since the epoch, separated by commas.
    Column("times", Text, nullable=False),
)
