"""The operator's ``.env`` file: its ``PREVIEW_*`` variables, read once at the start, if the file can be trusted.

The author of that file configures the service: isolation, secrets, the interpreter. So the file counts only in the
working directory of one of the service's own commands, and only if this user or root owns it.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dotenv.parser import parse_stream

from preview.core.portable import HAS_MODES, O_NONBLOCK, own_uid
from preview.errors import ConfigurationError

_NAME = ".env"
_PREFIX = "PREVIEW_"
# Four times the size of a file with every setting and a comment for each.
_MAX_BYTES = 256 * 1024


class MisreadEnv(ValueError):
    """A text is not one of a ``.env`` file. The message is a clause without any value."""


@dataclass(frozen=True, slots=True)
class EnvFile:
    """A ``.env`` file that was found.

    Attributes:
        path: Absolute path.
        values: Its ``PREVIEW_*`` variables, names in upper case; empty if ``skipped`` is set.
        skipped: Reason why the file was not read; None if it was read.
    """

    path: Path
    values: Mapping[str, str] = field(default_factory=dict)
    skipped: str | None = None

    def __str__(self) -> str:
        """Return the path on one line, with unprintable characters escaped."""
        text = str(self.path)
        return text if text.isprintable() else ascii(text)


def find_env_file(folder: Path | None = None) -> EnvFile | None:
    """Return the ``.env`` of a folder, by default the working directory; None if there is none.

    Raises:
        ConfigurationError: The file cannot be read or has a syntax error.
    """
    try:
        path = (folder or Path.cwd()).absolute() / _NAME
        link = path.lstat()
        descriptor = os.open(path, os.O_RDONLY | O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unreadable(EnvFile((folder or Path.cwd()).absolute() / _NAME), error.strerror or "it is not") from error
    found = EnvFile(path)
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            return None  # some virtual environments have this name
        if why := _distrusted(link) or _distrusted(status):
            return EnvFile(path, skipped=why)
        if not stat.S_ISREG(status.st_mode):
            raise _unreadable(found, "it is not a regular file")
        content = _read(descriptor)
    finally:
        os.close(descriptor)
    if len(content) > _MAX_BYTES:
        raise _unreadable(found, f"it is larger than {_MAX_BYTES // 1024} KiB")
    return EnvFile(path, _parse(found, content))


def find_env_file_beside(project: Path) -> EnvFile | None:
    """Find the file like ``find_env_file``, unless it may belong to the launched project.

    Another person may have written the project, so its ``.env`` must not decide its isolation. If one of the folders
    contains the other, the file may be the project's or the operator's: it is skipped, and its errors are ignored.
    """
    try:
        folder, project = Path.cwd().resolve(), project.resolve()
    except OSError:
        return None
    if folder != project and folder not in project.parents and project not in folder.parents:
        return find_env_file(folder)
    try:
        found = find_env_file(folder)
    except ConfigurationError:
        return None
    if found is None or not found.values:
        return None
    return EnvFile(found.path, skipped="it may be part of the project that is launched")


def _read(descriptor: int) -> bytes:
    """Return the content, at most one byte over the limit."""
    content = b""
    while len(content) <= _MAX_BYTES and (piece := os.read(descriptor, _MAX_BYTES + 1 - len(content))):
        content += piece
    return content


def _distrusted(status: os.stat_result) -> str | None:
    """Return the reason why a file (or a link) is not trusted; None if it is trusted."""
    if status.st_uid not in {0, own_uid()}:
        return "it belongs to another user"
    if HAS_MODES and stat.S_ISREG(status.st_mode) and status.st_mode & stat.S_IWOTH:
        return "it is writable by every user of this machine"
    return None


def _parse(found: EnvFile, content: bytes) -> dict[str, str]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _unreadable(found, "it is not UTF-8 text") from error
    try:
        read = read_env_text(text)
    except MisreadEnv as error:
        raise _unreadable(found, str(error)) from None
    return {name.upper(): value for name, value in read.items() if name.upper().startswith(_PREFIX)}


def read_env_text(text: str) -> dict[str, str]:
    """Return the variables of a ``.env`` text that have a value. Stops at the first mistake.

    Raises:
        MisreadEnv: The text is not one of a ``.env`` file.
    """
    if "\0" in text:
        raise MisreadEnv("it holds a NUL character")
    values: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(text)):
        if binding.error:
            # The parser's line number is that of the first blank line before the binding.
            blank = len(binding.original.string) - len(binding.original.string.lstrip("\r\n"))
            raise MisreadEnv(f"line {binding.original.line + blank} is not NAME=VALUE")
        if binding.key is not None and binding.value is not None:
            values[binding.key] = binding.value
    return values


def _unreadable(found: EnvFile, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"The settings file {found} cannot be read ({why}); correct it, or start in another folder."
    )
