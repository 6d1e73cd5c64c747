"""The failure records of a trial, of which findings carry the ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from preview.logs.failures.encode import encode_record
from preview.logs.failures.model import FailureRecord
from preview.replay.probe.result import Finding, ProbeResult

# Of the largest records, which the application decides, fewer are kept.
_MOST_BYTES = 1024 * 1024


def attach_failures(result: ProbeResult, records: Sequence[FailureRecord]) -> None:
    """Give each finding the id of its failure, and keep those records in the result, at most 1 MiB of them.

    Args:
        result: A probe at its end.
        records: Failures of its trial.
    """
    kept: dict[str, FailureRecord] = {}
    left = _MOST_BYTES
    for at, finding in enumerate(result.findings):
        record = _record_of(finding, records)
        if record is None:
            continue
        if record.id not in kept:
            size = len(encode_record(record))
            if size > left:
                continue
            left -= size
            kept[record.id] = record
        result.findings[at] = replace(finding, failure=record.id)
    result.failures = list(kept.values())


def _record_of(finding: Finding, records: Sequence[FailureRecord]) -> FailureRecord | None:
    """Return the failure with the finding's error: by its lines, else by its place. Old occurrences are not kept."""
    if finding.error is None:
        return None
    same = [one for one in records if _last_part(one.type) == _last_part(finding.error.partition(":")[0])]
    numbers = [line.seq for line in finding.lines]
    if numbers:
        first, last = min(numbers), max(numbers)
        for record in same:
            if any(one.first_seq <= last and one.last_seq >= first for one in record.occurrences):
                return record
    place = (finding.frame or "").partition(" ")[0]
    return next((one for one in same if place and place == _place_of(one)), None)


def _last_part(name: str) -> str:
    return name.strip().rpartition(".")[2]


def _place_of(record: FailureRecord) -> str:
    return "" if record.frame is None else f"{PurePosixPath(record.frame.path).name}:{record.frame.line}"
