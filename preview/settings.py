"""One frozen ``Settings``, parsed once at the start from ``PREVIEW_*`` and passed on explicitly.

Every limit of the service is defined here, with its unit in the name. A test checks ``docs/settings.md`` against this
module.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationError, model_validator

from preview.core.env_file import EnvFile
from preview.core.isolation import Isolation, Network
from preview.core.quoting import quoted
from preview.errors import ConfigurationError
from preview.settings_address import MongodbChoice, MysqlChoice, PostgresChoice, RedisChoice, ServerAddress
from preview.settings_errors import problem_of
from preview.settings_fields import (
    ARCHIVES_URL,
    LOCAL_USER,
    Bytes,
    Count,
    Destinations,
    GithubSite,
    HostName,
    LeastLevels,
    LevelWord,
    Networks,
    Ports,
    Seconds,
    SystemCalls,
)
from preview.settings_secrets import secrets_in_files
from preview.settings_service import ServiceSettings

__all__ = ["LAST_STORE_S", "Settings", "Tier", "load_settings", "settings_in", "variable_of"]

_MIB = 1024 * 1024
_GIB = 1024 * _MIB

# Minimum time that a shutdown needs after the stop budget, for last lines and rows and for an unresponsive database.
LAST_STORE_S = 4.0


def _env(name: str) -> AliasChoices:
    """Read the field from ``PREVIEW_<name>``, and from its Python name in ``Settings(...)``."""
    return AliasChoices(f"PREVIEW_{name}")


@dataclass(frozen=True, slots=True)
class Tier:
    """Limits of a tier's users.

    Attributes:
        name: ``free``, ``pro`` or ``enterprise``.
        max_previews: Maximum number of live previews.
        max_life_s: Maximum lifetime of a preview in seconds, extensions included.
        websocket_logs: Shown to the page by the config route.
        advanced_metrics: Shown to the page by the config route.
    """

    name: str
    max_previews: int
    max_life_s: float
    websocket_logs: bool
    advanced_metrics: bool


class Settings(ServiceSettings):
    """All settings: those of the service itself, and those of its previews.

    Unknown ``PREVIEW_*`` names are ignored, as a host may have its own.

    An empty value counts as unset, as in the XDG specification.
    """

    # Ports and addresses of previews
    port_min: int = Field(3001, ge=1, le=65535)
    port_max: int = Field(3100, ge=1, le=65535)
    preview_host: str = "127.0.0.1"
    preview_public_host: str = "localhost"

    # Lifetimes and timeouts of a preview
    max_uptime_s: Seconds = Field(3600, validation_alias=_env("MAX_UPTIME"))
    max_uptime_pro_s: Seconds = Field(4 * 3600, validation_alias=_env("MAX_UPTIME_PRO"))
    max_uptime_enterprise_s: Seconds = Field(8 * 3600, validation_alias=_env("MAX_UPTIME_ENTERPRISE"))
    inactive_timeout_s: Seconds = Field(1800, validation_alias=_env("INACTIVE_TIMEOUT"))
    session_timeout_s: Seconds = Field(1800, validation_alias=_env("SESSION_TIMEOUT"))
    startup_timeout_s: Seconds = Field(30, validation_alias=_env("STARTUP_TIMEOUT"))
    step_timeout_s: Seconds = Field(180, validation_alias=_env("STEP_TIMEOUT"))
    stop_grace_s: Seconds = Field(3, validation_alias=_env("STOP_GRACE"))
    shutdown_grace_s: Seconds = Field(0.25, validation_alias=_env("SHUTDOWN_GRACE"))
    stop_budget_s: Seconds = Field(8, validation_alias=_env("STOP_BUDGET"))
    crash_restarts: int = Field(5, ge=0, le=100, validation_alias=_env("CRASH_RESTARTS"))
    crash_window_s: Seconds = Field(600, validation_alias=_env("CRASH_WINDOW"))
    crash_pause_s: Seconds = Field(1, validation_alias=_env("CRASH_PAUSE"))
    drain_timeout_s: Seconds = Field(10, validation_alias=_env("DRAIN_TIMEOUT"))
    liveness_interval_s: Seconds = Field(10, validation_alias=_env("LIVENESS_INTERVAL"))
    liveness_timeout_s: Seconds = Field(5, validation_alias=_env("LIVENESS_TIMEOUT"))
    usage_interval_s: Seconds = Field(2, validation_alias=_env("USAGE_INTERVAL"))
    cleanup_interval_s: Seconds = Field(300, validation_alias=_env("CLEANUP_INTERVAL"))

    # Counts and rates
    max_instances_per_user: Count = 1
    max_instances_pro: Count = 3
    max_instances_enterprise: Count = 5
    max_previews: Count = 100
    trials: Count = 2
    trial_max_s: Seconds = Field(300, validation_alias=_env("TRIAL_MAX"))
    probe_max_s: Seconds = Field(240, validation_alias=_env("PROBE_MAX"))
    max_streams_per_user: Count = 20
    launches_per_minute: Count = 120
    starts_at_once: Count | None = None
    min_free_disk_bytes: int = Field(256 * _MIB, ge=0, validation_alias=_env("MIN_FREE_DISK"))

    # Isolation of previews
    isolation: Isolation = Isolation.AUTO
    isolation_minimum: LeastLevels = ()
    network: Network = Network.NONE
    network_allowed: Network = Network.NONE
    loopback_ports: Ports = ()
    syscalls_allowed: SystemCalls = ()
    container_engine: str = Field("auto", max_length=200)
    container_runtime: Literal["runc", "crun", "runsc"] | None = None
    container_image: str | None = Field(None, max_length=200)

    # Warm starts: templates that have imported an environment's packages
    warm_templates: int = Field(4, ge=0)
    spares: int = Field(2, ge=0)
    warm_memory_mb: Count = 256
    warm_snapshots: bool = True
    warm_max_age_s: Seconds = Field(3600, validation_alias=_env("WARM_MAX_AGE"))

    # Resources of one preview
    memory_limit_mb: Count = 1024
    cpu_limit: float = Field(1.0, gt=0, le=1024)
    temp_limit_mb: Count = 64
    disk_limit_mb: Count = 1024
    disk_interval_s: Seconds = Field(0.25, validation_alias=_env("DISK_INTERVAL"))
    max_open_files: Count = 1024
    max_processes: Count = 256
    max_file_bytes: Bytes = Field(_GIB, validation_alias=_env("MAX_FILE_BYTES"))
    output_bytes_per_s: Bytes = 64 * _MIB
    db_type: Literal["sqlite", "none"] = "sqlite"
    db_path: Path = Path("./storage/previews")
    log_level: LevelWord = "ERROR"
    node_env: str = "development"

    # Servers that the service brings for previews
    postgres: PostgresChoice = "auto"
    mysql: MysqlChoice = "auto"
    redis: RedisChoice = "auto"
    mongodb: MongodbChoice = "off"
    databases: Literal["shared", "own"] = "shared"
    backing_memory_mb: Count = 1024
    redis_memory_mb: Count = 64
    database_connections: Count = 20
    database_size_mb: Count = 512
    database_statement_timeout_s: Seconds = Field(60, validation_alias=_env("DATABASE_STATEMENT_TIMEOUT"))
    databases_ahead: int = Field(2, ge=0)
    snapshots_per_user: Count = 20
    snapshots_mb: Count = 2048

    # Logs
    max_log_lines: Count = 10_000
    backlog_bytes: Bytes = 8 * _MIB
    max_line_bytes: Bytes = Field(64 * 1024, ge=1024, validation_alias=_env("MAX_LINE_BYTES"))
    log_mask_secrets: bool = True
    subscriber_batches: Count = 256
    log_queue_bytes: Bytes = 64 * _MIB
    stored_log_bytes: Bytes = 256 * _MIB
    log_retention_s: Seconds = Field(7 * 24 * 3600, validation_alias=_env("LOG_RETENTION"))
    log_shipping: SecretStr | None = Field(None, max_length=1000)
    archive: str | None = Field(None, max_length=1000)
    archive_after_s: Seconds = Field(60, validation_alias=_env("ARCHIVE_AFTER"))
    failure_groups: Count = 100
    keep_alive_s: Seconds = Field(15, validation_alias=_env("KEEP_ALIVE"))
    direct_streams: bool = True
    ticket_ttl_s: Seconds = Field(60, validation_alias=_env("TICKET_TTL"))

    # Requests to previews
    proxy_timeout_s: Seconds = Field(30, validation_alias=_env("PROXY_TIMEOUT"))
    proxy_stream_s: Seconds = Field(600, validation_alias=_env("PROXY_STREAM_TIME"))
    proxy_idle_timeout_s: Seconds = Field(3600, validation_alias=_env("PROXY_IDLE_TIMEOUT"))
    relay: bool = True
    proxy_body_bytes: Bytes = 10 * _MIB
    proxy_response_bytes: Bytes = 10 * _MIB

    # Recorded requests
    capture: Literal["off", "meta", "full"] = "meta"
    recorded_requests_per_s: Count = 1000
    request_queue_bytes: Bytes = 32 * _MIB
    preview_requests_mb: Count = 64
    stored_requests_mb: Count = 1024
    pinned_requests: Count = 200

    # Traces
    trace_spans: Count = 20_000
    traces_mb: Count = 128

    # Previews in the browser
    domain: HostName | None = None
    path_host: HostName | None = None
    open_link_ttl_s: Seconds = Field(300, validation_alias=_env("OPEN_LINK_TTL"))
    access_ttl_s: Seconds = Field(12 * 3600, validation_alias=_env("ACCESS_TTL"))
    share_max_s: Seconds = Field(7 * 24 * 3600, validation_alias=_env("SHARE_MAX"))
    shares_per_preview: Count = 20
    browser_wait_s: Seconds = Field(10, validation_alias=_env("BROWSER_WAIT"))
    browser_reload: bool = True
    websocket_message_bytes: Bytes = 16 * _MIB

    # Sandboxes for E2B's SDKs
    e2b: bool = False
    e2b_sandboxes: Count = 4

    # Alerts
    alerts_per_user: Count = 20
    webhook_networks: Networks = ()

    # Generations
    upload_bytes: Bytes = 50 * _MIB
    generation_bytes: Bytes = 200 * _MIB
    generation_files: Count = 20_000
    generations_per_user: Count = 200
    removed_kept_s: float = Field(24 * 3600, ge=0, allow_inf_nan=False, validation_alias=_env("REMOVED_KEPT"))
    generation_versions: Count = 100
    version_bytes: Bytes = 200 * _MIB
    github_url: GithubSite = "https://github.com"
    github_archives_url: Annotated[str, Field(pattern=ARCHIVES_URL, max_length=300)] | None = None
    import_timeout_s: Seconds = Field(120, validation_alias=_env("IMPORT_TIMEOUT"))
    imports_per_minute: Count = 10
    imports_at_once: Count = 4

    # Environments
    environment_max_age_s: Seconds = Field(30 * 24 * 3600, validation_alias=_env("ENVIRONMENT_MAX_AGE"))
    environment_max_bytes: Bytes = 10 * _GIB
    environment_build_timeout_s: Seconds = Field(300, validation_alias=_env("ENVIRONMENT_BUILD_TIMEOUT"))
    environment_python: str | None = None
    build_on_push: bool = True
    build_queue: Count = 32
    build_code: Literal["allow", "deny"] = "allow"
    build_memory_mb: Count = 4096
    build_hosts: Destinations = ()
    uv_offline: bool = False
    image_builds: bool = True
    image_builds_at_once: Count = 2
    image_network: Literal["indexes", "none", "default"] = "indexes"
    image_context_bytes: Bytes = 256 * _MIB
    image_max_bytes: Bytes = 4 * _GIB
    images_max_bytes: Bytes = 20 * _GIB
    images_kept: Count = 50

    # Worker processes that analyse projects
    workers: Count = 4
    worker_timeout_s: Seconds = Field(10, validation_alias=_env("WORKER_TIMEOUT"))
    worker_memory_mb: Count = 512

    # The service's own log and its shutdown
    service_log_level: LevelWord = "INFO"
    service_log_format: Literal["console", "json"] = "console"
    shutdown_timeout_s: Seconds = Field(15, validation_alias=_env("SHUTDOWN_TIMEOUT"))

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.port_min > self.port_max:
            raise ValueError(
                f"PREVIEW_PORT_MIN ({self.port_min}) is above PREVIEW_PORT_MAX ({self.port_max}): swap or widen them"
            )
        if self.stop_grace_s >= self.stop_budget_s:
            raise ValueError(
                f"PREVIEW_STOP_GRACE ({self.stop_grace_s:g} s) must be below PREVIEW_STOP_BUDGET "
                f"({self.stop_budget_s:g} s): the rest is for killing and cleaning up"
            )
        if self.shutdown_timeout_s < self.stop_budget_s + LAST_STORE_S:
            raise ValueError(
                f"PREVIEW_SHUTDOWN_TIMEOUT ({self.shutdown_timeout_s:g} s) must be at least {LAST_STORE_S:g} s above "
                f"PREVIEW_STOP_BUDGET ({self.stop_budget_s:g} s): last lines and rows are stored in between"
            )
        if isinstance(self.postgres, ServerAddress) and self.databases == "own":
            raise ValueError(
                "PREVIEW_DATABASES=own gives each preview a server, PREVIEW_POSTGRES has the address of one for all: "
                "set one"
            )
        if self.domain is not None and self.path_host is not None:
            raise ValueError(
                "PREVIEW_DOMAIN gives each preview a host of its own, PREVIEW_PATH_HOST one host to all: set one"
            )
        return self

    @model_validator(mode="after")
    def _own_names_are_not_for_previews(self) -> Self:
        names = {*self.allowed_hosts, (urlsplit(self.public_url or "").hostname or "").lower()}
        for name in sorted(names):
            if self.domain is not None and name.endswith(f".{self.domain}") and not name.startswith("."):
                raise ValueError(
                    f"names below PREVIEW_DOMAIN ({self.domain}) are reserved for previews, but the service itself "
                    f"uses {quoted(name)}: give previews another domain"
                )
            if name and name == self.path_host:
                raise ValueError(
                    f"PREVIEW_PATH_HOST ({name}) is reserved for previews, but the service itself uses that name: "
                    "give previews another one"
                )
        return self

    @property
    def resolved_db_path(self) -> Path:
        """Folder of previews' SQLite files; a relative ``db_path`` is relative to the data folder."""
        return self.data_dir / self.db_path

    def least_isolation(self, tier: str) -> str | None:
        """Return the least isolation level of a tier; None if the settings name none. An unknown tier is ``free``."""
        least = dict(self.isolation_minimum)
        return least.get(tier, least.get("free") if tier not in ("pro", "enterprise") else None)

    def tier(self, name: str | None, user_id: str | None = None) -> Tier:
        """Return the limits of a tier; an unknown or missing name means ``free``, the lowest.

        Where only this machine signs tokens, its user ``local`` may have as many previews as the memory bears, unless
        ``max_instances_per_user`` is set.
        """
        if name == "enterprise":
            return Tier("enterprise", self.max_instances_enterprise, self.max_uptime_enterprise_s, True, True)
        if name == "pro":
            return Tier("pro", self.max_instances_pro, self.max_uptime_pro_s, True, True)
        is_own = user_id == LOCAL_USER and self.is_own_machine
        is_bound = "max_instances_per_user" in self.model_fields_set
        most = _borne_previews(self) if is_own and not is_bound else self.max_instances_per_user
        return Tier("free", most, self.max_uptime_s, True, False)


