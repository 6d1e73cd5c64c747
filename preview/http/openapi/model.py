"""Description of a route: the parts of the table that the OpenAPI document is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel

from preview.errors import PreviewError

ErrorKinds = tuple[type[PreviewError], ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """A successful response.

    Attributes:
        about: One sentence.
        model: Schema of the body; None if there is no body, or no schema can describe it.
        kind: Media type of the body; None if there is no body.
        headers: Name and meaning of the response's header fields.
        links: Requests that can follow, by name (OpenAPI 3.1, Link Object).
        further_kinds: Other media types that a client can request.
        event: Schema of each event's data, if the body is a stream of events or of JSON lines.
    """

    about: str
    model: type[BaseModel] | None = None
    kind: str | None = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, object] = field(default_factory=dict)
    further_kinds: tuple[str, ...] = ()
    event: type[BaseModel] | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """One route.

    Attributes:
        reply: The successful response.
        errors: Possible errors, in addition to those of every route.
        status: Status of ``reply``.
        others: Other successful responses, by status.
        body: Schema of the request's body.
        query: Schema of the query.
        headers: Request header fields and their meaning.
        is_open: Whether the route requires no token.
        is_missing: Whether the route may respond 404 although its address is valid.
    """

    reply: Reply
    errors: ErrorKinds = ()
    status: int = 200
    others: Mapping[int, Reply] = field(default_factory=dict)
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    is_open: bool = False
    is_missing: bool = False


GONE = Reply("Done; the response has no body.", kind=None)
"""Reply to a request that has removed or changed something."""


def links_to(parameter: str, value: str, *routes: str) -> dict[str, object]:
    """Return a link to each route; ``value``, a runtime expression, locates the path parameter in the response."""
    return {
        route.rpartition(".")[2].rstrip("_"): {"operationId": route, "parameters": {parameter: value}}
        for route in routes
    }
