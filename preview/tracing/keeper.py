"""The traces of all previews, live and ended, within one limit of memory."""

from __future__ import annotations

from typing import Final

from preview.tracing.preview_traces import PreviewTraces

MOST_PREVIEWS: Final = 200
"""Previews whose traces are kept. The traces of those launched first are removed first."""
_SHARE = 4


class TraceKeeper:
    """Keeps traces in memory until the service ends: previews do not outlive it either.

    Args:
        most_spans: Limit of one preview's spans.
        most_bytes: Limit of all previews' memory, roughly. One preview may use a quarter of it.
    """

    def __init__(self, *, most_spans: int, most_bytes: int) -> None:
        self._most_spans = most_spans
        self._most_bytes = most_bytes
        self._size_bytes = 0
        # In the order of their launches.
        self._previews: dict[str, PreviewTraces] = {}

    @property
    def size_bytes(self) -> int:
        """Memory of all traces, roughly."""
        return self._size_bytes

    def open(self, preview_id: str) -> PreviewTraces:
        """Return the traces of a new preview. Nothing is kept of it unless they are turned on."""
        traces = PreviewTraces(
            preview_id,
            most_spans=self._most_spans,
            most_bytes=self._most_bytes // _SHARE,
            changed=self._resized,
            turned_on=lambda: self._add(traces),
        )
        return traces

    def _add(self, traces: PreviewTraces) -> None:
        self._previews.setdefault(traces.preview_id, traces)
        while len(self._previews) > MOST_PREVIEWS:
            self.forget(next(iter(self._previews)))

    def find(self, preview_id: str) -> PreviewTraces | None:
        """Return the traces of a preview, live or ended; None if it was never traced, or if they were removed."""
        return self._previews.get(preview_id)

    def forget(self, preview_id: str) -> None:
        """Remove a preview's traces."""
        traces = self._previews.pop(preview_id, None)
        if traces is not None:
            traces.turn(on=False)
            traces.clear()

    def _resized(self, change: int) -> None:
        self._size_bytes += change
        if change <= 0:
            return
        while self._size_bytes > self._most_bytes:
            # The largest one pays, so that a preview's flood does not cost others their traces.
            largest = max(self._previews.values(), key=lambda one: one.size_bytes, default=None)
            if largest is None or not largest.remove_oldest():
                return
