"""The tree of everything that can go wrong, and nothing about HTTP.

Each class has a stable ``code`` (part of the public contract: clients switch on it) and carries ``details``, a
JSON-ready mapping for machines. The message is for people: one sentence that says what is wrong, with what, and
what to do. The mapping to status codes stands in ``preview.http.core.errors`` alone.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "AlreadyRunning",
    "AnalysisFailed",
    "BodyTooLarge",
    "ConfigurationError",
    "DatabaseUnavailable",
    "DiskFull",
    "EnvironmentFailed",
    "FileNotKept",
    "Forbidden",
    "GenerationLimitReached",
    "GenerationNotFound",
    "GenerationReadOnly",
    "HostNotAllowed",
    "InvalidGeneration",
    "InvalidPath",
    "InvalidRequest",
    "LaunchFailed",
    "LimitReached",
    "NoActivePreview",
    "NoPortFree",
    "PreconditionFailed",
    "PreviewError",
    "PreviewNotFound",
    "PreviewTokenRejected",
    "PreviewUnavailable",
    "ProjectMismatch",
    "RootWithoutSandbox",
    "ServiceShort",
    "ServiceStopping",
    "ShareLimitReached",
    "ShareNotFound",
    "StartupTimeout",
    "TooComplex",
    "TooLarge",
    "TooManyLaunches",
    "TooManyStreams",
    "Unauthenticated",
    "UpgradeRequired",
    "UpstreamFailed",
    "UpstreamTimeout",
    "UserNotFound",
]


class PreviewError(Exception):
    """The root: every error this package raises on purpose.

    Args:
        message: One sentence for a person.
        details: JSON-ready facts for a machine, for instance the limit that was reached.
    """

    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, object] = details


# What the operator configured


class ConfigurationError(PreviewError):
    """A setting is wrong or two settings contradict each other."""

    code = "configuration_error"


class RootWithoutSandbox(ConfigurationError):
    """The service is root, the machine has no sandbox, and nobody has said that the code is trusted."""

    code = "root_without_sandbox"


# What the caller sent


class InvalidRequest(PreviewError):
    """The request cannot be understood or has a wrong value."""

    code = "invalid_request"


class ProjectMismatch(InvalidRequest):
    """The project named in the request is not the generation's."""

    code = "project_mismatch"


class InvalidPath(InvalidRequest):
    """A path for the proxy that is not an absolute path on the preview."""

    code = "invalid_path"


class InvalidGeneration(InvalidRequest):
    """Files that cannot be kept or cannot be run. ``details`` may hold ``missing_files`` (paths) and ``path``."""

    code = "invalid_generation"


class TooComplex(InvalidGeneration):
    """Reading the project's files took too much time or memory. ``details`` may hold ``path``, the file at fault."""

    code = "too_complex"


class TooLarge(InvalidRequest):
    """An upload, or what it unpacks to, is over a limit. ``details`` holds ``limit`` with its unit."""

    code = "too_large"


class BodyTooLarge(InvalidRequest):
    """A request body for the preview, or its answer, is over the limit."""

    code = "body_too_large"


class HostNotAllowed(InvalidRequest):
    """The request is for a host name under which this service is not to be reached."""

    code = "host_not_allowed"


# Who is asking


class Unauthenticated(PreviewError):
    """No token, or one that is not valid (any more)."""

    code = "unauthenticated"


class Forbidden(PreviewError):
    """A valid token, but not for this."""

    code = "forbidden"


class PreviewTokenRejected(Forbidden):
    """The preview's own token is missing, wrong or expired."""

    code = "invalid_preview_token"


# What is not there


class GenerationNotFound(PreviewError):
    """No such generation."""

    code = "generation_not_found"


class FileNotKept(PreviewError):
    """The generation has no file of this path."""

    code = "file_not_found"


class PreviewNotFound(PreviewError):
    """No preview with this id."""

    code = "preview_not_found"


class NoActivePreview(PreviewError):
    """The generation has no preview now."""

    code = "no_active_preview"


class ShareNotFound(PreviewError):
    """The preview has no such share link."""

    code = "share_not_found"


class UserNotFound(PreviewError):
    """No such user in the service's own table."""

    code = "user_not_found"


# What is taken


class AlreadyRunning(PreviewError):
    """The generation has a preview already. ``details["preview_id"]`` names it."""

    code = "already_running"


class LimitReached(PreviewError):
    """No preview left in the user's tier. ``details["previews"]`` lists what would free the way."""

    code = "preview_limit_reached"


class GenerationReadOnly(PreviewError):
    """The generation's files are kept by a host that does not let this service change them."""

    code = "generation_read_only"


class PreconditionFailed(PreviewError):
    """The resource has changed since the caller read it. ``details["revision"]`` is the current one."""

    code = "precondition_failed"


class GenerationLimitReached(LimitReached):
    """The user keeps as many generations as allowed. ``details["limit"]`` says how many."""

    code = "generation_limit_reached"


class ShareLimitReached(LimitReached):
    """The preview has as many share links as allowed. ``details["shares"]`` lists those that could be revoked."""

    code = "share_limit_reached"


class TooManyLaunches(PreviewError):
    """The user has launched as often within a minute as allowed. ``details["retry_after_s"]`` says how long to wait."""

    code = "too_many_launches"


class DiskFull(PreviewError):
    """The service's own disk has too little space for another preview."""

    code = "disk_full"


class NoPortFree(PreviewError):
    """Each port of the range is taken."""

    code = "no_port_available"


class TooManyStreams(PreviewError):
    """The user has as many open streams as allowed."""

    code = "too_many_streams"


class UpgradeRequired(PreviewError):
    """The address speaks another protocol than HTTP."""

    code = "upgrade_required"


class ServiceStopping(PreviewError):
    """The service is going down and takes no new work."""

    code = "service_stopping"


# What failed while it ran


class LaunchFailed(PreviewError):
    """The preview ended before it answered. ``details`` may hold ``exit_code`` and ``last_lines``."""

    code = "launch_failed"


class EnvironmentFailed(LaunchFailed):
    """The environment could not be built. ``details["requirement"]`` names the culprit where it is known."""

    code = "environment_failed"


class AnalysisFailed(LaunchFailed):
    """The process that read the project's files ended without a valid answer."""

    code = "analysis_failed"


class StartupTimeout(LaunchFailed):
    """The preview did not answer within the time allowed for start-up."""

    code = "startup_timeout"


class PreviewUnavailable(PreviewError):
    """The preview is not running, so it cannot be asked."""

    code = "preview_unavailable"


class UpstreamTimeout(PreviewError):
    """The preview did not answer in time."""

    code = "upstream_timeout"


class UpstreamFailed(PreviewError):
    """The preview closed the connection or sent something that is not HTTP."""

    code = "upstream_failed"


class DatabaseUnavailable(PreviewError):
    """The service's database did not answer."""

    code = "database_unavailable"


class ServiceShort(PreviewError):
    """The service is short of something for the moment: descriptors, memory, room on its disk."""

    code = "service_short"
