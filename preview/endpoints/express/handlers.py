"""What is known of a route from its handlers: names, comments, what they read of the request."""

from __future__ import annotations

from dataclasses import dataclass, field

from preview.endpoints.express.router import Route
from preview.endpoints.javascript import Interpreter

__all__ = ["Known", "read_handlers"]


@dataclass(slots=True)
class Known:
    """What the source says of a route."""

    summary: str = ""
    description: str = ""
    query: dict[str, str] = field(default_factory=dict)
    body: dict[str, object] = field(default_factory=dict)


def read_handlers(route: Route, interpreter: Interpreter) -> Known:
    return Known()
