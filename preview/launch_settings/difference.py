"""Comparison of two presets: names and changed values. Of a secret only "same" or "differs" is said."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Any, Literal

from preview.launch_settings.model import StoredSettings
from preview.launch_settings.resolve import open_secrets
from preview.storage import Sealer


@dataclass(frozen=True, slots=True)
class Differing:
    """One variable or start option of two presets.

    Attributes:
        name: Name of the variable; ``start.KEY`` or ``memory_mb`` for an option.
        state: ``same``, ``differs``, or the only one that has it.
        is_secret: True if one of the values is a secret; then no value is shown.
        a: Value of the first; None if it has none or it is a secret.
        b: Value of the second.
    """

    name: str
    state: Literal["same", "differs", "only_a", "only_b"]
    is_secret: bool
    a: Any = None
    b: Any = None


def compare_layers(settings: StoredSettings, a: str | None, b: str | None, sealer: Sealer) -> list[Differing]:
    """Compare what applies to a launch with either preset, by name.

    Args:
        settings: The project's settings.
        a: Name of a preset; None: the project's own settings alone.
        b: The other.
        sealer: Opens secrets to compare them.

    Raises:
        PresetNotFound: There is no such preset.
        SealedTextUnreadable: A key is gone.
    """
    of_a, secrets_a = _effective(settings, a, sealer)
    of_b, secrets_b = _effective(settings, b, sealer)
    return [
        _differing(name, of_a, of_b, is_secret=name in secrets_a or name in secrets_b)
        for name in sorted({*of_a, *of_b})
    ]


def _effective(settings: StoredSettings, preset: str | None, sealer: Sealer) -> tuple[dict[str, Any], set[str]]:
    values: dict[str, Any] = {}
    secrets: set[str] = set()
    for name in (None,) if preset is None else (None, preset):
        layer, opened = settings.layer(name), open_secrets(settings, name, sealer)
        values |= {f"start.{key}": value for key, value in layer.start.items()}
        values |= {} if layer.memory_mb is None else {"memory_mb": layer.memory_mb}
        values |= {**layer.variables, **opened}
        secrets = (secrets - set(layer.variables)) | set(opened)
    return values, secrets


def _differing(name: str, a: dict[str, Any], b: dict[str, Any], *, is_secret: bool) -> Differing:
    if name not in a or name not in b:
        state: Literal["only_a", "only_b"] = "only_a" if name in a else "only_b"
        return Differing(name, state, is_secret, *((None, None) if is_secret else (a.get(name), b.get(name))))
    if is_secret:
        same = hmac.compare_digest(str(a[name]).encode("utf-8", "replace"), str(b[name]).encode("utf-8", "replace"))
        return Differing(name, "same" if same else "differs", True)
    return Differing(name, "same" if a[name] == b[name] else "differs", False, a[name], b[name])
