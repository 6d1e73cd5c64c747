"""Requests and responses as values, and the operations made of them: no module here does input or output.

An operation is a generator. It yields what has to be done (``Call``, ``Pause``, ``Blocking``), receives the result, and
returns its own. ``blocking`` and ``asynchronous`` each drive the same generators.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeAlias, TypeVar

from pydantic import BaseModel, ValidationError

from preview.client.errors import InvalidAnswer, PreviewProblem, Unreachable

T = TypeVar("T")
Shape = TypeVar("Shape", bound=BaseModel)

# Most bytes of one response. The largest ordinary one is a page of 1000 log lines.
MAX_ANSWER_BYTES = 64 * 1024 * 1024
# Most bytes of an error's response that are read.
MAX_PROBLEM_BYTES = 1024 * 1024
# Seconds for a response; a stop takes some.
TIMEOUT_S = 60.0
# Seconds before each further attempt of a request that can be repeated.
RETRY_PAUSES_S = (0.2, 0.5, 1.0, 2.0)
_SAFE_METHODS = frozenset({"GET", "HEAD"})
# Statuses of a service that starts or stops, or of a reverse proxy in front of it.
_PASSING = frozenset({502, 503, 504})
# Codes of the service with such a status that pass by themselves. All others are answers.
_PASSING_CODES = frozenset({"", "service_stopping", "database_unavailable"})


@dataclass(frozen=True, slots=True)
class Call:
    """A request to the service.

    Attributes:
        method: HTTP method, in upper case.
        path: Path below ``/api/v1``, with a leading slash.
        params: Query parameters.
        headers: Additional headers.
        body: Sent as JSON unless None; bytes are sent unchanged, and ``headers`` names their type.
        files: Multipart files, as httpx2 takes them.
        fields: Additional multipart fields.
        timeout_s: Seconds until the response is complete; of a stream: between two pieces.
        max_bytes: Most bytes of the response's content.
        url: The whole address, after a redirect to another node of the service.
    """

    method: str
    path: str
    params: Mapping[str, str | int] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: object = None
    files: Any = None
    fields: Mapping[str, str] | None = None
    timeout_s: float = TIMEOUT_S
    max_bytes: int = MAX_ANSWER_BYTES
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete response.

    Attributes:
        status: HTTP status.
        headers: Headers, by names in lower case.
        content: The body.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def text(self) -> str:
        """The body as UTF-8 text."""
        return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """Return the body's JSON value.

        Raises:
            InvalidAnswer: It is not JSON.
        """
        try:
            return json.loads(self.content)
        except (ValueError, RecursionError) as error:
            raise InvalidAnswer(
                "The response is not JSON, so it is not from a preview service; check the address."
            ) from error

    def read(self, shape: type[Shape]) -> Shape:
        """Return the body as this model.

        Raises:
            InvalidAnswer: The body is something else.
        """
        try:
            return shape.model_validate_json(self.content)
        except (ValidationError, ValueError, RecursionError) as error:
            raise InvalidAnswer(
                f"The response is not a valid {shape.__name__} of a preview service; perhaps the service has "
                "another version."
            ) from error


@dataclass(frozen=True, slots=True)
class Pause:
    """A wait, in seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Blocking:
    """A function that reads files: in a thread if the caller is asynchronous."""

    function: Callable[[], Any]


Steps: TypeAlias = Generator[Call | Pause | Blocking, Any, T]
"""An operation: the result of each yielded value is sent in."""


def answered(call: Call, pauses_s: Sequence[float] = RETRY_PAUSES_S) -> Steps[Reply]:
    """Send a request and return its successful response.

    A request is sent again only if that is safe: it only reads, or no connection could be made.

    Args:
        call: The request.
        pauses_s: Seconds before each further attempt.

    Raises:
        PreviewProblem: The service responded with an error.
        Unreachable: There was no response, in all attempts.
        InvalidAnswer: The response is not one of the service.
    """
    is_safe = call.method in _SAFE_METHODS
    for pause in (*pauses_s, None):
        try:
            reply: Reply = yield call
            check(reply)
        except Unreachable as error:
            if pause is None or not (is_safe or not error.was_sent):
                raise
        except PreviewProblem as error:
            passes = error.status in _PASSING and error.code in _PASSING_CODES
            if pause is None or not (is_safe and passes):
                raise
        else:
            return reply
        yield Pause(pause)
    raise AssertionError("the last attempt has returned or raised")


def check(reply: Reply) -> None:
    """Accept a successful response.

    Raises:
        PreviewProblem: It is an error.
        InvalidAnswer: It is a redirect that is not followed; see ``Address.moved``.
    """
    if reply.status >= 400:
        raise problem_of(reply)
    if 300 <= reply.status < 400 and reply.status != HTTPStatus.NOT_MODIFIED:
        raise InvalidAnswer(
            f"The response is a redirect ({reply.status}); it is not followed, as the token must not go elsewhere: "
            "give the service's own address."
        )


def problem_of(reply: Reply) -> PreviewProblem:
    """Convert an error response (RFC 9457, or any other from a proxy)."""
    try:
        problem = json.loads(reply.content)
    except (ValueError, RecursionError):
        problem = None
    if not isinstance(problem, dict):
        problem = {}
    detail = problem.get("detail") or problem.get("title") or problem.get("message")
    if not isinstance(detail, str) or not detail:
        detail = f"The service responded with {reply.status} {_phrase(reply.status)}".rstrip() + "; see its log."
    details = problem.get("details")
    code = problem.get("code", "")
    return PreviewProblem(
        code if isinstance(code, str) else "",
        detail,
        details if isinstance(details, dict) else {},
        reply.status,
        reply.headers,
    )


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
