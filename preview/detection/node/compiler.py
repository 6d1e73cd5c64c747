"""The version of TypeScript that a project gets: the lock file's, else what its range allows."""

from __future__ import annotations

import re
from typing import Final

from preview.detection.node.project import NodeProject

# By lock file: the place of the package that the project itself loads.
_NPM: Final = re.compile(
    rb'^(?: {4}|\t\t)"(?:node_modules/)?typescript":\s{0,20}\{\s{0,20}"version":\s{0,4}"(\d{1,3})\.(\d{1,3})',
    re.MULTILINE,
)
_LOCKS: Final = {
    "package-lock.json": _NPM,
    "npm-shrinkwrap.json": _NPM,
    "yarn.lock": re.compile(rb'^"?typescript@[^\n]{1,300}:\n {1,4}version:? "?(\d{1,3})\.(\d{1,3})', re.MULTILINE),
    "pnpm-lock.yaml": re.compile(rb"^ {2,4}'?/?typescript[@/](\d{1,3})\.(\d{1,3})\.[\w.-]{1,40}'?:", re.MULTILINE),
}
_RANGE: Final = re.compile(r"(?P<sign>[\^~>=v ]{0,4})(?P<major>\d{1,3})(?:\.(?P<minor>\d{1,3}))?")
# What is added if the project declares none, and the newest of any major.
_NEWEST: Final = 5
_ANY: Final = 99


def typescript_version(project: NodeProject) -> tuple[int, int]:
    """Return major and minor of the compiler; the newest minor that a range without a lock file allows."""
    for name, pattern in _LOCKS.items():
        file = project.find(name)
        match = pattern.search(project.sources.text(file)) if file is not None else None
        if match is not None:
            return int(match[1]), int(match[2])
    for group in ("dependencies", "devDependencies"):
        declared = project.package.data.get(group)
        wanted = declared.get("typescript") if isinstance(declared, dict) else None
        if isinstance(wanted, str) and (found := _RANGE.match(wanted)):
            is_open = found["minor"] is None or "^" in found["sign"] or ">" in found["sign"]
            return int(found["major"]), _ANY if is_open else int(found["minor"])
    return _NEWEST, _ANY
