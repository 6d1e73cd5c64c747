"""Facts of one line or one recorded request: what costs time is read once, at first use, for all terms of a filter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Protocol

from preview.logs.filter.access import NOTHING, Access, access_of
from preview.logs.filter.fields import field_values, json_object, json_value, values_in
from preview.logs.filter.subjects import Record


class Facts(Protocol):
    """Facts of a line or of a recorded request."""

    def reported(self, at: int) -> Sequence[object]:
        """Return the values of one of ``Access``'s fields, by its position."""

    def values(self, path: str) -> list[object]:
        """Return the values of a field."""


class LineFacts:
    """Facts of a line.

    Args:
        message: The line.
        is_access: True if it is an access line; others report no facts of a request.
        requests: Facts of recorded requests with the line's request id; they add what the line does not report.
    """

    def __init__(self, message: str, *, is_access: bool, requests: Sequence[Access] = ()) -> None:
        self._message = message
        self._is_access = is_access
        self._requests = requests

    @cached_property
    def _object(self) -> Mapping[str, object] | None:
        return json_object(self._message)

    @cached_property
    def _access(self) -> Access:
        return access_of(self._message, lambda: self._object) if self._is_access else NOTHING

    def reported(self, at: int) -> Sequence[object]:
        """Return the values of one of ``Access``'s fields, by its position."""
        own = self._access[at]
        if own is not None:
            return (own,)
        return [value for one in self._requests if (value := one[at]) is not None]

    def values(self, path: str) -> list[object]:
        """Return the values of a field."""
        return field_values(self._message, path, lambda: self._object)


class RequestFacts:
    """Facts of a recorded request; fields are those of the JSON bodies of request and response, where they are kept."""

    def __init__(self, record: Record) -> None:
        self._record = record

    @cached_property
    def _bodies(self) -> list[object]:
        return [json_value(one.body) for one in (self._record.request, self._record.response) if one is not None]

    @cached_property
    def _access(self) -> Access:
        record = self._record
        return Access(record.method, record.path, record.status, record.timing.ended)

    def reported(self, at: int) -> Sequence[object]:
        """Return the value of one of ``Access``'s fields, by its position."""
        return (self._access[at],)

    def values(self, path: str) -> list[object]:
        """Return the values of a field."""
        return [value for body in self._bodies for value in values_in(body, path)]
