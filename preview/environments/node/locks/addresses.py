"""Addresses of packages in npm's lock file that only the registry of its author understands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote, urlsplit

from preview.environments.way_out.allowed import NODE_REGISTRIES

# npm takes its own one for the registry that it is set to.
_REGISTRY: Final = f"https://{NODE_REGISTRIES[0]}"
_NAME: Final = re.compile(r"(?:@[\w~-][\w.~-]{0,200}/)?[\w~-][\w.~-]{0,200}")
_IN_FOLDER: Final = "node_modules/"


def with_usual_addresses(lock: bytes) -> bytes:
    """Return the lock file with the registry's usual address for each package with a hash; else the same bytes.

    A mirror has the packages below a path (``/repository/npm/ms/-/ms-2.1.3.tgz``) or at another one
    (``/ms/download/ms-2.1.3.tgz``). npm only replaces the host. The hash tells whether it is the same package.
    """
    try:
        content = json.loads(lock.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return lock  # npm ignores an invalid lock file
    changed = False
    for name, facts in _entries(content):
        usual = _usual(name, facts)
        if usual is not None:
            facts["resolved"] = usual
            changed = True
    return json.dumps(content, indent=1).encode() if changed else lock


def _entries(content: object) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield each package with its name, of all versions of the format."""
    todo: list[dict[str, object]] = [content] if isinstance(content, dict) else []
    while todo:
        level = todo.pop()
        for key in ("packages", "dependencies"):
            entries = level.get(key)
            for place, facts in entries.items() if isinstance(entries, dict) else ():
                if isinstance(facts, dict):
                    todo.append({"dependencies": facts.get("dependencies")})
                    given = facts.get("name")
                    yield given if isinstance(given, str) else place.rpartition(_IN_FOLDER)[2], facts


def _usual(name: str, facts: dict[str, object]) -> str | None:
    """Return the usual address of a package; None if it has that, or none at all."""
    resolved, version = facts.get("resolved"), facts.get("version")
    if not (isinstance(resolved, str) and isinstance(version, str) and facts.get("integrity")):
        return None
    try:
        parts = urlsplit(resolved)
    except ValueError:
        return None
    path = unquote(parts.path)
    file = f"{name.rpartition('/')[2]}-{version}.tgz"
    usual = f"/{name}/-/{file}"
    if parts.scheme not in {"http", "https"} or not _NAME.fullmatch(name) or path == usual:
        return None
    mirrors = (usual, f"/{name}/download/{file}", f"/{name}/{version}/{file}")
    return f"{_REGISTRY}{usual}" if path.endswith(mirrors) else None
