"""The engine's unix socket: the operator's, or the one that this user has."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from preview.errors import ConfigurationError

_SCHEME = "unix://"


def usual_sockets() -> Sequence[Path]:
    """Return the usual sockets of engines, those without the rights of root first."""
    own = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")
    return (
        own / "podman" / "podman.sock",
        own / "docker.sock",
        Path("/run/podman/podman.sock"),
        Path("/run/docker.sock"),
    )


def is_named(setting: str) -> bool:
    """Return whether the operator has named an engine, so that single launches may ask for a container."""
    return setting not in ("auto", "off")


def engine_socket(setting: str, usual: Sequence[Path] | None = None) -> Path | None:
    """Return the socket that ``PREVIEW_CONTAINER_ENGINE`` names; None if it is ``off``, or none was found.

    Args:
        setting: ``auto``, ``off``, or ``unix:///PATH``.
        usual: Sockets to try for ``auto``, best first.

    Raises:
        ConfigurationError: The setting is none of these.
    """
    if setting == "off":
        return None
    if setting == "auto":
        return next(filter(_is_usable, usual_sockets() if usual is None else usual), None)
    path = setting.removeprefix(_SCHEME)
    if not setting.startswith(_SCHEME) or not path.startswith("/"):
        raise ConfigurationError(
            "PREVIEW_CONTAINER_ENGINE is no local socket: write unix:///PATH of the engine's socket, auto or off."
        )
    return Path(path)


def _is_usable(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.stat().st_mode) and os.access(path, os.R_OK | os.W_OK)
    except OSError:
        return False
