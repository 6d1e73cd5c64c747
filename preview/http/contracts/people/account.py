"""API tokens, usage, and the operator's lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from preview.auth import ApiToken, AuditEntry
from preview.auth.api_tokens import MOST_NAME_CHARACTERS
from preview.auth.audit.trail import Verdict
from preview.cluster import ListedPreview, Placement
from preview.core.clock import from_ms
from preview.environments import StoredEnvironment
from preview.http.core.answers import Answer, Seconds, Time
from preview.supervisor import LivePreview

_DAY_S = 24 * 3600.0
_LONGEST_S = 10 * 365 * _DAY_S
_ONLY_THERE = "Null for previews of other nodes than the one that answers."


class TokenBody(BaseModel):
    """A new API token."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    name: str = Field(
        min_length=1, max_length=MOST_NAME_CHARACTERS, pattern=r"^[ -~]*[!-~][ -~]*$", examples=["build server"]
    )
    role: Literal["read", "use", "launch", "admin", "full"] = Field(
        default="admin", description="What the token may do; each contains the ones before. `full` is `admin`."
    )
    expires_in: float = Field(default=90 * _DAY_S, ge=60, le=_LONGEST_S, description="Seconds.")


class TokenShape(Answer):
    """An API token, without its text."""

    id: str = Field(examples=["token_789abcdefghjkmnp"])
    name: str
    role: Literal["read", "use", "launch", "admin"]
    created_at: Time
    expires_at: Time
    last_used_at: Time | None = Field(description="To the hour; null if it was never used.")

    @classmethod
    def of(cls, token: ApiToken) -> Self:
        """Return the token."""
        return cls.taken_from(token, role=token.role.value)


class NewToken(TokenShape):
    """A new API token, with its text: this is the only time that it is shown."""

    token: str = Field(description="For `Authorization: Bearer …`.")


class TokenList(Answer):
    """The user's API tokens, newest first."""

    items: list[TokenShape]
    next: None = Field(default=None, description="Always null: a user has few tokens.")


class UsageItem(Answer):
    """One limit, and how much of it is used."""

    name: str = Field(examples=["previews"])
    about: str = Field(description="For people.", examples=["Previews at a time"])
    unit: Literal["", "bytes", "seconds"]
    used: Seconds | None = Field(description="Null for a limit of each preview.")
    limit: Seconds | None = Field(description="Null: no limit of the user.")
    setting: str | None = Field(description="The operator's setting.", examples=["PREVIEW_MAX_INSTANCES_PER_USER"])


class Usage(Answer):
    """The user's limits, and their use."""

    user_id: str
    tier: str
    is_operator: bool = Field(description="Whether the user may open the operator's page.")
    isolation_minimum: Literal["plain", "sandbox", "container"] | None = Field(
        description="The least isolation level of the user's previews; null: the operator demands none."
    )
    items: list[UsageItem]
    next: None = Field(default=None, description="Always null.")


class OperatorPreview(Answer):
    """A live preview of any user, on any node: nothing of its log, requests, files or environment."""

    id: str
    generation_id: str
    project_id: str
    user_id: str
    status: str
    created_at: Time
    expires_at: Time
    node: str | None = Field(description="The node that has it, or had it if that is lost; null: it waits for one.")
    placement: Placement = Field(
        description="`placed`: its node is live. `queued`: it waits for a node. `lost`: its node is lost, and another "
        "one takes it."
    )
    memory_bytes: int | None = Field(description=_ONLY_THERE)
    cpu_percent: float | None = Field(description=_ONLY_THERE)
    processes: int | None = Field(description=_ONLY_THERE)
    viewers: int | None = Field(description=f"Open log streams. {_ONLY_THERE}")

    @classmethod
    def of(cls, listed: ListedPreview, preview: LivePreview | None) -> Self:
        """Return the preview.

        Args:
            listed: The preview.
            preview: The same one, if it runs on this node.
        """
        record = listed.record if preview is None else preview.record
        usage = None if preview is None else preview.usage
        return cls(
            id=record.id,
            generation_id=record.generation_id,
            project_id=record.project_id,
            user_id=record.user_id,
            status=record.state.value,
            created_at=record.created_at,
            expires_at=record.expires_at,
            node=listed.node,
            placement=listed.placement,
            memory_bytes=None if usage is None else usage.memory_bytes,
            cpu_percent=None if usage is None else round(usage.cpu_percent, 1),
            processes=None if usage is None else usage.processes,
            viewers=None if preview is None else preview.log.subscriber_count,
        )


class OperatorPreviews(Answer):
    """Live previews of all nodes, oldest first."""

    items: list[OperatorPreview]
    total: int = Field(description="Number of live previews.")
    limit: int = Field(description="Number of previews that the live nodes may run: `PREVIEW_MAX_PREVIEWS` of each.")
    next: str | None = Field(description="Cursor of the next page; null: the last one.")


class OperatorUser(Answer):
    """A user, and what they use."""

    id: str
    tier: str
    created_at: Time
    previews: int = Field(description="Live previews: in a cluster those of all nodes, and those that wait for one.")
    generations: int
    stored_bytes: int = Field(description="Size of the generations' files.")


