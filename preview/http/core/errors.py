"""The only place that maps errors to HTTP statuses, and defines their form in both contracts."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from secrets import token_hex
from types import MappingProxyType

import structlog
from werkzeug.exceptions import HTTPException

from preview import errors, people_errors
from preview.errors import PreviewError
from preview.logs import Contract

log = structlog.get_logger(__name__)

# Errors for which a retry after a moment is worthwhile.
_SOON = (
    people_errors.TooFast,
    errors.TooManyStreams,
    errors.ServiceStopping,
    errors.ServiceShort,
    errors.DatabaseUnavailable,
)
_LAUNCHES = (errors.InvalidGeneration, errors.LaunchFailed)

# Status and title by class; an unlisted class uses its nearest listed base.
STATUSES: Mapping[type[PreviewError], tuple[int, str]] = MappingProxyType(
    {
        PreviewError: (500, "Internal error"),
        errors.ConfigurationError: (500, "Service misconfigured"),
        errors.RootWithoutSandbox: (500, "Service misconfigured"),
        errors.SealedTextUnreadable: (500, "A stored secret cannot be read"),
        errors.InvalidRequest: (400, "Invalid request"),
        errors.ProjectMismatch: (400, "Wrong project"),
        errors.InvalidPath: (400, "Invalid path"),
        errors.InvalidFilter: (400, "Invalid filter"),
        errors.InvalidGeneration: (400, "The generation cannot be used"),
        errors.TooComplex: (400, "Too complex to analyse"),
        errors.TooLarge: (413, "Too large"),
        errors.BodyTooLarge: (413, "Body too large"),
        errors.HostNotAllowed: (421, "Host not allowed"),
        errors.Unauthenticated: (401, "Not authenticated"),
        errors.Forbidden: (403, "Forbidden"),
        errors.PreviewTokenRejected: (403, "Preview token rejected"),
        errors.GenerationNotFound: (404, "No such generation"),
        errors.FileNotKept: (404, "No such file"),
        errors.VersionNotFound: (404, "No such version"),
        errors.PreviewNotFound: (404, "No such preview"),
        errors.NoActivePreview: (404, "No active preview"),
        errors.ShareNotFound: (404, "No such share link"),
        errors.SnapshotNotFound: (404, "No such snapshot"),
        errors.ProbeNotFound: (404, "Never probed"),
        errors.RequestNotFound: (404, "No such recorded request"),
        errors.FailureNotFound: (404, "No such failure"),
        errors.AlertNotFound: (404, "No such alert rule"),
        errors.ProjectNotFound: (404, "No such project"),
        errors.PresetNotFound: (404, "No such preset"),
        errors.SecretNotFound: (404, "No such secret"),
        people_errors.AgentsUnavailable: (501, "No tools for agents"),
        people_errors.ApiTokenNotFound: (404, "No such API token"),
        people_errors.CommentNotFound: (404, "No such comment"),
        people_errors.EnvironmentNotFound: (404, "No such environment"),
        people_errors.TemplateNotFound: (404, "No such template"),
        people_errors.NodeNotFound: (404, "No such node"),
        people_errors.TraceNotFound: (404, "No such trace"),
        people_errors.ViewerNotFound: (404, "No such guest"),
        people_errors.ApiTokenLimitReached: (409, "API token limit reached"),
        people_errors.CommentLimitReached: (409, "Comment limit reached"),
        people_errors.SavedRequestLimitReached: (409, "Saved request limit reached"),
        people_errors.SavedRequestNotFound: (404, "Saved request not found"),
        people_errors.VariableLimitReached: (409, "Variable limit reached"),
        people_errors.VariableNotFound: (404, "No such variable"),
        people_errors.UnresolvedVariables: (422, "Variables without a value"),
        people_errors.EnvironmentInUse: (409, "Environment in use"),
        people_errors.ContractNotOffered: (403, "Contract not offered"),
        people_errors.FlagChanged: (409, "Flag changed meanwhile"),
        people_errors.FlagNotFound: (404, "No such flag"),
        people_errors.IsolationBelowMinimum: (503, "Isolation below the minimum"),
        people_errors.LaunchesStopped: (503, "Launches stopped"),
        people_errors.ImportFailed: (502, "Import failed"),
        people_errors.ImportsOff: (409, "Imports are off"),
        people_errors.RepositoryNotFound: (404, "No such repository"),
        people_errors.GuestLimitReached: (409, "Guest limit reached"),
        people_errors.InvitationLimitReached: (409, "Invitation limit reached"),
        people_errors.InvitationNotFound: (404, "No such invitation"),
        people_errors.MemberNotFound: (404, "No such invited person"),
        people_errors.ProfileNotFound: (404, "No profile"),
        people_errors.ProfileUnavailable: (409, "No profile possible"),
        people_errors.TooFast: (429, "Too fast"),
        errors.UserNotFound: (404, "No such user"),
        errors.AlreadyRunning: (409, "Already running"),
        errors.LimitReached: (409, "Preview limit reached"),
        errors.GenerationLimitReached: (409, "Generation limit reached"),
        errors.ShareLimitReached: (409, "Share limit reached"),
        errors.SnapshotLimitReached: (409, "Snapshot limit reached"),
        errors.PinLimitReached: (409, "Pin limit reached"),
        errors.AlertLimitReached: (409, "Alert limit reached"),
        errors.SettingsLimitReached: (409, "Settings too large"),
        errors.DataUnavailable: (409, "Data unavailable"),
        errors.QueryRefused: (422, "Statement refused"),
        errors.RecordIncomplete: (409, "Record incomplete"),
        errors.GenerationReadOnly: (409, "Generation is read-only"),
        errors.PreconditionFailed: (412, "Changed meanwhile"),
        errors.NoPortFree: (503, "No port free"),
        errors.TooManyStreams: (429, "Too many streams"),
        errors.UpgradeRequired: (426, "Upgrade required"),
        errors.TooManyLaunches: (429, "Too many launches"),
        errors.DiskFull: (507, "Disk full"),
        errors.ServiceStopping: (503, "Service stopping"),
        errors.LaunchFailed: (500, "Launch failed"),
        errors.EnvironmentFailed: (500, "Environment failed"),
        errors.AnalysisFailed: (500, "Analysis failed"),
        errors.StartupTimeout: (504, "Start-up timed out"),
        errors.PreviewUnavailable: (503, "Preview unavailable"),
        errors.UpstreamTimeout: (504, "Preview timed out"),
        errors.UpstreamFailed: (502, "Preview failed to answer"),
        errors.DatabaseUnavailable: (503, "Database unavailable"),
        errors.ServiceShort: (503, "Service out of resources"),
    }
)

# Resources that the machine may run out of.
_SHORTAGES: Mapping[int, str] = MappingProxyType(
    {
        errno.EMFILE: "file descriptors (see its limit of open files)",
        errno.ENFILE: "file descriptors",
        errno.ENOMEM: "memory",
        errno.ENOBUFS: "memory",
        errno.ENOSPC: "room on its disk",
        errno.EDQUOT: "room on its disk",
    }
)

# Errors of Quart and werkzeug, by status.
HTTP_CODES = {
    400: "invalid_request",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "body_too_large",
    415: "unsupported_media_type",
    431: "head_too_large",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as shown to clients.

    Attributes:
        status: HTTP status in contract ``v1``.
        code: Stable error code.
        title: Short title, the same for each error of this code.
        detail: One sentence for a person.
        details: Facts for a program.
        headers: Further response headers.
        is_launch: Whether the error is about a launch that is impossible or has failed.
    """

    status: int
    code: str
    title: str
    detail: str
    details: Mapping[str, object]
    headers: Mapping[str, str]
    is_launch: bool = False

    def status_in(self, contract: Contract) -> int:
        """Return the status in a contract: ``plan`` uses 500 if no port is free."""
        return 500 if contract is Contract.PLAN and self.code == errors.NoPortFree.code else self.status


