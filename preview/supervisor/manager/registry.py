"""Registry of live previews by generation and id, with its limits; and each user's launch rate."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import trio

from preview.core.bounded_dict import BoundedDict
from preview.core.lifecycle import State
from preview.errors import AlreadyRunning, LimitReached, NoActivePreview, PreviewError, TooManyLaunches
from preview.runtime import ProcessIdentity
from preview.runtime.process.ending import give_way
from preview.settings import Tier
from preview.supervisor.preview.confinement import Confinement
from preview.supervisor.preview.live_preview import LivePreview
from preview.user import User

# Error details repeat at most one screen of lines; the log has them all.
_LAST_LINES = 20
_TIER_SETTINGS: Mapping[str, str] = MappingProxyType(
    {"pro": "PREVIEW_MAX_INSTANCES_PRO", "enterprise": "PREVIEW_MAX_INSTANCES_ENTERPRISE"}
)
# Maximum number of ended previews whose confinement stays known; of older ones only the reason is stored.
_MAX_HELD = 1000


class Adoptions:
    """Previews of the cluster's queue that this node takes: each from before the take until it is live here, or is not.

    Synchronous but for ``wait``.
    """

    def __init__(self) -> None:
        self._over: dict[str, trio.Event] = {}
        self._generations: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._over)

    def begin(self, preview_id: str) -> None:
        """Note that this node takes a preview."""
        self._over.setdefault(preview_id, trio.Event())

    def name(self, preview_id: str, generation_id: str) -> None:
        """Note the generation of a preview, once it is known: nothing else may claim it here."""
        self._generations[generation_id] = preview_id

    def end(self, preview_id: str) -> None:
        """Note that a preview is live here, or is left to others."""
        self._generations = {one: held for one, held in self._generations.items() if held != preview_id}
        if (over := self._over.pop(preview_id, None)) is not None:
            over.set()

    def __contains__(self, preview_id: object) -> bool:
        return preview_id in self._over

    def of(self, generation_id: str) -> str | None:
        """Return the preview of a generation that is being adopted, or None."""
        return self._generations.get(generation_id)

    async def wait(self, preview_id: str | None) -> bool:
        """Wait for the end of an adoption. Returns False if there is none. Cancellation: it goes on."""
        over = self._over.get(preview_id or "")
        if over is not None:
            await over.wait()
        return over is not None


class PreviewRegistry:
    """The live previews. All methods are synchronous, so that a check and its claim are atomic (guarantee 7).

    Invariants: ``_active`` has at most one preview per generation, from its claim until all its resources are released.
    ``_by_id`` has the same previews.

    Args:
        max_previews: Maximum number of live previews in the whole service.

    Attributes:
        adoptions: Previews that this node takes from the queue of a cluster.
    """

    def __init__(self, max_previews: int) -> None:
        self._max_previews = max_previews
        self._active: dict[str, LivePreview] = {}
        self._by_id: dict[str, LivePreview] = {}
        # Trial previews by user; no list and no lookup finds them.
        self._trials: dict[str, LivePreview] = {}
        self.adoptions = Adoptions()
        # Confinements of ended previews, by id; drops the oldest.
        self._held: BoundedDict[str, Confinement] = BoundedDict(_MAX_HELD)

    @property
    def by_id(self) -> Mapping[str, LivePreview]:
        """All live previews by id; a view, not a copy."""
        return MappingProxyType(self._by_id)

    @property
    def ports(self) -> set[int]:
        """Ports of live previews; a program may use its port without the service listening on it."""
        return {one.record.port for one in (*self._by_id.values(), *self.trials) if one.record.port is not None}

    @property
    def trials(self) -> tuple[LivePreview, ...]:
        """All trial previews."""
        return tuple(self._trials.values())

    def of(self, generation_id: str) -> LivePreview | None:
        """Return the generation's live preview, or None."""
        return self._active.get(generation_id)

    def has(self, preview_id: str) -> bool:
        """Return whether the preview is live here, or this node is taking it."""
        return preview_id in self._by_id or preview_id in self.adoptions

    def require(self, generation_id: str) -> LivePreview:
        """Return the generation's live preview.

        Raises:
            NoActivePreview: The generation has no live preview.
        """
        preview = self._active.get(generation_id)
        if preview is None:
            raise no_active_preview(generation_id)
        return preview

    def check_not_live(self, generation_id: str) -> None:
        """Check that the generation has no preview here.

        Raises:
            AlreadyRunning: It has one; ``details`` has its id.
        """
        taken = self._active.get(generation_id)
        if taken is not None:
            raise _already_running(generation_id, taken.id, taken.record.state)
        if (adopted := self.adoptions.of(generation_id)) is not None:
            raise _already_running(generation_id, adopted, State.STARTING)

    def check_free(self, user: User, generation_id: str, tier: Tier) -> None:
        """Check that this user may launch this generation now.

        Raises:
            AlreadyRunning: The generation has a live preview; ``details`` has its id.
            LimitReached: The limit of the user's tier or of the service; ``details`` lists previews that could be
                stopped.
        """
        self.check_not_live(generation_id)
        held = [preview.record for preview in self._active.values() if preview.record.user_id == user.id]
        if len(held) >= tier.max_previews:
            setting = _TIER_SETTINGS.get(tier.name, "PREVIEW_MAX_INSTANCES_PER_USER")
            raise LimitReached(
                f"The {tier.name} tier allows {tier.max_previews} preview(s) at a time; stop {held[0].id} "
                f"of the generation {held[0].generation_id!r} first. The operator can change this limit "
                f"({setting}).",
                limit=tier.max_previews,
                tier=tier.name,
                setting=setting,
                previews=[{"preview_id": one.id, "generation_id": one.generation_id} for one in held],
            )
        if len(self._active) >= self._max_previews:
            raise LimitReached(
                f"The service is already running {len(self._active)} previews, the maximum (PREVIEW_MAX_PREVIEWS); "
                "try again when one has ended.",
                limit=self._max_previews,
                previews=[],
            )

    def add(self, preview: LivePreview) -> None:
        """Register a preview; ``check_free`` must have succeeded."""
        self._active[preview.record.generation_id] = self._by_id[preview.id] = preview

    def remove(self, preview: LivePreview) -> None:
        """Unregister a preview whose resources are all released. Entries of another preview stay."""
        if self._active.get(preview.record.generation_id) is preview:
            del self._active[preview.record.generation_id]
        if self._by_id.get(preview.id) is preview:
            del self._by_id[preview.id]
        if preview.confinement is not None:
            self._held[preview.id] = preview.confinement

    def check_trial(self, user: User, most: int) -> None:
        """Check that this user may launch a trial preview now.

        Raises:
            LimitReached: The user has one, or the service has ``most``.
        """
        if user.id in self._trials:
            raise LimitReached(
                "You already have a trial preview (a replay, comparison, probe or check); wait for its end.", limit=1
            )
        if len(self._trials) >= most:
            raise LimitReached(
                f"The service is already running {most} trial previews, the maximum (PREVIEW_TRIALS); try again soon.",
                limit=most,
            )

    def add_trial(self, preview: LivePreview) -> None:
        """Register a trial preview; ``check_trial`` must have succeeded."""
        self._trials[preview.record.user_id] = preview

    def remove_trial(self, preview: LivePreview) -> None:
        """Unregister a trial preview whose resources are all released."""
        del self._trials[preview.record.user_id]

    def confinement(self, preview_id: str) -> Confinement | None:
        """Return a preview's confinement, live or ended; None if unknown."""
        preview = self._by_id.get(preview_id)
        return self._held.get(preview_id) if preview is None else preview.confinement


