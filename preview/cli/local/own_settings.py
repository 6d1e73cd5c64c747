"""Settings of a service that runs in this process for one command."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from preview.cli.data_folder import RUN_SETTINGS
from preview.cli.exits import CommandFailed
from preview.core.env_file import EnvFile
from preview.core.isolation import Isolation
from preview.core.key_file import make_private_folder
from preview.settings import Settings, load_settings, settings_in, variable_of

# The user ends the preview; this limit is for a forgotten terminal.
_LIFE_S = 8 * 3600.0


def operators_data_folder(file: EnvFile | None) -> Path:
    """Return the operator's data folder, created private if necessary.

    Raises:
        CommandFailed: The folder cannot be created.
    """
    data_dir = load_settings(file).data_dir
    try:
        make_private_folder(data_dir)
    except OSError as error:
        raise CommandFailed(
            f"The data folder {data_dir} cannot be used ({error.strerror}); set PREVIEW_DATA_DIR to one you can write."
        ) from error
    return data_dir


def own_settings(slot: Path, held: Mapping[str, object], file: EnvFile | None, *, is_watched: bool) -> Settings:
    """Return the operator's settings with a separate data folder: SQLite, its own secret, one user."""
    usual: dict[str, object] = {
        "max_uptime_s": _LIFE_S,
        "inactive_timeout_s": _LIFE_S,
        # A single launch gains nothing from a template; with --watch, each saved file causes another start.
        "warm_templates": int(is_watched),
        # No other launches follow.
        "spares": 0,
        # The project belongs to its user. Platforms that launch others' projects set their own isolation.
        "isolation": Isolation.TRUSTED,
    }
    given = os.environ.keys() | {variable_of(name) for name in settings_in(file)}
    own = {name: value for name, value in usual.items() if variable_of(name) not in given}
    return load_settings(
        file,
        data_dir=slot,
        **(dict(RUN_SETTINGS) | own | dict(held)),
    )
