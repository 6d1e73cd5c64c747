"""Errors of the client; ``ClientError`` is their root."""

from __future__ import annotations

from collections.abc import Mapping


class ClientError(Exception):
    """A call has not completed; the text is one sentence for people."""


class PreviewProblem(ClientError):
    """The service responded with an error (RFC 9457).

    Attributes:
        code: Stable code, for programs to decide by; empty if the response is not from the service.
        detail: One sentence: what is wrong, and what to do.
        details: Further facts, such as ``last_lines`` of a preview that failed.
        status: HTTP status.
        headers: Headers of the response, by names in lower case.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        details: Mapping[str, object] | None = None,
        status: int = 0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.details = dict(details or {})
        self.status = status
        self.headers = dict(headers or {})

    def __reduce__(self) -> tuple[type[PreviewProblem], tuple[object, ...]]:
        return type(self), (self.code, self.detail, self.details, self.status, self.headers)


class Unreachable(ClientError):
    """The service cannot be reached, did not respond in time, or closed the connection.

    Attributes:
        url: Address of the service.
        reason: What went wrong, as the network library says it.
        was_sent: False if the service has certainly not received the request.
        is_timeout: Whether the time was over.
    """

    def __init__(self, url: str, reason: str, *, was_sent: bool = True, is_timeout: bool = False) -> None:
        why = "did not answer in time" if is_timeout else "cannot be reached"
        super().__init__(f"The service at {url} {why} ({reason}).")
        self.url = url
        self.reason = reason
        self.was_sent = was_sent
        self.is_timeout = is_timeout


class InvalidAnswer(ClientError):
    """The response is not one of the service: too large, not JSON, a redirect, or of another shape."""


class InvalidUpload(ClientError):
    """The folder or the files cannot be uploaded."""