class TierBody(BaseModel):
    """Another tier of a user."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    tier: Literal["free", "pro", "enterprise"]


class OperatorUsers(Answer):
    """A page of users, newest first."""

    items: list[OperatorUser]
    next: str | None = Field(description="`cursor` of the next page; null on the last one.")


class PreparedEnvironmentShape(Answer):
    """A stored environment: the packages of projects with the same requirements."""

    id: str
    size_bytes: int
    last_used_at: Time
    in_use: bool

    @classmethod
    def of(cls, stored: StoredEnvironment) -> Self:
        """Return the environment."""
        return cls(
            id=stored.key,
            size_bytes=stored.size_bytes,
            last_used_at=from_ms(int(stored.last_used_at * 1000)),
            in_use=stored.is_in_use,
        )


class Environments(Answer):
    """Stored environments, the last used first."""

    items: list[PreparedEnvironmentShape]
    limit_bytes: int = Field(description="`PREVIEW_ENVIRONMENT_MAX_BYTES`.")
    next: None = Field(default=None, description="Always null.")


class TemplateShape(Answer):
    """A process that has imported the packages of one environment; new previews are forked from it."""

    key: str = Field(description="Key of the environment.")
    is_ready: bool
    forks: int = Field(description="Processes that it has forked.")
    age_s: Seconds | None = Field(description="Null if there is none.")
    why_not: str = Field(description="Why there is none; empty for a ready one.")


class Templates(Answer):
    """Templates, the last used first."""

    items: list[TemplateShape]
    limit: int = Field(description="Maximum number of templates at a time.")
    next: None = Field(default=None, description="Always null.")


class NodeShape(Answer):
    """A machine of the service."""

    name: str
    system: str = Field(examples=["Linux 6.8.0"])
    processors: int = Field(description="Processors that the service may use.")
    live_previews: int
    max_previews: int = Field(description="`PREVIEW_MAX_PREVIEWS`.")
    isolation: str = Field(description="How previews are isolated.")
    limits: dict[str, str] = Field(
        description="Each limit, and who enforces it; for people. Empty for other nodes of a cluster."
    )
    is_live: bool = Field(default=True, description="Its lease holds.")
    is_draining: bool = Field(default=False, description="It takes no new previews.")
    address: str | None = Field(default=None, description="`HOST:PORT` for other nodes; null without a cluster.")
    version: str | None = Field(default=None, description="Version of the service; null without a cluster.")
    labels: dict[str, str] = Field(default_factory=dict, description="`PREVIEW_NODE_LABELS`.")
    started_at: Time | None = Field(default=None, description="When it joined; null without a cluster.")


class Nodes(Answer):
    """The machines of the service."""

    items: list[NodeShape]
    next: None = Field(default=None, description="Always null.")


class AuditEntryShape(Answer):
    """Something that somebody did."""

    id: str
    seq: int = Field(description="Number in the trail.")
    at: Time
    user_id: str = Field(description="Who did it: a user's id, or `guest NAME`.")
    owner_id: str = Field(description="The user concerned; empty for the service's own entries.")
    action: str = Field(examples=["project removed"])
    subject: str = Field(description="Id or name of what it was done to; may be empty.")
    preview_id: str = Field(description="The live preview at that time; may be empty.")
    detail: str = Field(examples=["DELETE /api/v1/generations/gen_789abcdefghjkmnp"])
    outcome: Literal["ok", "refused", "failed", "unknown"]
    via: str = Field(description="`browser`, `bearer`, `token ID`, `share ID` or `service`; may be empty.")
    address: str = Field(description="The client's address; may be empty.")
    at_ms: int = Field(description="Milliseconds since the epoch, as in the hash.")
    hash: str = Field(description="SHA-256 over this entry and the hash of the entry before.")

    @classmethod
    def of(cls, entry: AuditEntry, reader: str | None) -> Self:
        """Return the entry, as the user ``reader`` sees it; None for operators."""
        # The address of an operator is not for users.
        is_hidden = reader is not None and entry.user_id != reader and not entry.via.startswith("share ")
        return cls.taken_from(entry, address="" if is_hidden else entry.address)


class AuditPage(Answer):
    """A page of entries, newest first."""

    items: list[AuditEntryShape]
    next: str | None = Field(description="`cursor` of the next page; null on the last one.")

    @classmethod
    def of(cls, entries: Sequence[AuditEntry], following: str | None, reader: str | None = None) -> Self:
        """Return the page; see ``AuditEntryShape.of``."""
        return cls(items=[AuditEntryShape.of(entry, reader) for entry in entries], next=following)


class AuditVerdict(Answer):
    """The result of a check of the audit trail."""

    is_whole: bool
    entries: int = Field(description="Number of valid entries, starting from the oldest.")
    first: int = Field(description="Number of the oldest entry; 0 if there is none.")
    head: str = Field(description="`NUMBER:HASH` of the last valid entry.")
    noted_head: str | None = Field(description="The head that the service had recorded; null if none.")
    wrong: int | None = Field(description="Number of the first invalid or missing entry; null if none.")
    problem: str | None = Field(description="The problem, in one sentence; null if none.")

    @classmethod
    def of(cls, verdict: Verdict) -> Self:
        """Return the result."""
        fault = verdict.fault
        return cls(
            is_whole=fault is None,
            entries=verdict.count,
            first=verdict.first,
            head=str(verdict.head),
            noted_head=None if verdict.noted is None else str(verdict.noted),
            wrong=None if fault is None else fault.seq,
            problem=None if fault is None else fault.problem,
        )


class SlowOperation(Answer):
    """Something that took long."""

    at: str
    operation: str = Field(examples=["database write"])
    seconds: float


class Diagnostics(Answer):
    """Facts about the running service, for a support bundle."""

    version: str
    isolation: str = Field(description="How previews are isolated.")
    levels: dict[str, str] = Field(description="Each isolation level: `available`, or why it is not.")
    database: str
    live_previews: int
    slow: list[SlowOperation] = Field(description="Database calls above 1 s and requests above 5 s, the last 100.")
    log: list[str] = Field(description="The last lines of the service's own log, each an object of JSON.")
    metrics: str = Field(description="As `GET /metrics`.")
