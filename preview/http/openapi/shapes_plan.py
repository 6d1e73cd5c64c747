"""The answers of contract ``plan`` as schemas; tests hold the views to them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from preview.http.openapi.shapes_logs import PlanLaunchStep


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PlanLaunched(_Shape):
    """The preview exists, and its log can be watched."""

    status: Literal["launched"]
    previewInstanceId: str = Field(examples=["preview_789abcdefghjkmnp"])  # noqa: N815  the contract's word
    generationId: str  # noqa: N815  the contract
    baseUrl: str | None = Field(examples=["http://localhost:3001"])  # noqa: N815  the contract
    previewToken: str  # noqa: N815  the contract
    expiresAt: str  # noqa: N815  the contract
    healthCheckUrl: str | None  # noqa: N815  the contract


class PlanListedEndpoint(_Shape):
    """An endpoint in a status."""

    method: str
    path: str
    description: str | None


class PlanIsolation(_Shape):
    """Isolation of a preview."""

    runtime: str = Field(examples=["sandbox", "plain"])
    network: Literal["none", "loopback-only", "host"] = Field(description="What it reaches.")
    holds: list[str] = Field(description="What holds, a few words each.")


class PlanLimits(_Shape):
    """Limits of a preview; null: not enforced here."""

    memoryMb: int = Field(description="MiB of memory, the whole tree.")  # noqa: N815  the contract
    cpuCores: float | None = Field(description="Processor time per time.")  # noqa: N815  the contract
    processes: int | None = Field(description="Processes and threads.")
    openFiles: int = Field(description="Of each process.")  # noqa: N815  the contract
    diskMb: int = Field(description="MiB in its own folders.")  # noqa: N815  the contract
    fileBytes: int = Field(description="Size of one file.")  # noqa: N815  the contract
    tempBytes: int | None = Field(description="Size of `/tmp`, in memory.")  # noqa: N815  the contract
    outputBytesPerS: int = Field(  # noqa: N815  the contract
        description="What it may print, averaged over some seconds."
    )


class PlanReachedLimit(_Shape):
    """A limit that a preview has reached."""

    limit: Literal["memory", "cpu", "processes", "disk", "output"]
    message: str


class PlanStatus(_Shape):
    """Status of the preview."""

    previewInstanceId: str  # noqa: N815  the contract
    status: Literal["launching", "running", "stopping", "stopped", "failed"]
    baseUrl: str | None  # noqa: N815  the contract
    uptime: int = Field(description="Seconds since the launch.")
    lastHealthCheck: str | None  # noqa: N815  the contract
    healthStatus: Literal["unknown", "healthy", "unhealthy"]  # noqa: N815  the contract
    createdAt: str  # noqa: N815  the contract
    expiresAt: str  # noqa: N815  the contract
    generatedEndpoints: list[PlanListedEndpoint]  # noqa: N815  the contract
    steps: list[PlanLaunchStep] = Field(description="Of its launch, in their order; empty for an old preview.")
    isolation: PlanIsolation | None = Field(description="Null where it is not known any more.")
    limits: PlanLimits | None
    reached: list[PlanReachedLimit] = Field(description="Each limit that it was held to so far, or ended by.")
    reason: str | None = Field(default=None, description="Only where it failed.")
    exitCode: int | None = None  # noqa: N815  the contract
    exitSignal: int | None = None  # noqa: N815  the contract


class PlanStopped(_Shape):
    """Processes, port and files are gone."""

    status: Literal["stopped"]
    message: str
    stoppedAt: str  # noqa: N815  the contract


class PlanEndpoint(_Shape):
    """An endpoint; a schema only where one is known."""

    method: str
    path: str
    description: str | None
    requestSchema: dict[str, dict[str, str]] | None = None  # noqa: N815  the contract
    requestBody: Any = None  # noqa: N815  the contract
    responseSchema: Any = None  # noqa: N815  the contract


class PlanEndpoints(_Shape):
    """The generation's endpoints."""

    endpoints: list[PlanEndpoint]


class PlanLogRange(_Shape):
    """Numbers of the lines that were published while the request was under way, its own or others'."""

    firstSeq: int  # noqa: N815  like the contract's words
    lastSeq: int  # noqa: N815  as above


class PlanProxied(_Shape):
    """The preview's answer, whatever its status."""

    statusCode: int  # noqa: N815  the contract
    data: Any = Field(description="Parsed where it is JSON, else text, or base64 where `encoding` says so.")
    headers: dict[str, str | list[str]]
    requestId: str = Field(  # noqa: N815  like the contract's words
        description="The `X-Request-Id` that the preview got; its lines carry it where known."
    )
    log: PlanLogRange | None
    encoding: Literal["base64"] | None = None


class PlanEnvironment(_Shape):
    """Settings that the preview sees."""

    NODE_ENV: str
    LOG_LEVEL: str


class PlanFeatures(_Shape):
    """Features of the tier."""

    websocketLogs: bool  # noqa: N815  the contract
    advancedMetrics: bool  # noqa: N815  the contract


class PlanLimitations(_Shape):
    """Limits of the tier."""

    tier: str
    maxConcurrentPreviews: int  # noqa: N815  the contract
    maxSessionDuration: float  # noqa: N815  the contract
    features: PlanFeatures


class PlanConfig(_Shape):
    """The limits that hold, in seconds."""

    previewTimeout: float  # noqa: N815  the contract
    maxInstances: int  # noqa: N815  the contract
    sessionExpiry: float  # noqa: N815  the contract
    autoStopInactiveAfter: float  # noqa: N815  the contract
    environment: PlanEnvironment
    limitations: PlanLimitations


class PlanError(_Shape):
    """An error."""

    status: Literal["error", "failed", "not_found"]
    error: str = Field(description="Stable code.")
    message: str
    details: dict[str, Any] | None = None


class PlanProxyError(_Shape):
    """An error on the way to the preview."""

    statusCode: int  # noqa: N815  the contract
    error: str = Field(description="Stable code.")
    message: str
    details: dict[str, Any] | None = None
