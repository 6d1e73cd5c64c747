"""Operations of replay, comparison and checks."""

from __future__ import annotations

from preview import errors, people_errors
from preview.http.contracts import probe, replay
from preview.http.core import bodies, replay_bodies
from preview.http.openapi.model import GONE, ErrorKinds, Operation, Reply


def replay_operations() -> dict[str, Operation]:
    """Describe the routes of replay, comparison and checks."""
    trial: ErrorKinds = (
        errors.InvalidRequest,
        errors.NoActivePreview,
        errors.LimitReached,
        errors.NoPortFree,
        people_errors.IsolationBelowMinimum,
        people_errors.LaunchesStopped,
        errors.DiskFull,
        errors.LaunchFailed,
        errors.StartupTimeout,
        errors.EnvironmentFailed,
        errors.InvalidGeneration,
        errors.DataUnavailable,
        errors.SnapshotNotFound,
        errors.PreviewUnavailable,
        errors.RequestNotFound,
        errors.InvalidFilter,
        errors.GenerationReadOnly,
        errors.VersionNotFound,
        errors.PresetNotFound,
        errors.SealedTextUnreadable,
    )
    file: ErrorKinds = (errors.InvalidRequest, errors.InvalidGeneration, errors.GenerationReadOnly, errors.TooLarge)
    checks = Reply("The checks.", replay.ChecksShape)
    return {
        "replay.several": Operation(Reply("The answers.", replay.ReplayShape), trial, body=replay_bodies.ReplayBody),
        "replay.one": Operation(
            Reply("The answer.", replay.ReplayShape),
            (*trial, people_errors.TooFast),
            body=replay_bodies.OneReplayBody,
        ),
        "replay.compare_": Operation(
            Reply("What differs.", replay.CompareShape), trial, body=replay_bodies.CompareBody
        ),
        "replay.import_": Operation(
            Reply("The requests.", replay.ImportedShape),
            (errors.InvalidRequest, errors.NoActivePreview, errors.TooLarge),
            query=replay_bodies.ImportQuery,
        ),
        "checks.read": Operation(checks, (errors.InvalidRequest,)),
        "checks.write": Operation(checks, file, body=replay_bodies.ChecksBody),
        "checks.run": Operation(Reply("The results.", replay.ChecksRunShape), trial, body=replay_bodies.ChecksRunBody),
        "checks.save": Operation(
            checks,
            (*file, errors.NoActivePreview, errors.RequestNotFound),
            201,
            body=replay_bodies.SaveCheckBody,
        ),
    }


def probe_operations() -> dict[str, Operation]:
    """Describe the routes of probes."""
    shown = Reply(
        "The running probe, or the last one; as Server-Sent Events with `probe`, `end` and `expired`.",
        probe.ProbeShape,
        further_kinds=("text/event-stream",),
        event=probe.ProbeShape,
    )
    return {
        "probes.start": Operation(Reply("The probe.", probe.ProbeShape), status=202, body=bodies.ProbeBody),
        "probes.last": Operation(shown, (errors.ProbeNotFound, errors.TooManyStreams)),
        "probes.stop": Operation(GONE, status=204),
    }
