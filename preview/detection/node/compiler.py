"""The version of a compiler that a project gets (the lock file's, else what its range allows), and an option of it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from preview.detection.node.project import NodeProject
from preview.sources.node_files import resolve_script_file

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
_NAMESPACE: Final = re.compile(rb"^import \* as (\w{1,60}) from [\"'][^.\"']", re.MULTILINE)
_CALL: Final = re.compile(rb"(?<![\w.$])(\w{1,60})\(")
_BY_TSX: Final = re.compile(r"(?<![\w@./-])tsx(?![\w./-])")
_BY_COMPILER: Final = re.compile(
    r"(?<![\w@./-])(?:nest (?:start|build)|ts-node(?:-dev)?|tsnd|swc-node|@swc-node)(?![\w.])"
)
_QUOTED: Final = re.compile(rb"[\"']((?:@[\w.-]{1,100}/)?[\w.-]{1,100})[\"'/]")
_TSX_MAJOR: Final = 4
_TSX_IMPORTED: Final = (3, 13)
_MOST_NAMESPACES: Final = 50
_MOST_ALIASES: Final = 200
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


def runs_by_tsx(project: NodeProject, names: Iterable[str]) -> bool:
    """Return whether some of these scripts run TypeScript by tsx, and none by a compiler that tells types.

    Then the sources need no types, and may need what tsx alone does: `require` in ES modules, aliases in its own way.
    """
    texts = [text for name in names if (text := project.package.scripts.get(name)) is not None]
    return any(map(_BY_TSX.search, texts)) and not any(map(_BY_COMPILER.search, texts))


def calls_a_namespace(text: bytes) -> bool:
    """Return whether a file calls what it imports with ``import * as``: only TypeScript's own compiler allows that."""
    names = _NAMESPACE.findall(text)[:_MOST_NAMESPACES]
    return bool(names) and any(match[1] in names for match in _CALL.finditer(text))


def tsx_arguments(project: NodeProject) -> tuple[str, ...]:
    """Return the arguments with which Node loads tsx; the project may have one that knows no ``--import`` yet."""
    is_old = package_version(project, "tsx", _TSX_MAJOR) < _TSX_IMPORTED
    return ("-r", "tsx/preflight", "--loader", "tsx") if is_old else ("--import", "tsx")


def unless_declared(project: NodeProject, *lines: str) -> tuple[str, ...]:
    """Return those of the requirements (``tsx@^4``) whose package the project does not declare."""
    return tuple(line for line in lines if not project.requires(line.rpartition("@")[0]))


def aliases_a_package(project: NodeProject, config: str, options: dict[str, object]) -> str | None:
    """Return an alias of the project that also means a package it imports (``@prisma/*``); None if there is none.

    TypeScript and NestJS's build take the package if the alias leads to no file; swc never looks.
    """
    base = options.get("baseUrl")
    folder = posixpath.normpath(
        posixpath.join(project.folder, posixpath.dirname(config), base if isinstance(base, str) else ".")
    )
    aliased = [*islice(_aliased_packages(project, options), _MOST_ALIASES)]
    if not aliased:
        return None
    quoted = {one for name in project.scripts for one in _QUOTED.findall(project.sources.text(name))}
    for alias, package, inner in aliased:
        if (
            package.encode() in quoted
            and resolve_script_file(project.sources, folder, f"./{posixpath.normpath(inner)}") is None
        ):
            return alias
    return None


def _aliased_packages(project: NodeProject, options: dict[str, object]) -> Iterator[tuple[str, str, str]]:
    """Yield each alias with its one target, the declared package it matches, and where it leads then."""
    paths = options.get("paths")
    declared = dict.fromkeys((*project.package.dependencies, *project.package.dev_dependencies))
    for alias, targets in tuple(paths.items() if isinstance(paths, dict) else ())[:_MOST_ALIASES]:
        prefix, sign, suffix = alias.partition("*")
        # Of several targets, swc tries the package, too.
        if not prefix or not sign or not isinstance(targets, list) or len(targets) != 1:
            continue
        for package in declared:
            if package.startswith(prefix) and package.endswith(suffix) and isinstance(targets[0], str):
                part = package[len(prefix) : len(package) - len(suffix)]
                yield alias, package, targets[0].replace("*", part)