def problem_of(error: Exception) -> Problem:
    """Return the error as a problem. An unexpected error is logged under an id, and the client sees only the id."""
    if isinstance(error, PreviewError):
        return _of_ours(error)
    if isinstance(error, HTTPException) and error.code is not None and error.code < HTTPStatus.INTERNAL_SERVER_ERROR:
        return _of_http(error, error.code)
    short_of = _SHORTAGES.get(error.errno or 0) if isinstance(error, OSError) else None
    if short_of is not None:
        log.error("out of resources", why=str(error))
        return _of_ours(errors.ServiceShort(f"The service is temporarily out of {short_of}; try again."))
    error_id = token_hex(8)
    log.error("unexpected error", error_id=error_id, exc_info=error)
    detail = f"Something went wrong in the service; its log has more under the id {error_id}."
    return Problem(500, PreviewError.code, "Internal error", detail, {"error_id": error_id}, {})


def _of_ours(error: PreviewError) -> Problem:
    status, title = next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)
    headers: dict[str, str] = {}
    if isinstance(error, errors.Unauthenticated):
        headers["WWW-Authenticate"] = _challenge(error)
    elif isinstance(error, errors.UpgradeRequired):
        # RFC 9110 section 15.5.22 and 7.8.
        headers |= {"Upgrade": "websocket", "Connection": "Upgrade"}
    elif isinstance(error, errors.TooManyLaunches):
        headers["Retry-After"] = str(error.details.get("retry_after_s", 60))
    elif isinstance(error, _SOON):
        headers["Retry-After"] = "2"
    return Problem(status, error.code, title, error.message, error.details, headers, isinstance(error, _LAUNCHES))


def _challenge(error: PreviewError) -> str:
    """Return the ``WWW-Authenticate`` challenge; RFC 6750 section 3: without a token, it has no error code."""
    if error.details.get("reason") == "missing":
        return 'Bearer realm="preview"'
    # The message may contain a host's or client's text, but a header must contain no line end.
    text = "".join(one if one.isprintable() else " " for one in error.message)
    said = text.encode("ascii", "replace").decode().replace("\\", "/").replace('"', "'")
    return f'Bearer realm="preview", error="invalid_token", error_description="{said}"'


def _of_http(error: HTTPException, status: int) -> Problem:
    phrase = HTTPStatus(status).phrase
    details: dict[str, object] = {}
    headers = {name: value for name, value in error.get_headers() if name in {"Allow", "Retry-After", "Location"}}
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        details["allowed"] = sorted(getattr(error, "valid_methods", None) or ())
    sentence = _SENTENCES.get(status, phrase + ".")
    if status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
        # What to send instead: see ``reading.wrong_media_type``.
        sentence = error.description or sentence
    return Problem(status, HTTP_CODES.get(status, "invalid_request"), phrase, sentence, details, headers)


_SENTENCES = {
    400: "The request cannot be read; check the body and the Content-Type header.",
    404: "This address does not exist; /docs lists all addresses.",
    405: "This address does not support this method; the Allow header lists the supported methods.",
    408: "The body did not arrive in time; send the request again.",
    413: "The body is larger than this address allows.",
    431: "The request has too many header fields, or they are too long; send fewer or shorter ones.",
}


def leaves(group: BaseExceptionGroup[PreviewError]) -> list[PreviewError]:
    """Return the errors of a group and of the groups in it."""
    found: list[PreviewError] = []
    for error in group.exceptions:
        found += leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
