"""Recorded requests: what the service carried to previews, kept for reading, replay and comparison."""

from preview.traffic.direct import REPORT, DirectReports
from preview.traffic.draft import Draft, DraftMessage
from preview.traffic.measurements import Durations, KeptSeries, PreviewSeries, SeriesKeeper, findings
from preview.traffic.preview_traffic import PreviewTraffic, unrecorded
from preview.traffic.record import BODY_BYTES, Capture, Message, Origin, RecordedRequest, Timing, Who
from preview.traffic.redaction import keeps_body
from preview.traffic.store import RequestPage, TrafficStore
from preview.traffic.writer import TrafficWriter, run_traffic_writer

__all__ = [
    "BODY_BYTES",
    "REPORT",
    "Capture",
    "DirectReports",
    "Draft",
    "DraftMessage",
    "Durations",
    "KeptSeries",
    "Message",
    "Origin",
    "PreviewSeries",
    "PreviewTraffic",
    "RecordedRequest",
    "RequestPage",
    "SeriesKeeper",
    "Timing",
    "TrafficStore",
    "TrafficWriter",
    "Who",
    "findings",
    "keeps_body",
    "run_traffic_writer",
    "unrecorded",
]
