"""The version of a compiler that a project gets (the lock file's, else what its range allows), and an option of it."""

from __future__ import annotations

import re
from typing import Final

from preview.detection.node.project import NodeProject

_NUMBER: Final = rb'"?(\d{1,3})\.(\d{1,3})'
# By lock file: the place of the package that the project itself loads.
_NPM: Final = rb'^(?: {4}|\t\t)"(?:node_modules/)?NAME":\s{0,20}\{\s{0,20}"version":\s{0,4}' + _NUMBER
_LOCKS: Final = {
    "package-lock.json": _NPM,
    "npm-shrinkwrap.json": _NPM,
    "yarn.lock": rb'^"?NAME@[^\n]{1,300}:\n {1,4}version:? ' + _NUMBER,
    "pnpm-lock.yaml": rb"^ {2,4}'?/?NAME[@/](\d{1,3})\.(\d{1,3})\.[\w.-]{1,40}'?:",
}
_RANGE: Final = re.compile(r"(?P<sign>[\^~>=v ]{0,4})(?P<major>\d{1,3})(?:\.(?P<minor>\d{1,3}))?")
_SWC_BUILD: Final = re.compile(r"\bnest (?:start|build)\b.{0,100}(?:-b|--builder)[ =]swc\b")
_SWC_BUILDER: Final = re.compile(rb'"builder"\s{0,20}:\s{0,20}(?:\{\s{0,20}"type"\s{0,20}:\s{0,20})?"swc"')
_DEFAULT_IMPORT: Final = re.compile(rb"^import \w{1,60}(?: from |, ?\{[^}]{1,500}\} ?from )[\"'][^.\"']", re.MULTILINE)
# The newest minor of any major.
_ANY: Final = 99


def package_version(project: NodeProject, name: str, default: int) -> tuple[int, int]:
    """Return major and minor of a package; the newest minor that a range without a lock file allows.

    Args:
        project: The project.
        name: The package: ``typescript``.
        default: The major version if the project does not declare the package.
    """
    for lock, written in _LOCKS.items():
        file = project.find(lock)
        if file is not None:
            pattern = written.replace(b"NAME", re.escape(name).encode())
            match = re.search(pattern, project.sources.text(file), re.MULTILINE)
            if match is not None:
                return int(match[1]), int(match[2])
    for group in ("dependencies", "devDependencies"):
        declared = project.package.data.get(group)
        wanted = declared.get(name) if isinstance(declared, dict) else None
        if isinstance(wanted, str) and (found := _RANGE.match(wanted)):
            # `^0.20.1` allows no other minor.
            is_caret = "^" in found["sign"] and int(found["major"]) > 0
            is_open = found["minor"] is None or is_caret or ">" in found["sign"]
            return int(found["major"]), _ANY if is_open else int(found["minor"])
    return default, _ANY


def needs_interoperation(project: NodeProject, options: dict[str, object]) -> bool:
    """Return whether sources import a package's default, which swc as NestJS's builder allows without any option."""
    file = project.find("nest-cli.json")
    is_swc = any(_SWC_BUILD.search(text) for text in project.package.scripts.values()) or (
        file is not None and _SWC_BUILDER.search(project.sources.text(file)) is not None
    )
    if not is_swc or options.get("esModuleInterop") is True:
        return False
    return any(_DEFAULT_IMPORT.search(project.sources.text(name)) for name in project.scripts)
