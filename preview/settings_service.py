"""Settings of the service itself: its folders, database and addresses, and who may reach it."""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from preview.settings_address import redis_address
from preview.settings_fields import Count, Folder, Hosts, Networks, Origins, Seconds, UserIds
from preview.settings_variables import GivenVariables

__all__ = ["ServiceSettings"]

_MIN_SECRET_BYTES = 32
_PUBLIC_URL = r"^https?://[A-Za-z0-9.\[\]:_-]+$"
_NODE_ADDRESS = r"^([A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}$"


def _xdg(variable: str, fallback: str) -> Path:
    """Return an XDG base folder; unset, empty or relative means the default (XDG Base Directory Specification)."""
    value = os.environ.get(variable, "")
    return (Path(value) if value.startswith("/") else Path.home() / fallback) / "preview"


class ServiceSettings(BaseSettings):
    """The part of ``Settings`` that is about the service and not about its previews."""

    model_config = SettingsConfigDict(
        env_prefix="PREVIEW_",
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        validate_by_name=True,
        validate_by_alias=True,
    )

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **_others: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Values that are given come before variables of the environment. There are no other sources."""
        return init_settings, GivenVariables(settings_cls)

    # Folders, database and addresses of the service
    data_dir: Folder = Field(default_factory=lambda: _xdg("XDG_DATA_HOME", ".local/share"))
    cache_dir: Folder = Field(default_factory=lambda: _xdg("XDG_CACHE_HOME", ".cache"))
    database_url: SecretStr | None = None
    # Longer than the lock timeouts (10 s) of SQLite and PostgreSQL, which end in a definite error.
    database_timeout_s: Seconds = Field(15, validation_alias=AliasChoices("PREVIEW_DATABASE_TIMEOUT"))
    database_upgrade: Literal["manual", "auto"] = "manual"
    bind: str = "127.0.0.1:8000"
    public_url: str | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    ca: Path | None = None

    # Access to the service over the network
    allowed_hosts: Hosts = ()
    trusted_proxies: Networks = ()
    forwarded_header: Literal["x-forwarded", "forwarded"] = "x-forwarded"
    cors_origins: Origins = ()
    cors_credentials: bool = False
    max_connections: Count = 20_000
    max_connections_per_address: Count = 2_000
    body_timeout_s: Seconds = Field(30, validation_alias=AliasChoices("PREVIEW_BODY_TIMEOUT"))

    # Authentication
    jwt_secret: SecretStr | None = None
    jwt_algorithm: Literal["HS256", "RS256", "ES256", "EdDSA"] = "HS256"
    jwt_audience: str = "preview"
    jwt_issuer: str | None = None
    jwks_url: str | None = None
    jwks_file: Path | None = None
    oidc_issuer: Annotated[str, Field(pattern=r"^https?://[^\s@?#]+$", max_length=500)] | None = None
    oidc_client_id: Annotated[str, Field(max_length=500)] | None = None
    oidc_client_secret: SecretStr | None = None
    oidc_user_claim: Annotated[str, Field(pattern=r"^[\w.:/-]+$", max_length=100)] = "sub"
    oidc_users: UserIds | None = None
    sealing_keys: SecretStr | None = None
    operators: UserIds | None = None

    # Many machines: see ``preview.cluster``
    cluster: bool = False
    cluster_secret: SecretStr | None = None
    node_name: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,62}[a-z0-9])?$")] | None = None
    node_address: Annotated[str, Field(pattern=_NODE_ADDRESS, max_length=256)] | None = None
    node_labels: Annotated[str, Field(pattern=r"^([a-z0-9_.-]+=[A-Za-z0-9_.-]+(,|$))*$", max_length=1000)] | None = None
    # Short enough for a failover within seconds; a longer one tolerates a slower database.
    node_lease_s: Annotated[float, Field(ge=0.5, le=60)] = 2
    node_changes: Annotated[int, Field(ge=1, le=1_000_000)] = 5
    # Snapshots of up to this size are copied into the database, from which all nodes fetch them.
    cluster_snapshot_mb: Annotated[int, Field(ge=0, le=1024)] = 64
    # Where clients reach this node alone, and whether those of the API are sent to the owner of their preview.
    node_public_url: Annotated[str, Field(pattern=_PUBLIC_URL, max_length=256)] | None = None
    sticky: Literal["relay", "redirect"] = "relay"
    # One log stream between two nodes for all readers; False: each reader has its own.
    shared_log_streams: bool = True
    bus_url: SecretStr | None = None
    queue_limit: Annotated[int, Field(ge=0, le=1_000_000)] = 1000
    queue_wait_s: Seconds = Field(600, validation_alias=AliasChoices("PREVIEW_QUEUE_WAIT"))

    # Export of traces, metrics and the service's log
    otlp_endpoint: Annotated[str, Field(pattern=r"^https?://[^\s@]+$", max_length=500)] | None = None
    otlp_headers: SecretStr | None = Field(None, max_length=4000)

    # Audit trail
    audit_entries: Annotated[int, Field(ge=1000, le=10_000_000)] = 200_000
    audit_retention_s: Seconds = Field(365 * 24 * 3600, validation_alias=AliasChoices("PREVIEW_AUDIT_RETENTION"))

    @model_validator(mode="after")
    def _service_is_consistent(self) -> Self:
        if (self.tls_cert is None) is not (self.tls_key is None):
            raise ValueError(
                "PREVIEW_TLS_CERT and PREVIEW_TLS_KEY (--tls-cert and --tls-key) belong together: give both, or none"
            )
        if self.cors_credentials and "*" in self.cors_origins:
            raise ValueError(
                "PREVIEW_CORS_CREDENTIALS lets other pages act as the user who is logged in: "
                "name their origins in PREVIEW_CORS_ORIGINS instead of '*'"
            )
        if self.jwt_algorithm != "HS256" and not (self.jwks_url or self.jwks_file):
            raise ValueError(
                f"PREVIEW_JWT_ALGORITHM={self.jwt_algorithm} needs public keys: "
                "set PREVIEW_JWKS_URL or PREVIEW_JWKS_FILE"
            )
        if (self.oidc_issuer is None) is not (self.oidc_client_id is None):
            raise ValueError("PREVIEW_OIDC_ISSUER and PREVIEW_OIDC_CLIENT_ID belong together: set both, or none")
        if self.oidc_issuer is not None and self.jwt_algorithm != "HS256":
            raise ValueError(
                "PREVIEW_OIDC_ISSUER signs people in on the page, with sessions that this service signs: "
                "leave PREVIEW_JWT_ALGORITHM at HS256"
            )
        if self.bus_url is not None:
            try:
                redis_address(self.bus_url.get_secret_value())
            except ValueError as fault:
                raise ValueError(f"PREVIEW_BUS_URL is no address of Redis: {fault}") from None
        return self._checked_cluster()

    def _checked_cluster(self) -> Self:
        url = "" if self.database_url is None else self.database_url.get_secret_value()
        if self.cluster and not url.startswith(("postgresql", "postgres:")):
            raise ValueError(
                "PREVIEW_CLUSTER (--cluster) needs a database that all nodes share: "
                "set PREVIEW_DATABASE_URL=postgresql://USER:PASSWORD@HOST/NAME"
            )
        if self.cluster and self.node_address is None:
            raise ValueError(
                "PREVIEW_CLUSTER (--cluster) needs PREVIEW_NODE_ADDRESS: HOST:PORT at which other nodes reach this one"
            )
        given = None if self.cluster_secret is None else self.cluster_secret.get_secret_value().encode()
        # Without --cluster too: `preview token` beside a node signs with what follows from it.
        if (self.cluster or given is not None) and len(given or b"") < _MIN_SECRET_BYTES:
            raise ValueError(
                f"PREVIEW_CLUSTER (--cluster) needs PREVIEW_CLUSTER_SECRET with at least {_MIN_SECRET_BYTES} bytes, "
                "the same for all nodes: make one with `openssl rand -base64 48`"
            )
        return self

    def secret_for(self, purpose: str) -> str | None:
        """Return a secret for one purpose that all nodes of the cluster share; None without ``PREVIEW_CLUSTER_SECRET``.

        Commands beside a service of ``serve --cluster`` have the secret, too, but not that option.

        Args:
            purpose: Text that no other use has.
        """
        if self.cluster_secret is None:
            return None
        key = self.cluster_secret.get_secret_value().encode("utf-8", "surrogateescape")
        return hmac.new(key, f"preview: {purpose}".encode(), hashlib.sha256).hexdigest()

    @property
    def is_own_machine(self) -> bool:
        """True if only this machine decides who a user is: no platform and no identity provider."""
        return self.jwt_secret is None and self.jwt_algorithm == "HS256" and self.oidc_issuer is None

    @property
    def resolved_database_url(self) -> str:
        """URL of the database; the default is SQLite in the data folder."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data_dir / 'preview.db'}"
