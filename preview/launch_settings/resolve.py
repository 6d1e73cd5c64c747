"""Precedence of launch settings: detection < preview.toml < project settings < preset < launch request.

The first two are merged by detection itself; this module makes the rest into one ``Overrides``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Final

from preview.detection import Origin, Overrides, merge, overrides_of
from preview.launch_settings.model import Layer, StoredSettings
from preview.settings import Settings
from preview.storage import Sealer

ACTIVE: Final = "*"
"""In place of a preset's name: the one that is active."""


@dataclass(frozen=True, slots=True)
class ResolvedSettings:
    """The settings that a launch uses, with secrets in clear. Kept in memory alone.

    Attributes:
        overrides: Start options and variables.
        memory_mb: Memory limit in MiB; None: the service's.
        preset: The preset among them.
        digest: Equal if the overrides are.
        secrets: Values to remove from recorded requests.
    """

    overrides: Overrides = field(default_factory=Overrides, repr=False)
    memory_mb: int | None = None
    preset: str | None = None
    digest: bytes = field(default=b"", repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def under(self, request: Overrides | None) -> Overrides | None:
        """Return the overrides of a launch with this request; None if there are none."""
        merged = self.overrides if request is None else merge(self.overrides, request)
        return None if merged.is_empty else merged

    def limited(self, settings: Settings) -> Settings:
        """Return the service's settings with the project's memory limit, which can only be lower."""
        if self.memory_mb is None or self.memory_mb >= settings.memory_limit_mb:
            return settings
        return settings.model_copy(update={"memory_limit_mb": self.memory_mb})


NO_SETTINGS: Final = ResolvedSettings()


def resolve(settings: StoredSettings, sealer: Sealer, preset: str | None = ACTIVE) -> ResolvedSettings:
    """Return what applies to a launch.

    Args:
        settings: The project's settings.
        sealer: Opens its secrets.
        preset: Name of the preset; None: none; ``ACTIVE``: the active one.

    Raises:
        PresetNotFound: There is no such preset.
        SealedTextUnreadable: A secret's key is gone; the message names the secret's setting.
    """
    name = settings.active if preset == ACTIVE else preset
    layers = [(None, settings.base)] + ([] if name is None else [(name, settings.layer(name))])
    overrides, memory_mb = Overrides(), None
    values: dict[str, str] = {}
    for layer_name, layer in layers:
        secrets = open_secrets(settings, layer_name, sealer)
        overrides = merge(overrides, _overrides(layer_name, layer, secrets))
        memory_mb = layer.memory_mb or memory_mb
        values |= secrets
    if overrides.is_empty:
        return replace(NO_SETTINGS, preset=name, memory_mb=memory_mb)
    digest = sha256(repr(overrides).encode("utf-8", "surrogatepass")).digest()
    return ResolvedSettings(overrides, memory_mb, name, digest, tuple(values.values()))


def open_secrets(settings: StoredSettings, preset: str | None, sealer: Sealer) -> dict[str, str]:
    """Return a layer's secrets in clear.

    Raises:
        PresetNotFound: There is no such preset.
        SealedTextUnreadable: A key is gone.
    """
    sealed = settings.layer(preset).secrets
    return {name: sealer.open(text, place_of(settings, preset, name)) for name, text in sealed.items()}


def place_of(settings: StoredSettings, preset: str | None, name: str) -> str:
    """Return the place that a secret is sealed for: it cannot be moved to another user, project, preset or name."""
    where = json.dumps([settings.user_id, settings.project_id, preset, name])
    return f"launch setting {name}:{where}"


def _overrides(preset: str | None, layer: Layer, secrets: Mapping[str, str]) -> Overrides:
    origin, where = (Origin.SETTINGS, "project settings") if preset is None else (Origin.PRESET, f"preset {preset}")
    start = overrides_of({"start": dict(layer.start)}, origin, "The project's settings")
    made = overrides_of({"env": {**layer.variables, **secrets}}, origin, "The project's settings")
    variables = {
        name: replace(one, where=where, secret=name in secrets or one.secret) for name, one in made.variables.items()
    }
    return replace(start, variables=variables)
