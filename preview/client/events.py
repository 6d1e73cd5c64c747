"""Events of a log stream, as the service's OpenAPI document has them (`LogEvent`)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias

from httpx2 import ServerSentEvent
from pydantic import Field, TypeAdapter, ValidationError

from preview.client.errors import InvalidAnswer
from preview.client.models import Health, Shape, State, Step


class Line(Shape):
    """A line of the log.

    Attributes:
        seq: Its number: 1, 2, 3, … in its preview, without gaps.
        source: ``subprocess`` for the preview's own output, ``system`` for the service's.
        stream: ``stderr`` if the program is known to have written the line to standard error.
        request_id: Request that caused the line, if known.
    """

    type: Literal["line"] = "line"
    seq: int
    timestamp: datetime
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"]
    source: str
    message: str
    stream: Literal["stderr"] | None = None
    request_id: str | None = None


class LogPage(Shape):
    """A page of lines, oldest first."""

    lines: list[Line]


class _Change(Shape):
    id: str
    status: State
    reason: str | None
    timestamp: datetime
    steps: list[Step]


class Status(_Change):
    """The state, the health or a step of the launch has changed; each field has its current value."""

    type: Literal["status"] = "status"
    health: Health
    restarts: int
    crashes: int = 0


class Gap(Shape):
    """Lines that cannot be read any more, both numbers included."""

    type: Literal["gap"] = "gap"
    first: int
    last: int
    reason: str


class Progress(Shape):
    """All lines up to this number were searched, and the last ones did not pass the filter."""

    type: Literal["progress"] = "progress"
    seq: int


class End(_Change):
    """The preview is over, and nothing follows."""

    type: Literal["end"] = "end"
    exit_code: int | None
    exit_signal: int | None
    cause: str | None


class Expired(Shape):
    """The token of the stream has expired; the client opens it again."""

    type: Literal["expired"] = "expired"


Event: TypeAlias = Line | Status | Gap | End
"""An event that a log yields."""

_ANY: TypeAdapter[Line | Status | Gap | Progress | End | Expired] = TypeAdapter(
    Annotated[Line | Status | Gap | Progress | End | Expired, Field(discriminator="type")]
)
_KNOWN = frozenset({"line", "status", "gap", "progress", "end", "expired"})


def event_of(event: ServerSentEvent, data: dict[str, Any]) -> Event | None:
    """Return the typed event; None for one that the caller need not see, also of a later version.

    Args:
        event: The event.
        data: Its data.

    Raises:
        InvalidAnswer: It is not an event of the service.
    """
    name = "line" if event.event == "message" else event.event
    if name not in _KNOWN:
        return None
    fields = data | {"type": name}
    if name == "line":
        fields["seq"] = event.id
    try:
        found = _ANY.validate_python(fields)
    except (ValidationError, RecursionError) as error:
        raise InvalidAnswer("The log stream has an unexpected event, so it is not from this service.") from error
    return None if isinstance(found, Progress | Expired) else found