def _borne_previews(settings: Settings) -> int:
    """Return how many previews fit the machine's memory if each takes half of its limit; ``max_previews`` at most."""
    memory_mb = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // _MIB
    return max(1, min(settings.max_previews, memory_mb * 2 // settings.memory_limit_mb))


def variable_of(name: str) -> str:
    """Return the name of the environment variable for a field of ``Settings``."""
    alias = Settings.model_fields[name].validation_alias
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else f"PREVIEW_{name.upper()}"


def settings_in(file: EnvFile | None) -> dict[str, str]:
    """Return the settings in a file that the environment does not set, by field name. Empty counts as unset."""
    if file is None:
        return {}
    environment = {name.upper() for name, value in os.environ.items() if value}
    return {
        name: value
        for name in Settings.model_fields
        if (variable := variable_of(name)) not in environment and (value := file.values.get(variable))
    }


def load_settings(env_file: EnvFile | None = None, /, **overrides: object) -> Settings:
    """Load settings from ``env_file``, ``PREVIEW_*`` and ``overrides`` (by field name); later sources win.

    A secret may stand in a file: see ``secrets_in_files``.

    Raises:
        ConfigurationError: A value is invalid; one sentence per value, with the variable's name.
    """
    secrets = secrets_in_files(env_file, overrides)
    try:
        return Settings(**settings_in(env_file) | secrets | overrides)  # type: ignore[arg-type]  # pydantic validates each value
    except ValidationError as error:
        problems = [problem_of(item) for item in error.errors(include_url=False)]
        # Without the cause, which repeats the given values: one may be a password.
        raise ConfigurationError("; ".join(problems), problems=problems) from None
