"""A preview's imported application, kept for restarts of the same code, which are forks of it then.

It costs the memory of one more process, and its import is done once more; so it is made when a preview is restarted for
the first time, and not before that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import trio

from preview.logs import Level
from preview.runtime import NoSnapshot, ProcessSpec, Snapshot
from preview.supervisor.launch.steps import PreparedLaunch
from preview.supervisor.preview.live_preview import LivePreview


@dataclass(eq=False, slots=True)
class KeptSnapshot:
    """One snapshot, and for how long it is needed.

    Attributes:
        prepared: What it was made from: it is of this stage's code alone.
        snapshot: None until it is ready, and where it cannot be had.
        uses: Processes that were started from it and are not over.
        is_retired: Whether nothing more is started from it.
        is_over: Whether it has ended, or could not be had.
        scope: Cancelled, it ends.
    """

    prepared: PreparedLaunch
    snapshot: Snapshot | None = None
    uses: int = 0
    is_retired: bool = False
    is_over: bool = False
    scope: trio.CancelScope = field(default_factory=lambda: trio.CancelScope(shield=True))

    def end_if_unused(self) -> None:
        """Let it end, where nothing is to be started from it and nothing lives that was."""
        if self.is_retired and not self.uses:
            self.scope.cancel()


@contextmanager
def using(kept: KeptSnapshot | None) -> Iterator[Snapshot | None]:
    """Provide the snapshot, which stays while this is open; nothing without one."""
    if kept is None:
        yield None
        return
    kept.uses += 1
    try:
        yield kept.snapshot
    finally:
        kept.uses -= 1
        kept.end_if_unused()


class Snapshots:
    """The snapshots of one preview: one of the code that serves, and older ones for as long as forks of them drain.

    Args:
        preview: Whose.
        nursery: Ends after all processes of the preview.
    """

    def __init__(self, preview: LivePreview, nursery: trio.Nursery) -> None:
        self._preview = preview
        self._nursery = nursery
        self._kept: list[KeptSnapshot] = []

    def of(self, prepared: PreparedLaunch) -> KeptSnapshot | None:
        """Return the snapshot to start a process of this launch from, if it is ready."""
        found = (
            one for one in self._kept if one.prepared is prepared and one.snapshot is not None and not one.is_retired
        )
        return next(found, None)

    def keep(self, prepared: PreparedLaunch, spec: ProcessSpec) -> None:
        """Have one of this stage, soon; those of others are retired.

        Args:
            prepared: What serves now.
            spec: What started it.
        """
        if (
            not prepared.settings.warm_snapshots
            or spec.warm is None
            or any(one.prepared is prepared for one in self._kept)
        ):
            return
        self.retire()
        kept = KeptSnapshot(prepared)
        self._kept = [*(one for one in self._kept if not one.is_over), kept]
        self._nursery.start_soon(self._keep, kept, spec)

    def retire(self) -> None:
        """Nothing more is started from those there are: the code is another one now, or the preview ends."""
        for one in self._kept:
            one.is_retired = True
            one.end_if_unused()

    async def _keep(self, kept: KeptSnapshot, spec: ProcessSpec) -> None:
        """Keep one snapshot. Cancellation: it is gone; once ready, only its scope ends it."""
        began = trio.current_time()
        try:
            async with kept.prepared.runtime.open_snapshot(spec) as snapshot:
                kept.snapshot = snapshot
                took_s = trio.current_time() - began
                self._preview.log.say(f"a snapshot of the imported application is ready ({took_s:.2f} s), for restarts")
                with kept.scope:
                    kept.end_if_unused()
                    await trio.sleep_forever()
        except NoSnapshot as error:
            self._preview.log.say(f"no snapshot for restarts: {error}", Level.INFO)
        finally:
            kept.snapshot, kept.is_retired, kept.is_over = None, True, True
            # A stage that was refused once is not tried again, while it is the one that serves.
            if kept.scope.cancel_called:
                self._kept.remove(kept)
