"""JSON responses: the base of their models, and how they are sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticSerializationError
from quart import Response, request

from preview.core.clock import rfc3339


def camel(name: str) -> str:
    """Return ``last_lines`` as ``lastLines``, for example."""
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)


def whole(value: float) -> int | float:
    """Return a number of seconds without a useless fraction: 3600 rather than 3600.0."""
    return int(value) if value == int(value) else value


class _AsIs:
    """Hides a value from pydantic, which would copy it and rejects values nested deeper than 255 levels."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value


Time = Annotated[datetime, PlainSerializer(rfc3339, return_type=str)]
"""RFC 3339 in JSON."""
Seconds = Annotated[float, PlainSerializer(whole), WithJsonSchema({"type": "number"})]
"""A number without a useless fraction."""
AnyJson = Annotated[Any, PlainSerializer(_AsIs, return_type=Any)]
"""A foreign value of any size and depth."""


class Answer(BaseModel):
    """The base of each response's model: its fields are the JSON keys, and the OpenAPI document has its schema.

    An optional key has a default, and is left out if it was not set.

    Attributes:
        holds_any: Whether a field is ``AnyJson``, which pydantic cannot write and ``json`` writes instead.
    """

    holds_any: ClassVar[bool] = False

    model_config = ConfigDict(extra="forbid", from_attributes=True, validate_by_name=True, serialize_by_alias=True)

    @classmethod
    def taken_from(cls, source: object, **given: object) -> Self:
        """Return the response with ``given``; other required fields are the source's attributes of that name."""
        required = (name for name, field in cls.model_fields.items() if name not in given and field.is_required())
        return cls.model_validate({name: getattr(source, name) for name in required} | given)

    def dumped(self) -> dict[str, Any]:
        """Return the response as a JSON object, without the keys that were not set."""
        return self.model_dump(exclude_unset=True)


class EarlyProblem(Answer):
    """An error of a request that is rejected because of its header section alone (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str

    @classmethod
    def body(cls, status: HTTPStatus, code: str, detail: str) -> bytes:
        """Return the JSON bytes, for protocol code that runs before a request object exists."""
        title = status.phrase
        shown = cls(type=f"urn:preview:problem:{code}", title=title, status=status, detail=detail, code=code)
        return json.dumps(shown.dumped()).encode()


class PlanAnswer(Answer):
    """The base of contract ``plan``: its keys are in camelCase."""

    model_config = ConfigDict(alias_generator=camel)


def without_none(**values: object) -> dict[str, object]:
    """Return the values that are not None, for fields that are otherwise left out."""
    return {name: value for name, value in values.items() if value is not None}


def _shown(value: object) -> Any:
    if isinstance(value, _AsIs):
        return value.value
    raise TypeError(f"{type(value).__name__} is not JSON.")


def _encoded(answer: Answer) -> bytes:
    if not answer.holds_any:
        # pydantic cannot serialize text with lone surrogates.
        with suppress(PydanticSerializationError):
            return answer.model_dump_json(exclude_unset=True).encode()
    text = json.dumps(answer.dumped(), ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_shown)
    return text.encode("utf-8", "replace")


def json_answer(answer: Answer, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return the response, with keys in the order of the model's fields."""
    return Response(_encoded(answer), status, dict(headers or {}), content_type="application/json")


def no_content(headers: Mapping[str, str] | None = None) -> Response:
    """Return a response with status 204."""
    response = Response(b"", 204, dict(headers or {}))
    del response.headers["Content-Type"]
    return response


def own_address(public_url: str | None) -> str:
    """Return the address of this service as a browser knows it, without a slash at its end.

    Args:
        public_url: ``PREVIEW_PUBLIC_URL``; without it, the request's own address.
    """
    return (public_url or f"{request.scheme}://{request.host}{request.root_path}").rstrip("/")


def is_encrypted(public_url: str | None) -> bool:
    """Return whether browsers reach this service over TLS: a proxy need not forward the scheme.

    Args:
        public_url: ``PREVIEW_PUBLIC_URL``.
    """
    return request.scheme == "https" or own_address(public_url).startswith("https:")


def link(path: str) -> str:
    """Return a path of this service as the client must request it: below the mount path of a host application."""
    return f"{request.root_path.rstrip('/')}{path}"
