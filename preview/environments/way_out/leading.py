"""Files that installers need to find packages: settings, credentials, certificates, local indexes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

# Paths below the home folder, where programs look for them.
_OWN: Final = (".config/pip", ".config/uv", ".netrc", ".npmrc", ".pip")
_SYSTEM: Final = (Path("/etc/npmrc"), Path("/etc/pip.conf"), Path("/etc/uv"))
_SYSTEM_FILES: Final = tuple(
    map(Path, ("/etc/uv/uv.toml", "/etc/npmrc", "/etc/xdg/uv/uv.toml", "/usr/etc/npmrc", "/usr/local/etc/npmrc"))
)
_NAMED_SETTINGS: Final = frozenset({"uv_config_file", "npm_config_userconfig", "npm_config_globalconfig"})
# Variables and prefixes that name folders of programs, not of packages.
_NOT_PACKAGES: Final = frozenset({"HOME", "PATH", "TMPDIR", "UV_CACHE_DIR", "UV_PYTHON_INSTALL_DIR"})
_NOT_PACKAGES_PREFIXES: Final = ("XDG_", "UV_TOOL_", "UV_PYTHON_BIN", "UV_INSTALL")
_SEPARATORS: Final = re.compile(r"[\s,]+")


def own_settings(environment: Mapping[str, str], home: Path) -> dict[Path, Path]:
    """Return the user's settings for installers: path in another ``home`` to real path."""
    here = environment.get("HOME")
    if not here or not Path(here).is_absolute():
        return {}
    found = {home / name: Path(here, name) for name in _OWN}
    settings = environment.get("XDG_CONFIG_HOME")
    if settings and Path(settings).is_absolute():
        found |= {home / ".config" / name: Path(settings, name) for name in ("pip", "uv")}
    return found


def system_settings() -> tuple[Path, ...]:
    """Return the paths of the machine's settings."""
    return _SYSTEM


def settings_files(environment: Mapping[str, str]) -> list[Path]:
    """Return the files, existing or not, in which uv and npm look for their indexes.

    The project's own files are not among them.
    """
    own = own_settings(environment, Path("/"))
    found = [path / "uv.toml" if path.name == "uv" else path for path in own.values() if path.name in {"uv", ".npmrc"}]
    named = [environment[name] for name in environment if name.lower() in _NAMED_SETTINGS]
    return [*found, *_SYSTEM_FILES, *map(Path, named)]


def named_paths(environment: Mapping[str, str]) -> list[Path]:
    """Return existing files and folders that variables of installers name (``UV_FIND_LINKS`` and so on).

    The home folder and the folders above it are excluded.
    """
    home = Path(environment.get("HOME", "/"))
    named = [
        path
        for name, value in environment.items()
        if name not in _NOT_PACKAGES and not name.startswith(_NOT_PACKAGES_PREFIXES)
        for path in _paths(value)
    ]
    return [path for path in dict.fromkeys(named) if not home.is_relative_to(path) and path.exists()]


def _paths(value: str) -> Iterator[Path]:
    for word in (value, *_SEPARATORS.split(value)):
        # An index may have a name before its URL.
        text = word.partition("=")[2] if re.match(r"^[A-Za-z0-9_.-]+=", word) else word
        text = text.removeprefix("file://").removeprefix("localhost")
        if text.startswith("/") and "\0" not in text:
            yield Path(os.path.normpath(text))
