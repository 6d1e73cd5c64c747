"""Values of all flags for one launch: what is stored with it, and which settings it gets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from preview.rollout.flags import OF_LAUNCHES, FlagName
from preview.settings import Settings


@dataclass(frozen=True, slots=True)
class Choices:
    """The values of the flags ``OF_LAUNCHES`` for one launch.

    Attributes:
        values: By name. Empty while operators have set none of these flags: then all launches are alike, and nothing is
            stored with them.
        defaults: The values without any flag.
    """

    values: Mapping[FlagName, str] = field(default_factory=dict)
    defaults: Mapping[FlagName, str] = field(default_factory=dict)

    def changed(self, name: FlagName) -> str | None:
        """Return the value of a flag that differs from its default; None if it does not."""
        value = self.values.get(name)
        return None if value == self.defaults.get(name) else value

    @property
    def is_ordinary(self) -> bool:
        """True if the launch can use whatever was prepared for launches without flags."""
        return self.changed(FlagName.ISOLATION) is None and self.changed(FlagName.WARM) is None

    def applied(self, settings: Settings) -> Settings:
        """Return the settings of the launch."""
        changes: dict[str, Any] = {}
        if self.changed(FlagName.WARM) == "cold":
            changes |= {"warm_templates": 0, "warm_snapshots": False}
        if (capture := self.changed(FlagName.CAPTURE)) is not None:
            changes["capture"] = capture
        return settings.model_copy(update=changes) if changes else settings

    @property
    def trace(self) -> bool | None:
        """True or False overrides the project; None leaves the decision to it."""
        value = self.values.get(FlagName.TRACING)
        return {"on": True, "off": False}.get(value or "")

    def as_dict(self) -> dict[str, str]:
        """Return the values by name, as stored with the launch."""
        return {name.value: value for name, value in self.values.items()}


NO_CHOICES: Final = Choices()

BEGINNING: Final = '{"flags": '
"""Beginning of a launch's stored settings with flags; see ``preview.supervisor.preview.launch_settings``."""
BEGINNING_CHARACTERS: Final = 400
"""Characters of the stored settings that have all flags."""
_DECODER: Final = json.JSONDecoder()


def stored_arms(text: str | None) -> dict[str, str]:
    """Return the values of flags in a launch's stored settings, or in their beginning; empty if there are none."""
    if text is None or not text.startswith(BEGINNING):
        return {}
    try:
        found, _ = _DECODER.raw_decode(text[:BEGINNING_CHARACTERS], len(BEGINNING))
    except (ValueError, RecursionError):
        return {}
    known = {name.value for name in OF_LAUNCHES}
    if not isinstance(found, dict):
        return {}
    return {name: value for name, value in found.items() if name in known and isinstance(value, str)}
