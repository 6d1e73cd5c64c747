"""The preview that an object of the client stands for."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Literal

from preview.client.models import Launched

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(slots=True)
class PreviewSession:
    """The preview that an object stands for.

    Attributes:
        generation_id: Its generation.
        preview_id: The preview; None for the generation's newest.
        token: Preview token of its launch; None before the first request.
    """

    generation_id: str
    preview_id: str | None = None
    token: str | None = None

    def path(self, rest: str) -> str:
        """Return a path of the generation, below ``/api/v1``."""
        return f"/generations/{self.generation_id}{rest}"

    def params(self, **values: str | int | None) -> dict[str, str | int]:
        """Return the query of these values, without those that are None, with the preview's id."""
        every = {**values, "preview_id": self.preview_id}
        return {name: value for name, value in every.items() if value is not None}

    def note(self, launched: Launched) -> None:
        """Keep the id and the token of a launch."""
        self.preview_id, self.token = launched.id, launched.session_token


def checked_id(generation_id: str) -> str:
    """Return the id.

    Raises:
        ValueError: It is not a generation's id.
    """
    if not _ID.fullmatch(generation_id):
        raise ValueError(f"{generation_id[:100]!r} is not a generation's id.")
    return generation_id


def body_of(body: object) -> tuple[object, Literal["base64"] | None]:
    """Return a request's body as the API takes it, and its encoding."""
    if isinstance(body, bytes):
        return base64.b64encode(body).decode(), "base64"
    return body, None
