"""Recorded requests: what the service carried to previews, kept for reading, replay and comparison."""

from preview.traffic.record import Capture, Message, Origin, RecordedRequest, Timing, Who

__all__ = ["Capture", "Message", "Origin", "RecordedRequest", "Timing", "Who"]
