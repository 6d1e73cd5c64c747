"""The exceptions of this package. HTTP status codes are mapped in ``preview.http.core.errors`` alone.

Each class has a stable ``code``, which is part of the public contract: clients switch on it. ``details`` is a
JSON-ready mapping for programs. The message is one sentence for people: it names the problem, the object and the
remedy.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "AlertLimitReached", "AlertNotFound", "AlreadyRunning", "AnalysisFailed", "BodyTooLarge", "ConfigurationError",
    "DataUnavailable", "DatabaseUnavailable", "DiskFull", "EnvironmentFailed", "FailureNotFound", "FileNotKept",
    "Forbidden", "GenerationLimitReached", "GenerationNotFound", "GenerationReadOnly", "HostNotAllowed",
    "InvalidFilter", "InvalidGeneration", "InvalidPath", "InvalidRequest", "LaunchFailed", "LimitReached",
    "NoActivePreview", "NoPortFree", "PinLimitReached", "PreconditionFailed", "PresetNotFound", "PreviewError",
    "PreviewNotFound", "PreviewTokenRejected", "PreviewUnavailable", "ProbeNotFound", "ProjectMismatch",
    "ProjectNotFound", "QueryRefused", "RecordIncomplete", "RequestNotFound", "RootWithoutSandbox",
    "SealedTextUnreadable", "SecretNotFound", "ServiceShort", "ServiceStopping", "SettingsLimitReached",
    "ShareLimitReached", "ShareNotFound", "SnapshotLimitReached", "SnapshotNotFound", "StartupTimeout", "TooComplex",
    "TooLarge", "TooManyLaunches", "TooManyStreams", "Unauthenticated", "UpgradeRequired", "UpstreamFailed",
    "UpstreamTimeout", "UserNotFound", "VersionNotFound",
]  # fmt: skip


class PreviewError(Exception):
    """Base class of all errors that this package raises on purpose.

    Args:
        message: One sentence for a person.
        details: JSON-ready facts for a program, for instance the limit that was reached.
    """

    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, object] = details


class ConfigurationError(PreviewError):
    """A setting is wrong or two settings contradict each other."""

    code = "configuration_error"


class RootWithoutSandbox(ConfigurationError):
    """The service runs as root, the machine has no sandbox, and the operator has not declared the code as trusted."""

    code = "root_without_sandbox"


class SealedTextUnreadable(ConfigurationError):
    """A stored secret cannot be decrypted: its key is gone, or the text was changed outside the service."""

    code = "sealed_text_unreadable"


class InvalidRequest(PreviewError):
    """The request cannot be understood or has a wrong value."""

    code = "invalid_request"


class ProjectMismatch(InvalidRequest):
    """The generation does not belong to the project named in the request."""

    code = "project_mismatch"


class InvalidPath(InvalidRequest):
    """The proxy path is not an absolute path on the preview."""

    code = "invalid_path"


class InvalidFilter(InvalidRequest):
    """A filter cannot be understood, or has a term that does not apply.

    Args:
        message: One sentence that names the term and the remedy.
        position: Number of characters before the term in the filter's text.
    """

    code = "invalid_filter"

    def __init__(self, message: str, position: int = 0) -> None:
        super().__init__(message, position=position)
        self.position = position


class InvalidGeneration(InvalidRequest):
    """The files cannot be stored or run. ``details`` may have ``missing_files`` (paths) and ``path``."""

    code = "invalid_generation"


class TooComplex(InvalidGeneration):
    """Analysing the project took too much time or memory. ``details`` may have ``path``, the file at fault."""

    code = "too_complex"


class TooLarge(InvalidRequest):
    """An upload, or its unpacked content, is over a limit. ``details`` has ``limit`` with its unit."""

    code = "too_large"


class BodyTooLarge(InvalidRequest):
    """A request body for the preview, or the preview's response body, is over the limit."""

    code = "body_too_large"


class HostNotAllowed(InvalidRequest):
    """The request's host name is not one of the service's."""

    code = "host_not_allowed"


class Unauthenticated(PreviewError):
    """The token is missing, invalid or expired."""

    code = "unauthenticated"


class Forbidden(PreviewError):
    """The token is valid, but does not permit the request."""

    code = "forbidden"


class PreviewTokenRejected(Forbidden):
    """The preview token is missing, wrong or expired."""

    code = "invalid_preview_token"


class GenerationNotFound(PreviewError):
    """The generation does not exist."""

    code = "generation_not_found"


class FileNotKept(PreviewError):
    """The generation has no file with this path."""

    code = "file_not_found"


class VersionNotFound(PreviewError):
    """The generation has no such version (any more). ``details`` may have ``oldest`` and ``newest``."""

    code = "version_not_found"


class PreviewNotFound(PreviewError):
    """The preview does not exist."""

    code = "preview_not_found"


class NoActivePreview(PreviewError):
    """The generation has no live preview."""

    code = "no_active_preview"


