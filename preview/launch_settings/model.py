"""Launch settings of one project as values: layers, and their checks and bounds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from preview.core.quoting import quoted
from preview.detection import Origin, overrides_of
from preview.errors import InvalidRequest, PresetNotFound, SettingsLimitReached

MOST_VARIABLES: Final = 200
"""Variables and secrets of one layer."""
MOST_VALUE_BYTES: Final = 32 * 1024
"""Size of one value in UTF-8. Linux passes at most 128 KiB (execve(2), MAX_ARG_STRLEN)."""
MOST_LAYER_BYTES: Final = 64 * 1024
"""Size of all names and values of a layer, as of a launch request's body."""
MOST_PRESETS: Final = 20
"""Presets of one project."""
LEAST_MEMORY_MB: Final = 32
MOST_MEMORY_MB: Final = 1024 * 1024
_MOST_NAME: Final = 128
_PRESET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class SecretValue:
    """A secret in clear, only on its way into the database or into a preview. Its text never shows the value."""

    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Layer:
    """Settings of a project, or those of a preset that lies over them.

    Attributes:
        variables: Values by name.
        secrets: Sealed values by name; no name is in both.
        start: Keys of the table ``[start]`` of ``preview.toml``.
        memory_mb: Memory limit in MiB; None: the service's.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    start: Mapping[str, Any] = field(default_factory=dict)
    memory_mb: int | None = None


@dataclass(frozen=True, slots=True)
class LayerChange:
    """A change of one layer. Everything that it does not name stays.

    Attributes:
        set_values: Values by name. A name that is a secret is refused: see ``set_secrets``.
        set_secrets: Secrets by name; a variable of the name becomes a secret.
        unset: Names of variables and secrets to remove; missing ones are ignored.
        is_whole: Remove all variables that ``set_values`` does not name. Secrets stay.
        start: New start options; None leaves them.
        memory_mb: New memory limit; 0 removes it, None leaves it.
    """

    set_values: Mapping[str, str] = field(default_factory=dict)
    set_secrets: Mapping[str, SecretValue] = field(default_factory=dict)
    unset: tuple[str, ...] = ()
    is_whole: bool = False
    start: Mapping[str, Any] | None = None
    memory_mb: int | None = None


@dataclass(frozen=True, slots=True)
class StoredSettings:
    """All launch settings of one user's project.

    Attributes:
        user_id: The owner. Users choose the ids of their projects, so another user may have a project of this id.
        project_id: The project.
        revision: Counts the changes; 0 if nothing was ever stored.
        base: The project's own settings.
        presets: Further layers by name, in the order of their creation.
        active: Name of the preset that applies to launches; None: only the project's own settings.
    """

    user_id: str
    project_id: str
    revision: int = 0
    base: Layer = field(default_factory=Layer)
    presets: Mapping[str, Layer] = field(default_factory=dict)
    active: str | None = None

    def layer(self, preset: str | None) -> Layer:
        """Return a preset, or the project's own settings for None.

        Raises:
            PresetNotFound: There is no preset of this name.
        """
        if preset is None:
            return self.base
        if preset not in self.presets:
            names = ", ".join(self.presets) or "there is none"
            raise PresetNotFound(f"The project has no preset {quoted(preset)} ({names}).")
        return self.presets[preset]


def check_preset_name(name: str) -> None:
    """Check the name of a new preset.

    Raises:
        InvalidRequest: It is not one.
    """
    if not _PRESET.fullmatch(name):
        raise InvalidRequest(
            f"{quoted(name)} cannot be a preset's name; use letters, digits, '.', '_' and '-', 64 at most.",
            field="name",
        )


def check_values(values: Mapping[str, str]) -> None:
    """Check names and values of variables, by the rules of ``env`` in a launch request.

    Raises:
        InvalidRequest: A name or a value is wrong, or too long. The message has no value.
    """
    for name, value in values.items():
        try:
            size = len(value.encode())
        except UnicodeEncodeError:
            raise InvalidRequest(f"The value of {quoted(name)} is not valid text.", field=name) from None
        if len(name) > _MOST_NAME:
            raise InvalidRequest(f"A variable's name may have at most {_MOST_NAME} characters.", field="name")
        if size > MOST_VALUE_BYTES:
            raise InvalidRequest(
                f"The value of {quoted(name)} has {size} bytes; the maximum is {MOST_VALUE_BYTES}.", field=name
            )
        if "\0" in value:
            # Here, because an error of the next check quotes the value.
            raise InvalidRequest(f"The value of {quoted(name)} has a NUL character.", field=name)
    overrides_of({"env": dict.fromkeys(values, "")}, Origin.SETTINGS, "The settings")


def check_start(start: Mapping[str, Any]) -> None:
    """Check start options, by the rules of the table ``[start]``.

    Raises:
        InvalidRequest: A key or a value is wrong.
    """
    overrides_of({"start": dict(start)}, Origin.SETTINGS, "The settings")


def check_memory(memory_mb: int) -> None:
    """Check a memory limit in MiB.

    Raises:
        InvalidRequest: It is too small or too large for any machine.
    """
    if not LEAST_MEMORY_MB <= memory_mb <= MOST_MEMORY_MB:
        raise InvalidRequest(
            f"memory_mb is {memory_mb}; it may be {LEAST_MEMORY_MB} to {MOST_MEMORY_MB}, or 0 for the service's own.",
            field="memory_mb",
        )


def check_bounds(variables: Mapping[str, str], sizes: Mapping[str, int]) -> None:
    """Check the size of a layer.

    Args:
        variables: Its variables.
        sizes: Bytes of its secrets, by name.

    Raises:
        SettingsLimitReached: It is too large; ``details`` has the limit.
    """
    count = len(variables) + len(sizes)
    if count > MOST_VARIABLES:
        raise SettingsLimitReached(
            f"These are {count} variables, and {MOST_VARIABLES} are allowed; remove those that are not used.",
            limit=MOST_VARIABLES,
        )
    size = sum(len(name) + len(value.encode()) for name, value in variables.items())
    size += sum(len(name) + one for name, one in sizes.items())
    if size > MOST_LAYER_BYTES:
        raise SettingsLimitReached(
            f"Names and values have {size} bytes in total; the maximum is {MOST_LAYER_BYTES}. Keep large values in "
            "a file of the project.",
            limit=MOST_LAYER_BYTES,
        )
