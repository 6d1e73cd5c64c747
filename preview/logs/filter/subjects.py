"""Recorded requests as filters see them; lines are columns (``model.filtering``)."""

from __future__ import annotations

from typing import Protocol


class Content(Protocol):
    """A message of a recorded request; ``preview.traffic.Message`` is one."""

    @property
    def body(self) -> bytes:
        """First bytes of the content."""


class Durations(Protocol):
    """Durations of a recorded request; ``preview.traffic.Timing`` is one."""

    @property
    def ended(self) -> float:
        """Milliseconds from the request's arrival to its end."""


class Record(Protocol):
    """A recorded request; ``preview.traffic.RecordedRequest`` is one (this package cannot import it)."""

    @property
    def number(self) -> int:
        """Number within the preview."""

    @property
    def request_id(self) -> str:
        """Id that log lines carry too."""

    @property
    def started_ms(self) -> int:
        """Arrival, in milliseconds since the epoch."""

    @property
    def origin(self) -> str:
        """Way on which the request reached the preview."""

    @property
    def who(self) -> str:
        """Sender."""

    @property
    def method(self) -> str:
        """Method, in upper case."""

    @property
    def target(self) -> str:
        """Path and query."""

    @property
    def path(self) -> str:
        """The target's path."""

    @property
    def status(self) -> int:
        """Status of the response; 0 if there was none."""

    @property
    def error(self) -> str | None:
        """Code of the error, if there was no complete response."""

    @property
    def timing(self) -> Durations:
        """Durations."""

    @property
    def reload(self) -> int:
        """Number of times that a new process had taken over."""

    @property
    def request(self) -> Content | None:
        """Headers and body sent, if kept."""

    @property
    def response(self) -> Content | None:
        """Headers and body received, if kept."""