class ShareNotFound(PreviewError):
    """The preview has no such share link."""

    code = "share_not_found"


class SnapshotNotFound(PreviewError):
    """The generation has no data snapshot with this id."""

    code = "snapshot_not_found"


class RequestNotFound(PreviewError):
    """The preview has no recorded request with this number."""

    code = "request_not_found"


class FailureNotFound(PreviewError):
    """The preview has no failure record with this id."""

    code = "failure_not_found"


class ProjectNotFound(PreviewError):
    """The user has no project with this id."""

    code = "project_not_found"


class PresetNotFound(PreviewError):
    """The project has no preset of this name."""

    code = "preset_not_found"


class SecretNotFound(PreviewError):
    """The project or the preset has no secret of this name."""

    code = "secret_not_found"


class AlertNotFound(PreviewError):
    """The user has no alert rule with this id."""

    code = "alert_not_found"


class ProbeNotFound(PreviewError):
    """The generation was never probed."""

    code = "probe_not_found"


class UserNotFound(PreviewError):
    """The service's users table has no such user."""

    code = "user_not_found"


class AlreadyRunning(PreviewError):
    """The generation already has a preview. ``details["preview_id"]`` has its id."""

    code = "already_running"


class LimitReached(PreviewError):
    """The user's tier allows no further preview. ``details["previews"]`` lists the previews that could be stopped."""

    code = "preview_limit_reached"


class GenerationReadOnly(PreviewError):
    """The host application stores the generation's files and does not let this service change them."""

    code = "generation_read_only"


class PreconditionFailed(PreviewError):
    """The resource has changed since the caller read it. ``details["revision"]`` is the current revision."""

    code = "precondition_failed"


class GenerationLimitReached(LimitReached):
    """The user has the maximum number of generations. ``details["limit"]`` is that number."""

    code = "generation_limit_reached"


class ShareLimitReached(LimitReached):
    """The preview has the maximum number of share links. ``details["shares"]`` lists those that could be revoked."""

    code = "share_limit_reached"


class SnapshotLimitReached(LimitReached):
    """The user has the maximum number or size of data snapshots. ``details["limit"]`` is that number or size."""

    code = "snapshot_limit_reached"


class PinLimitReached(LimitReached):
    """The user has pinned the maximum number of recorded requests. ``details["limit"]`` is that number."""

    code = "pin_limit_reached"


class AlertLimitReached(LimitReached):
    """The user has the maximum number of alert rules. ``details["limit"]`` is that number."""

    code = "alert_limit_reached"


class SettingsLimitReached(PreviewError):
    """A project's launch settings would be too large. ``details["limit"]`` is the limit."""

    code = "settings_limit_reached"


class TooManyLaunches(PreviewError):
    """The user has reached the limit of launches per minute. ``details["retry_after_s"]`` is the time to wait."""

    code = "too_many_launches"


class DiskFull(PreviewError):
    """The service's own disk has too little space for another preview."""

    code = "disk_full"


class NoPortFree(PreviewError):
    """Every port of the configured range is in use."""

    code = "no_port_available"


class TooManyStreams(PreviewError):
    """The user has the maximum number of open streams."""

    code = "too_many_streams"


class UpgradeRequired(PreviewError):
    """The address requires a protocol other than HTTP."""

    code = "upgrade_required"


class ServiceStopping(PreviewError):
    """The service is shutting down and accepts no new work."""

    code = "service_stopping"


class LaunchFailed(PreviewError):
    """The preview ended before its first response. ``details`` may have ``exit_code`` and ``last_lines``."""

    code = "launch_failed"


class EnvironmentFailed(LaunchFailed):
    """The environment could not be built. ``details["requirement"]`` names the failing package, if known."""

    code = "environment_failed"


class AnalysisFailed(LaunchFailed):
    """The process that analysed the project ended without a valid result."""

    code = "analysis_failed"


class StartupTimeout(LaunchFailed):
    """The preview did not respond within the start-up timeout."""

    code = "startup_timeout"


class PreviewUnavailable(PreviewError):
    """The preview is not running, so it cannot serve the request."""

    code = "preview_unavailable"


class DataUnavailable(PreviewError):
    """The preview's data cannot be read, saved or replaced now."""

    code = "data_unavailable"


class RecordIncomplete(PreviewError):
    """A recorded request cannot be sent again, because a part of it was not kept."""

    code = "record_incomplete"


class QueryRefused(DataUnavailable):
    """The database refuses a statement; the message is its own."""

    code = "query_refused"


class UpstreamTimeout(PreviewError):
    """The preview did not respond in time."""

    code = "upstream_timeout"


class UpstreamFailed(PreviewError):
    """The preview closed the connection or sent something that is not HTTP."""

    code = "upstream_failed"


class DatabaseUnavailable(PreviewError):
    """The service's database did not respond."""

    code = "database_unavailable"


class ServiceShort(PreviewError):
    """The service temporarily lacks a resource: descriptors, memory, or disk space."""

    code = "service_short"
