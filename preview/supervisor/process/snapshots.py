"""Snapshots of a preview's imported application; restarts of the same code are forked from them.

A snapshot costs the memory of one more process and one more import. So it is made at a preview's first restart, not
before.
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

# Delay of a snapshot after the restart that it follows: its import would compete with the new process for the
# processor, while that answers its first requests.
_CALM_S = 0.5


@dataclass(eq=False, slots=True)
class KeptSnapshot:
    """One snapshot, and how long it is needed.

    Attributes:
        prepared: Prepared launch that it was made from; it is valid for this launch's code only.
        snapshot: None until it is ready, and if it could not be made.
        uses: Number of live processes that were started from it.
        is_retired: True if no process is started from it any more.
        over: Set when it has ended or could not be made.
        scope: Cancelling this scope ends it.
    """

    prepared: PreparedLaunch
    snapshot: Snapshot | None = None
    uses: int = 0
    is_retired: bool = False
    over: trio.Event = field(default_factory=trio.Event)
    scope: trio.CancelScope = field(default_factory=lambda: trio.CancelScope(shield=True))

    @property
    def is_spent(self) -> bool:
        """True once no further process can be started from it."""
        return self.snapshot is not None and self.snapshot.is_spent

    @property
    def is_usable(self) -> bool:
        """True if a process can be started from it."""
        return self.snapshot is not None and not self.is_retired and not self.is_spent

    def end_if_unused(self) -> None:
        """End the snapshot if it is retired and no live process was started from it."""
        if self.is_retired and not self.uses:
            self.scope.cancel()


@contextmanager
def using(kept: KeptSnapshot | None) -> Iterator[Snapshot | None]:
    """Yield the snapshot and count a use while the context is open; yields None without one."""
    if kept is None:
        yield None
        return
    kept.uses += 1
    try:
        yield kept.snapshot
    finally:
        kept.uses -= 1
        if kept.is_spent:
            kept.is_retired = True
        kept.end_if_unused()


class Snapshots:
    """The snapshots of one preview: one of the serving code, and older ones while their forks drain.

    Args:
        preview: The preview.
        nursery: Must end after all processes of the preview.
    """

    def __init__(self, preview: LivePreview, nursery: trio.Nursery) -> None:
        self._preview = preview
        self._nursery = nursery
        self._kept: list[KeptSnapshot] = []
        # The launch whose snapshot the log has named; without control groups each restart takes another.
        self._told: PreparedLaunch | None = None

    def of(self, prepared: PreparedLaunch) -> KeptSnapshot | None:
        """Return the snapshot to start a process of this launch from, if it is ready."""
        return next((one for one in self._kept if one.prepared is prepared and one.is_usable), None)

    @property
    def is_making(self) -> bool:
        """True while one is awaited or imports the application; then it stands still until it is forked."""
        return any(one.snapshot is None and not one.over.is_set() for one in self._kept)

    def keep(self, prepared: PreparedLaunch, spec: ProcessSpec) -> None:
        """Start to make a snapshot of this launch, and retire all others.

        Args:
            prepared: Prepared launch that serves now.
            spec: Spec of the process that serves now.
        """
        if (
            not prepared.settings.warm_snapshots
            or spec.warm is None
            or any(one.prepared is prepared and not one.is_spent for one in self._kept)
        ):
            return
        self.retire()
        kept = KeptSnapshot(prepared)
        self._kept = [*(one for one in self._kept if not one.over.is_set()), kept]
        self._nursery.start_soon(self._keep, kept, spec)

    def retire(self) -> None:
        """Retire all snapshots, because the code has changed or the preview ends."""
        for one in self._kept:
            one.is_retired = True
            one.end_if_unused()

    async def wait_retired(self) -> None:
        """Wait until no retired snapshot's processes run; all processes that use one must have ended.

        Cancellation: they end nevertheless.
        """
        for one in [one for one in self._kept if one.is_retired]:
            await one.over.wait()

    async def _keep(self, kept: KeptSnapshot, spec: ProcessSpec) -> None:
        """Run one snapshot. Cancellation: it is gone; once ready, only its scope ends it."""
        try:
            await trio.sleep(_CALM_S)
            if kept.is_retired:
                return
            began = trio.current_time()
            async with kept.prepared.runtime.open_snapshot(spec) as snapshot:
                kept.snapshot = snapshot
                took_s = trio.current_time() - began
                if self._told is not kept.prepared:
                    self._told = kept.prepared
                    said = f"a snapshot of the imported application is ready ({took_s:.2f} s), for restarts"
                    self._preview.log.say(said)
                with kept.scope:
                    kept.end_if_unused()
                    await trio.sleep_forever()
        except NoSnapshot as error:
            self._preview.log.say(f"no snapshot for restarts: {error}", Level.INFO)
        finally:
            kept.snapshot, kept.is_retired = None, True
            kept.over.set()
            # A launch whose snapshot failed stays listed, so that it is not tried again while the launch serves.
            if kept.scope.cancel_called:
                self._kept.remove(kept)
