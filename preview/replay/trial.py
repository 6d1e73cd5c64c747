"""Open a trial preview of a generation, with a copy of the data of its running preview."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from preview.core.lifecycle import State
from preview.detection import Overrides
from preview.generations import Generation, GenerationSource
from preview.service import Service
from preview.supervisor import FirstData, LivePreview, TrialRequest, User

NOW = "now"
"""In place of a snapshot's id: the data of the running preview."""


@dataclass(frozen=True, slots=True)
class TrialOptions:
    """Options of a trial preview.

    Attributes:
        snapshot: Id of the data snapshot to begin with, or ``NOW``. None: ``NOW`` if a preview of the generation runs;
            else the generation's first data, if it has any.
        overrides: Start options in place of those of detection.
        observers: Called with the trial before its first line, as ``SupervisorContext.observers``.
        source: Provides the files of a version of the generation; None: its current files.
    """

    snapshot: str | None = None
    overrides: Overrides | None = None
    observers: Sequence[Callable[[LivePreview], None]] = ()
    source: GenerationSource | None = None


@asynccontextmanager
async def open_trial(
    service: Service, user: User, generation: Generation, options: TrialOptions | None = None
) -> AsyncIterator[LivePreview]:
    """Launch a trial preview and yield it when it serves. Use ``PreviewClient.send`` for its requests.

    A user has at most one trial at a time. It does not count as one of the user's previews, no list shows it, and its
    lines and requests do not enter the records of any preview. It is gone when the context is left.

    Args:
        service: The running service.
        user: The owner of the generation; the caller has checked this.
        generation: The files to run.
        options: See there.

    Raises:
        LimitReached, NoPortFree, ServiceStopping, DiskFull: A limit is reached.
        NoActivePreview, SnapshotNotFound, DataUnavailable: The data cannot be copied.
        LaunchFailed, StartupTimeout, PreviewError: It does not start; ``details`` has its last lines.

    Cancellation: the trial is stopped, and its data deleted, within the stop budget.
    """
    options = options or TrialOptions()
    async with open_trial_data(service, generation, options.snapshot) as data:
        request = TrialRequest(
            user, generation, data, options.overrides, observers=options.observers, source=options.source
        )
        async with service.previews.trials.open(request) as trial:
            yield trial


@asynccontextmanager
async def open_trial_data(
    service: Service, generation: Generation, snapshot: str | None
) -> AsyncIterator[FirstData | None]:
    """Yield a copy of a generation's data, for one trial or for several; None: see ``TrialRequest.first_data``.

    Args:
        service: The running service.
        generation: The generation; the caller has checked its owner.
        snapshot: See ``TrialOptions``.

    Raises:
        NoActivePreview, SnapshotNotFound, DataUnavailable: The data cannot be copied.

    Cancellation: the copy is deleted.
    """
    snapshot = snapshot or (NOW if _runs(service, generation) else None)
    if snapshot is None:
        yield None
        return
    async with service.data.open_first_data(generation, snapshot) as data:
        yield data


def _runs(service: Service, generation: Generation) -> bool:
    preview = service.previews.active(generation.id)
    return preview is not None and preview.record.state is State.RUNNING
