"""Exit codes of the commands (``docs/cli.md`` lists them), and their errors."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from preview import errors
from preview.errors import PreviewError


class ExitCode(IntEnum):
    """Exit codes that scripts can rely on."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NO_SERVICE = 3
    NOT_ALLOWED = 4
    NOT_FOUND = 5
    CONFLICT = 6
    TOO_LATE = 7
    INTERRUPTED = 130


class CommandFailed(PreviewError):
    """The command cannot complete; the message is the one sentence that the user sees."""

    code = "command_failed"


class UsageMistake(CommandFailed):
    """An argument or option is invalid."""

    code = "usage"


class NoService(CommandFailed):
    """No service is running here, or it does not respond."""

    code = "no_service"


class ApiRefused(CommandFailed):
    """The service responded with an error.

    Attributes:
        status: HTTP status.
        problem: The response's ``code`` (RFC 9457 extension), or an empty string.
        facts: The response's ``details``.
        mark: The request's filter with a mark below its mistake, as two lines; empty if it has none.
    """

    code = "api_refused"

    def __init__(
        self,
        message: str,
        *,
        status: int,
        problem: str = "",
        facts: Mapping[str, object] | None = None,
        mark: str = "",
    ) -> None:
        super().__init__(message, status=status, problem=problem)
        self.status = status
        self.problem = problem
        self.facts = facts or {}
        self.mark = mark


_STATUSES = {
    401: ExitCode.NOT_ALLOWED,
    403: ExitCode.NOT_ALLOWED,
    404: ExitCode.NOT_FOUND,
    409: ExitCode.CONFLICT,
    429: ExitCode.CONFLICT,
    504: ExitCode.TOO_LATE,
}

# For errors that are raised in this process (``run``, ``serve``, ``db``). The first match counts.
_CLASSES: tuple[tuple[type[PreviewError], ExitCode], ...] = (
    (UsageMistake, ExitCode.USAGE),
    (NoService, ExitCode.NO_SERVICE),
    (errors.ConfigurationError, ExitCode.USAGE),
    (errors.Unauthenticated, ExitCode.NOT_ALLOWED),
    (errors.Forbidden, ExitCode.NOT_ALLOWED),
    (errors.GenerationNotFound, ExitCode.NOT_FOUND),
    (errors.PreviewNotFound, ExitCode.NOT_FOUND),
    (errors.NoActivePreview, ExitCode.NOT_FOUND),
    (errors.AlreadyRunning, ExitCode.CONFLICT),
    (errors.LimitReached, ExitCode.CONFLICT),
)


def exit_code_of(error: PreviewError) -> ExitCode:
    """Return the exit code for an error that ended a command."""
    if isinstance(error, ApiRefused):
        usage = error.problem in {"invalid_request", errors.InvalidFilter.code}
        return ExitCode.USAGE if usage else _STATUSES.get(error.status, ExitCode.FAILED)
    return next((code for kind, code in _CLASSES if isinstance(error, kind)), ExitCode.FAILED)
