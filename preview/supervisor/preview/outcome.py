"""The outcome of a preview."""

from __future__ import annotations

from dataclasses import dataclass

from preview.core.lifecycle import DEPARTURE_REASONS, Departure, State, StopCause
from preview.errors import PreviewError


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of a preview. The first cause decides it, once.

    Attributes:
        state: ``stopped`` or ``failed``.
        reason: One sentence.
        cause: Reason for the stop; None when the preview failed.
        departure: Reason for an end on this node only; None if no other node goes on.
        error: The failure, raised to the caller who waits for the launch; None when the preview was stopped.
    """

    state: State
    reason: str
    cause: StopCause | None = None
    error: PreviewError | None = None
    departure: Departure | None = None

    @property
    def end_cause(self) -> str | None:
        """Cause for readers of the log."""
        cause = self.departure or self.cause
        return None if cause is None else cause.value


def departed(why: Departure, error: PreviewError) -> Outcome:
    """Return the outcome of a preview that another node goes on with."""
    return Outcome(State.FAILED, DEPARTURE_REASONS[why], error=error, departure=why)
