"""Configuration files of AI clients: what to write so that a client starts ``preview mcp``. Imports no SDK.

A configuration never has a token in it: it may be shared, and others may read it.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

NAME = "preview"
"""Name of the server in each configuration."""
BACKUP_SUFFIX = ".before-preview"
_MOST_BYTES = 1024 * 1024
_MOST_TOKEN_BYTES = 16 * 1024
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class ConfigurationUnusable(Exception):
    """A file cannot be read or changed; the text is one sentence for people."""


@dataclass(frozen=True, slots=True)
class AgentClient:
    """An AI client.

    Attributes:
        about: Name for people.
        file: Its configuration, from the project's folder and the home folder.
        key: Field of the file that has the servers.
        root: Word of the client for the project's folder; None if it starts servers there.
        is_of_user: Whether the file is for all of the user's projects.
    """

    about: str
    file: Callable[[Path, Path], Path]
    key: str = "mcpServers"
    root: str | None = None
    is_of_user: bool = False


def _desktop(_project: Path, home: Path) -> Path:
    name = "claude_desktop_config.json"
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "Claude" / name
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA", home)) / "Claude" / name
    return home / ".config" / "Claude" / name


CLIENTS: Mapping[str, AgentClient] = MappingProxyType(
    {
        "claude": AgentClient("Claude Code", lambda project, _: project / ".mcp.json"),
        "claude-desktop": AgentClient("Claude Desktop", _desktop, is_of_user=True),
        "cursor": AgentClient(
            "Cursor", lambda project, _: project / ".cursor" / "mcp.json", root="${workspaceFolder}"
        ),
        "vscode": AgentClient(
            "Visual Studio Code", lambda project, _: project / ".vscode" / "mcp.json", "servers", "${workspaceFolder}"
        ),
        "windsurf": AgentClient(
            "Windsurf", lambda _, home: home / ".codeium" / "windsurf" / "mcp_config.json", is_of_user=True
        ),
        "gemini": AgentClient("Gemini CLI", lambda project, _: project / ".gemini" / "settings.json"),
    }
)  # fmt: skip


def entry_for(
    client: AgentClient, project: Path, *, url: str | None, token_file: Path | None, ca: Path | None = None
) -> dict[str, Any]:
    """Return the client's entry.

    Args:
        client: The client.
        project: Folder that the agent may upload.
        url: The service's address; None means the one on this machine.
        token_file: File with the token for it.
        ca: File with the service's authority.
    """
    arguments = ["mcp"]
    if client.root is not None:
        arguments += ["--root", client.root]
    elif client.is_of_user:
        arguments += ["--root", str(project)]
    if url is not None:
        arguments += ["--url", url]
    if token_file is not None:
        arguments += ["--token-file", str(token_file)]
    if ca is not None:
        arguments += ["--ca", str(ca)]
    entry: dict[str, Any] = {"command": _program(), "args": arguments}
    return {"type": "stdio", **entry} if client.key == "servers" else entry


def with_entry(file: Path, client: AgentClient, entry: Mapping[str, Any]) -> str | None:
    """Return the file's new content; None if it has the entry already. All else in it stays.

    Raises:
        ConfigurationUnusable: The file has something else than a JSON object.
    """
    known = _read(file)
    servers = known.setdefault(client.key, {})
    if not isinstance(servers, dict):
        raise ConfigurationUnusable(f"{file} has no object in {client.key}; correct it, or add the entry by hand.")
    if servers.get(NAME) == entry:
        return None
    servers[NAME] = dict(entry)
    return json.dumps(known, indent=2, ensure_ascii=False) + "\n"


def write(file: Path, content: str) -> Path | None:
    """Write the file in one step, and return the copy of what was there before; None if there was nothing.

    Raises:
        OSError: It cannot be written; then it is as before.
    """
    # A link stays one.
    real = file.resolve()
    real.parent.mkdir(parents=True, exist_ok=True)
    backup = None
    if real.exists():
        backup = real.with_name(real.name + BACKUP_SUFFIX)
        shutil.copy2(real, backup)
    made, name = tempfile.mkstemp(dir=real.parent, prefix=f".{real.name}-")
    try:
        with os.fdopen(made, "w", encoding="utf-8") as opened:
            opened.write(content)
        if backup is not None:
            shutil.copymode(real, name)
        Path(name).replace(real)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return backup


def undo(file: Path, client: AgentClient) -> bool:
    """Put the copy of what was there before back, or remove a file that has nothing but the entry.

    Returns:
        Whether the file is as it was before; False if there is no copy, and the file has more than the entry.

    Raises:
        ConfigurationUnusable: The file cannot be read.
        OSError: It cannot be put back.
    """
    real = file.resolve()
    backup = real.with_name(real.name + BACKUP_SUFFIX)
    if backup.is_file():
        backup.replace(real)
        return True
    known = _read(real)
    if list(known) != [client.key] or list(known[client.key]) != [NAME]:
        return False
    real.unlink()
    return True


def read_token(file: Path) -> str:
    """Return the token in a file that only its owner can read.

    Raises:
        ConfigurationUnusable: Others can read it, or it is no file with a token.
    """
    try:
        with file.open("rb") as opened:
            # Of the opened file: another may be at its path a moment later.
            found = os.fstat(opened.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_size > _MOST_TOKEN_BYTES:
                raise ConfigurationUnusable(f"{file} does not contain a token.")
            if os.name == "posix" and found.st_mode & _OTHERS:
                raise ConfigurationUnusable(f"Other users can read {file}; run `chmod 600` on it.")
            token = opened.read(_MOST_TOKEN_BYTES).decode("ascii", "replace").strip()
    except OSError as error:
        raise ConfigurationUnusable(f"{file} cannot be read: {error.strerror}.") from error
    if not token:
        raise ConfigurationUnusable(f"{file} is empty; write the token into it.")
    return token


def _read(file: Path) -> dict[str, Any]:
    by_hand = "add the entry by hand"
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise ConfigurationUnusable(f"{file} is too large; {by_hand}.")
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationUnusable(f"{file} cannot be read ({error}); {by_hand}.") from error
    try:
        found = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError) as error:
        raise ConfigurationUnusable(f"{file} is not plain JSON (it may have comments); {by_hand}.") from error
    if not isinstance(found, dict):
        raise ConfigurationUnusable(f"{file} is not a JSON object; {by_hand}.")
    return found


def _program() -> str:
    """Return the command: its name if that starts this installation, else its path."""
    own, found = Path(sys.argv[0]), shutil.which("preview")
    if own.name != "preview" or not own.is_file():
        return "preview"
    return "preview" if found is not None and Path(found).resolve() == own.resolve() else str(own.resolve())
