"""Launch settings of projects: variables, secrets, start options and presets, stored for the next launch."""

from preview.launch_settings.difference import Differing, compare_layers
from preview.launch_settings.envtext import EnvImport, parse_env
from preview.launch_settings.flags import flag_state, toggled
from preview.launch_settings.model import (
    MOST_LAYER_BYTES,
    MOST_PRESETS,
    MOST_VALUE_BYTES,
    MOST_VARIABLES,
    Layer,
    LayerChange,
    SecretValue,
    StoredSettings,
)
from preview.launch_settings.resolve import ACTIVE, NO_SETTINGS, ResolvedSettings
from preview.launch_settings.settings import LaunchSettings

__all__ = [
    "ACTIVE",
    "MOST_LAYER_BYTES",
    "MOST_PRESETS",
    "MOST_VALUE_BYTES",
    "MOST_VARIABLES",
    "NO_SETTINGS",
    "Differing",
    "EnvImport",
    "LaunchSettings",
    "Layer",
    "LayerChange",
    "ResolvedSettings",
    "SecretValue",
    "StoredSettings",
    "compare_layers",
    "flag_state",
    "parse_env",
    "toggled",
]
