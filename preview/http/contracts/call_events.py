"""Events of a streamed response: the SSE event's name is ``type`` here, and its data has the other fields."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, RootModel

from preview.http.contracts.shared import LogRange
from preview.http.core.answers import Answer


class HeadEvent(Answer):
    """The head of the response. It comes once, first."""

    type: Literal["head"]
    status_code: int
    headers: dict[str, str | list[str]]
    request_id: str = Field(description="The `X-Request-Id` that was sent.")


class PieceEvent(Answer):
    """A piece of the content: as text, or from the first byte on that is not UTF-8 as Base64."""

    type: Literal["piece"]
    text: str | None = None
    base64: str | None = None


class CallEndEvent(Answer):
    """The response has ended, and nothing follows."""

    type: Literal["end"]
    reason: Literal["complete", "failed", "too_large", "too_long", "expired", "stopping"]
    detail: str | None = Field(description="A sentence; null if the response is complete.")
    elapsed_ms: float
    size_bytes: int
    log: LogRange | None


class CallEvent(RootModel[Annotated[HeadEvent | PieceEvent | CallEndEvent, Field(discriminator="type")]]):
    """One event of a streamed response."""
