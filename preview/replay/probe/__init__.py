"""Probes: valid and unusual requests to a trial preview, and the endpoints that answer them wrongly."""

from preview.replay.probe.prober import Prober, ProbeRequest
from preview.replay.probe.program import has_schemathesis
from preview.replay.probe.result import Finding, FindingKind, ProbeLine, ProbeResult, ProbeState, Row, Step

__all__ = [
    "Finding",
    "FindingKind",
    "ProbeLine",
    "ProbeRequest",
    "ProbeResult",
    "ProbeState",
    "Prober",
    "Row",
    "Step",
    "has_schemathesis",
]
