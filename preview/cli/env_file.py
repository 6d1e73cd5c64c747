"""The line that says which settings come from a `.env` file."""

from __future__ import annotations

from preview.cli.terminal import say
from preview.core.env_file import EnvFile
from preview.settings import settings_in, variable_of


def settings_line(file: EnvFile | None) -> str | None:
    """Where settings were read from, and which; None where none were. Names only: values may be secrets."""
    names = [variable_of(name) for name in settings_in(file)]
    return f"{file} ({', '.join(names)})" if names else None


def warn_of_skipped(file: EnvFile | None) -> None:
    """Say on stderr that a file was not read, and why."""
    if file is not None and file.skipped is not None:
        say(f"preview: the settings file {file} is not read: {file.skipped}")