def _already_running(generation_id: str, preview_id: str, state: State) -> AlreadyRunning:
    return AlreadyRunning(
        f"The generation {generation_id!r} already has the preview {preview_id} ({state}); use it, or stop it first.",
        preview_id=preview_id,
        generation_id=generation_id,
    )


def no_active_preview(generation_id: str) -> NoActivePreview:
    """Return the error for a missing live preview."""
    return NoActivePreview("No active preview for this generation", generation_id=generation_id)


def with_last_lines(cause: PreviewError, preview: LivePreview) -> PreviewError:
    """Return the same error with the preview's id and last lines in its details."""
    details = {**cause.details, "preview_id": preview.id, "last_lines": preview.last_lines(_LAST_LINES)}
    return type(cause)(cause.message, **details)


_WINDOW_S = 60.0


class LaunchRate:
    """Counts launches by user. Synchronous, so that a check and the following claim are atomic.

    Args:
        per_minute: Maximum number of launches per user within any minute.
    """

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        # Start times of the last minute's launches; users without any are removed.
        self._started: dict[str, deque[float]] = {}

    def check(self, user_id: str) -> None:
        """Check that this user may launch now, without counting a launch.

        Raises:
            TooManyLaunches: The user has reached the limit.
        """
        now = trio.current_time()
        self._forget(now)
        started = self._started.get(user_id)
        if started and len(started) >= self._per_minute:
            wait_s = max(1, math.ceil(started[0] + _WINDOW_S - now))
            raise TooManyLaunches(
                f"You have launched {len(started)} times within a minute, the maximum; try again in {wait_s} s.",
                limit=self._per_minute,
                retry_after_s=wait_s,
            )

    def take(self, user_id: str) -> None:
        """Count a launch that starts now.

        Raises:
            TooManyLaunches: See ``check``; nothing is counted.
        """
        self.check(user_id)
        self._started.setdefault(user_id, deque()).append(trio.current_time())

    def _forget(self, now: float) -> None:
        for user_id in list(self._started):
            started = self._started[user_id]
            while started and started[0] <= now - _WINDOW_S:
                started.popleft()
            if not started:
                del self._started[user_id]


def lower_preview_priority(previews: Iterable[LivePreview]) -> None:
    """Give the service priority over previews that are about to end.

    Previews in a control group with a CPU limit are skipped: the service already has its share.
    """
    give_way(leader for one in previews if (leader := _leader_without_group(one)) is not None)


def _leader_without_group(preview: LivePreview) -> ProcessIdentity | None:
    record, confinement = preview.record, preview.confinement
    if preview.exit is not None or confinement is None or "cpu" in confinement.held:
        return None
    if record.pid is None or record.pid_start_ticks is None or record.boot_id is None:
        return None
    return ProcessIdentity(record.pid, record.pid_start_ticks, record.boot_id)
