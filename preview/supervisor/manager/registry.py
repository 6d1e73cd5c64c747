"""Who is alive: every live preview by generation and by id, and whether there is space for one more."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from preview.errors import AlreadyRunning, LimitReached, NoActivePreview
from preview.settings import Tier
from preview.supervisor.preview.confinement import Confinement
from preview.supervisor.preview.live_preview import LivePreview
from preview.user import User

# Whoever asks for an older preview is told its reason alone.
_MAX_HELD = 1000


class PreviewRegistry:
    """The live previews. All of it is synchronous, so that a check and its claim are one step (guarantee 7).

    Invariants: ``_active`` holds one preview a generation, from the claim until nothing of it is left; ``_by_id`` holds
    the same previews.

    Args:
        max_previews: How many may live at once in the whole service.
    """

    def __init__(self, max_previews: int) -> None:
        self._max_previews = max_previews
        self._active: dict[str, LivePreview] = {}
        self._by_id: dict[str, LivePreview] = {}
        # Of previews that are over, the oldest first; bounded.
        self._held: dict[str, Confinement] = {}

    @property
    def by_id(self) -> Mapping[str, LivePreview]:
        """Every live preview by its id; a view, not a copy."""
        return MappingProxyType(self._by_id)

    @property
    def ports(self) -> set[int]:
        """Those held by the live previews: one that listens by itself holds its port without our listening."""
        return {one.record.port for one in self._by_id.values() if one.record.port is not None}

    def of(self, generation_id: str) -> LivePreview | None:
        """The generation's live preview."""
        return self._active.get(generation_id)

    def require(self, generation_id: str) -> LivePreview:
        """As ``of``.

        Raises:
            NoActivePreview: There is none.
        """
        preview = self._active.get(generation_id)
        if preview is None:
            raise no_active_preview(generation_id)
        return preview

    def check_free(self, user: User, generation_id: str, tier: Tier) -> None:
        """Make sure that this user may launch this generation now.

        Raises:
            AlreadyRunning: The generation has a live preview; ``details`` names it.
            LimitReached: The user's tier or the service allows no more; ``details`` says what would free a place.
        """
        taken = self._active.get(generation_id)
        if taken is not None:
            raise AlreadyRunning(
                f"The generation {generation_id!r} already has the preview {taken.id} ({taken.record.state}); "
                "use it, or stop it first.",
                preview_id=taken.id,
                generation_id=generation_id,
            )
        held = [preview.record for preview in self._active.values() if preview.record.user_id == user.id]
        if len(held) >= tier.max_previews:
            raise LimitReached(
                f"The {tier.name} tier allows {tier.max_previews} preview(s) at a time; stop {held[0].id} "
                f"of the generation {held[0].generation_id!r} first.",
                limit=tier.max_previews,
                tier=tier.name,
                previews=[{"preview_id": one.id, "generation_id": one.generation_id} for one in held],
            )
        if len(self._active) >= self._max_previews:
            raise LimitReached(
                f"The service runs {len(self._active)} previews and may run no more (PREVIEW_MAX_PREVIEWS); "
                "try again when one has ended.",
                limit=self._max_previews,
                previews=[],
            )

    def add(self, preview: LivePreview) -> None:
        """Claim the generation's place; ``check_free`` has said that it is free."""
        self._active[preview.record.generation_id] = self._by_id[preview.id] = preview

    def remove(self, preview: LivePreview) -> None:
        """Free the place: nothing of the preview is left."""
        del self._active[preview.record.generation_id], self._by_id[preview.id]
        if preview.confinement is not None:
            self._held[preview.id] = preview.confinement
            if len(self._held) > _MAX_HELD:
                del self._held[next(iter(self._held))]

    def confinement(self, preview_id: str) -> Confinement | None:
        """What a preview is isolated by, or was; None where that is not known (any more)."""
        preview = self._by_id.get(preview_id)
        return self._held.get(preview_id) if preview is None else preview.confinement


def no_active_preview(generation_id: str) -> NoActivePreview:
    """The error of who asks for a live preview where there is none."""
    return NoActivePreview("No active preview for this generation", generation_id=generation_id)
