"""Requirements of a Node project, from the ``package.json`` of the project and its workspace, and the lock file."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from preview.environments.node.imported import find_imported_packages
from preview.environments.node.locks import LOCK_NAMES, LockFile
from preview.environments.node.registries import (
    Outside,
    Registries,
    find_registries,
    inside_project,
    is_large_lock,
    is_path,
    is_safe_lock,
    safe_overrides,
)
from preview.environments.requirements.requirements import invalid
from preview.sources.files import Sources
from preview.sources.node_package import is_tool_for_development

# npm prefers the first one.
LOCKS: Final = ("npm-shrinkwrap.json", "package-lock.json")
# npm needs only these keys and the dependencies. No scripts: they may need the project's sources.
KEPT_KEYS: Final = (
    "name", "version", "private", "type", "engines", "workspaces", "overrides", "bundleDependencies",
    "bundledDependencies", "peerDependenciesMeta",
)  # fmt: skip
_DEPENDENCIES: Final = ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies")
# Packages with these names are empty or do not exist: Node always loads its own modules.
BUILT_IN: Final = frozenset(
    {"fs", "path", "http", "https", "os", "crypto", "child_process", "net", "tls", "dns", "cluster", "zlib", "vm",
     "readline", "worker_threads", "async_hooks", "perf_hooks"}
)  # fmt: skip
# By package: the ranges and addresses that do not work here, a range that does, and why.
_WORKING: Final = {
    # https://github.com/brianc/node-postgres/pull/2171
    "pg": (re.compile(r"[\^~=v ]*[0-7](?:\.[\w.-]+)?|<=? ?8(?:\.0)*"), "^8.0.3", "never connects on Node 14 and newer"),
    # https://github.com/typeorm/typeorm/issues/4332
    "typeorm": (
        re.compile(r"[\^~=v ]*0\.(?:1(?:\.[\w.-]+)?|2(?:\.(?:x|1?\d|20)(?:-[\w.-]+)?)?)"),
        "^0.2.45",
        "reads a column that PostgreSQL 12 and newer do not have",
    ),
    # https://docs.sheetjs.com/docs/getting-started/installation/nodejs
    "xlsx": (re.compile(r"https://cdn\.sheetjs\.com/\S{1,200}"), "^0.18.5", "is not in the package registry"),
}
# Only with this package does the other one connect to such a server.
_ONLY_WITH: Final = {"typeorm": "pg"}
BUN_PACKAGES: Final = "@oven/bun-"
"""Beginning of the names of packages that contain Bun's program, each for one kind of machine."""
MAX_BYTES: Final = 32 * 1024 * 1024
_NAMELESS: Final[Mapping[str, object]] = {"name": "preview", "version": "0.0.0", "private": True}
_MAX_MEMBERS: Final = 200
_REQUIREMENT: Final = re.compile(r"(?P<name>(?:@[a-z0-9._~-]+/)?[a-z0-9._~-]+)(?:@(?P<range>[^\s]+))?", re.IGNORECASE)
_PNPM_MEMBER: Final = re.compile(r"""^\s*-\s*["']?([^"'#\s]+)["']?\s*$""", re.MULTILINE)
_LEGACY_PEERS: Final = re.compile(r"^\s*(?:legacy-peer-deps|force)\s*=\s*true\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class NodeManifest:
    """Input for npm.

    Attributes:
        packages: Folder (``.`` first, then the workspace's members) to the part of ``package.json`` that npm needs.
        files: Packed dependencies in the project, path to bytes.
        exact: Whether the lock file matches exactly these requirements.
        legacy_peers: Whether the project configures npm to ignore conflicts between peer dependencies.
        foreign_lock: Another package manager's lock file, if npm has none of its own.
        lock_name: Name of npm's lock file; empty without one.
        registries: Registries that the project names.
    """

    packages: Mapping[str, Mapping[str, object]]
    files: Mapping[str, bytes] = field(default_factory=dict)
    lock: bytes | None = None
    exact: bool = False
    legacy_peers: bool = False
    notes: tuple[str, ...] = ()
    foreign_lock: LockFile | None = None
    lock_name: str = ""
    registries: Registries = field(default_factory=Registries)

    @property
    def is_empty(self) -> bool:
        """True if there is nothing to install."""
        return not any(package.get(kind) for package in self.packages.values() for kind in _DEPENDENCIES)

    @property
    def is_for_bun(self) -> bool:
        """True if the requirements have a program of Bun."""
        return any(name.startswith(BUN_PACKAGES) for name in _texts(self.packages["."].get("dependencies")))

    @property
    def members(self) -> tuple[str, ...]:
        """Folders of the workspace's members and of local packages, which are used in place."""
        return tuple(folder for folder in self.packages if folder != ".")

    def range_of(self, name: str) -> str | None:
        """Return the range that the first package with this dependency requires; None if no package has it."""
        for package in self.packages.values():
            for kind in _DEPENDENCIES:
                wanted = package.get(kind)
                if isinstance(wanted, Mapping) and name in wanted:
                    return str(wanted[name])
        return None


# A release that a failed start asks for takes the declared one's place: the older ones download their binary.
_REPLACED: Final = frozenset({"sharp"})


def read_node_manifest(directory: Path, extra: Sequence[str] = ()) -> NodeManifest:
    """Return the requirements of the package in ``directory``. Reads files only; call it in a thread.

    Args:
        directory: Folder of the ``package.json``; without this file, what its scripts load and ``extra`` are required.
        extra: Further requirements, ``tsx`` or ``tsx@^4``. A declared package keeps its range. Development tools that a
            preview does not need are left out unless they are listed here.

    Raises:
        EnvironmentFailed: A file or a requirement is invalid; the message says which one and why.
    """
    wanted = dict(_requirement(line) for line in extra)
    reader = _Reader(directory, frozenset(wanted))
    root = reader.read(".")
    notes: list[str] = []
    found = ((name, data) for name in LOCKS if (data := reader.bytes_of(name)) is not None)
    lock_name, lock = next(found, ("", None))
    if lock is not None and not is_safe_lock(lock):
        notes.append("the lock file refers to paths outside the project, or is no valid JSON: it is not read")
        lock = None
    registries = find_registries(reader.bytes_of)
    # Without a lock file that must be kept, other packages could be installed: the build refuses it.
    if lock is not None and is_large_lock(lock) and not registries.keeps_lock:
        notes.append("the lock file is too large: it is not read")
        lock = None
    foreign = _foreign_lock(reader) if lock is None else None
    dependencies = dict(_texts(root.get("dependencies")))
    declared = {name for kind in _DEPENDENCIES[1:3] for name in _texts(root.get(kind))}
    missing = {
        name: value
        for name, value in wanted.items()
        if name in _REPLACED or (name not in dependencies and name not in declared)
    }
    added = {
        name: inside for name, value in missing.items() if (inside := reader.version(".", name, value)) is not None
    }
    dependencies.update(added)
    members = reader.members(root)
    packages = {".": {**root, "dependencies": dependencies}, **members}
    npmrc = reader.bytes_of(".npmrc") or b""
    legacy = _LEGACY_PEERS.search(npmrc.decode("utf-8", "replace")) is not None
    exact = lock is not None and not added and not reader.left_out
    told = tuple(dict.fromkeys((*notes, *reader.notes)))
    reader.check_workspace(packages)
    return NodeManifest(packages, reader.files, lock, exact, legacy, told, foreign, lock_name, registries)


def _foreign_lock(reader: _Reader) -> LockFile | None:
    found = ((name, reader.bytes_of(name)) for name in LOCK_NAMES)
    return next((LockFile(name, data) for name, data in found if data is not None), None)


def _requirement(line: str) -> tuple[str, str]:
    match = _REQUIREMENT.fullmatch(line.strip())
    if match is None:
        raise invalid(f"The requirement {line!r} cannot be read; write NAME or NAME@RANGE", requirement=line)
    return match["name"], match["range"] or "*"


class _Reader:
    """Reader of a package and of the other packages in its workspace."""

    def __init__(self, directory: Path, wanted: frozenset[str]) -> None:
        self._directory = directory.resolve()
        self._wanted = wanted
        # Where its program is required, `bun` would bring another one, and a script that looks for it.
        self._left_out = BUILT_IN | ({"bun"} if any(name.startswith(BUN_PACKAGES) for name in wanted) else set())
        self.left_out = False
        self._from_workspace: dict[str, str] = {}
        self._local: list[str] = []
        self._linked: list[str] | None = None
        # Names of the packages that the folder which is read declares.
        self._declared: frozenset[str] = frozenset()
        self.files: dict[str, bytes] = {}
        self.notes: list[str] = []

    def bytes_of(self, name: str) -> bytes | None:
        path = self._directory / name
        try:
            if not path.is_file() or not path.resolve().is_relative_to(self._directory):
                return None
            with path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise invalid(f"{name} cannot be read: {error.strerror or error}; correct it", origin=name) from error
        if len(data) > MAX_BYTES:
            raise invalid(f"{name} is larger than 32 MiB; shorten it", origin=name)
        return data

    def read(self, folder: str) -> dict[str, object]:
        name = posixpath.normpath(posixpath.join(folder, "package.json"))
        data = self.bytes_of(name)
        if data is None:
            return self._made() if folder == "." and not self._linking() else dict(_NAMELESS)
        try:
            content = json.loads(data.decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise invalid(f"{name} is not valid JSON: {error}; correct it", origin=name) from error
        if not isinstance(content, dict):
            raise invalid(f"{name} must hold a JSON object; correct it", origin=name)
        return self._reduced(folder, content)

    def _made(self) -> dict[str, object]:
        """Return a manifest for a project without one: it requires what its scripts load."""
        found = find_imported_packages(Sources(self._directory))
        if not found:
            self.notes.append("the project has no package.json, so it requires nothing")
            return dict(_NAMELESS)
        self.notes.append(
            f"there is no package.json: installing the packages that the files import ({', '.join(found)})"
        )
        return {**_NAMELESS, "dependencies": dict.fromkeys(found, "*")}

    def _reduced(self, folder: str, content: Mapping[str, object]) -> dict[str, object]:
        kept = {key: content[key] for key in KEPT_KEYS if key in content}
        # A workspace may require a member by its version.
        kept.setdefault("version", "0.0.0")
        overrides = safe_overrides(content.get("overrides", _resolutions(content)))
        if overrides or "overrides" in kept:
            kept["overrides"] = overrides
        replaced = {name: value for name, value in _texts(overrides).items() if not value.startswith("$")}
        self._declared = frozenset(name for kind in _DEPENDENCIES for name in _texts(content.get(kind)))
        for kind in _DEPENDENCIES:
            declared = _texts(content.get(kind))
            if folder == ".":
                # npm rejects an override of a package's own requirement, which Bun, Yarn and pnpm take.
                declared |= {name: value for name, value in replaced.items() if name in declared}
            # `npm i -` leaves a package "-" in the file; today's npm cannot read it.
            needed = {one for one in declared if one != "-" and (kind != "devDependencies" or self._is_needed(one))}
            wanted = {
                name: version
                for name, value in declared.items()
                if name in needed
                and name not in self._left_out
                and (version := self.version(folder, name, value)) is not None
            }
            self.left_out = self.left_out or len(wanted) < len(declared)
            if wanted:
                kept[kind] = wanted
        return kept

    def _is_needed(self, name: str) -> bool:
        return name in self._wanted or not is_tool_for_development(name)

    def version(self, folder: str, name: str, value: str) -> str | None:
        """Return the version in npm's form; None for packages outside the project."""
        value = value.strip()
        if name in _WORKING and _WORKING[name][0].fullmatch(value) and _ONLY_WITH.get(name) in {None, *self._declared}:
            _, working, why = _WORKING[name]
            self.notes.append(f"{name} {value} {why}: {working} is installed instead")
            # The lock file has the other one.
            self.left_out = True
            return working
        if value.startswith("workspace:"):
            self._from_workspace[name] = folder
            return "*"
        if not is_path(value):
            return value
        try:
            inside = inside_project(folder, value)
            if self._is_folder(inside):
                self._local.append(inside)
            elif (data := self.bytes_of(inside)) is not None:
                self.files[inside] = data
            else:
                self.notes.append(f"{name} ({value[:200]}) is not in the project and is left out")
                return None
        except Outside:
            self.notes.append(f"{name} ({value[:200]}) lies outside the project and is left out")
            return None
        return f"file:{posixpath.relpath(inside, folder)}"

    def check_workspace(self, packages: Mapping[str, Mapping[str, object]]) -> None:
        """Check that packages required from the workspace are in it: npm would take them from the registry.

        Raises:
            EnvironmentFailed: A package is not in the workspace.
        """
        # npm names a package without a name after its folder.
        names = {package.get("name") or posixpath.basename(folder) for folder, package in packages.items()}
        for name, folder in self._from_workspace.items():
            if name not in names:
                origin = posixpath.normpath(posixpath.join(folder, "package.json"))
                raise invalid(
                    f"{name} ({origin}) should come from the workspace, but no package there has that name; add "
                    "its folder to the workspaces, or leave it out",
                    requirement=name,
                    origin=origin,
                )

    def _is_folder(self, inside: str) -> bool:
        path = self._directory / inside
        try:
            return path.is_dir() and path.resolve().is_relative_to(self._directory)
        except OSError:  # a name too long for a file
            return False

    def members(self, root: dict[str, object]) -> dict[str, dict[str, object]]:
        """Return the other packages, and list them for npm by folder: npm could match more folders with a pattern."""
        found: dict[str, dict[str, object]] = {}
        for folder in self._member_folders(root):
            if folder not in found and len(found) < _MAX_MEMBERS:
                found[folder] = self.read(folder)
        root.pop("workspaces", None)
        if found:
            root["workspaces"] = list(found)
        while self._local:
            folder = self._local.pop()
            if folder not in found and folder != ".":
                found[folder] = self.read(folder)
        for package in found.values():
            package.pop("workspaces", None)
        return found

    def _member_folders(self, root: Mapping[str, object]) -> list[str]:
        wanted = root.get("workspaces")
        wanted = wanted.get("packages") if isinstance(wanted, Mapping) else wanted
        patterns = [item for item in wanted if isinstance(item, str)] if isinstance(wanted, list) else []
        if not patterns and (data := self.bytes_of("pnpm-workspace.yaml")) is not None:
            text = data.decode("utf-8", "replace").partition("packages:")[2]
            patterns = _PNPM_MEMBER.findall(text)
        if not patterns and not any(root.get(kind) for kind in _DEPENDENCIES):
            return self._linking()
        excluded = [item[1:] for item in patterns if item.startswith("!") and len(item) > 1]
        found = [folder for item in patterns for folder in self._matching(item.removeprefix("./").rstrip("/"))]
        return [folder for folder in found if not any(PurePosixPath(folder).match(item) for item in excluded)]

    def _linking(self) -> list[str]:
        """Return the folders of packages that name others by paths out of their own folders.

        They make a workspace of a folder that requires nothing itself: npm resolves such paths below its root alone.
        """
        if self._linked is None:
            found: dict[str, None] = {}
            for pattern in ("*", "*/*", "*/*/*"):
                for folder in self._matching(pattern):
                    if len(found) < _MAX_MEMBERS and self._leads_out(folder):
                        found[folder] = None
            self._linked = list(found)
        return self._linked

    def _leads_out(self, folder: str) -> bool:
        try:
            content = json.loads((self.bytes_of(f"{folder}/package.json") or b"{}").decode("utf-8-sig"))
        except (ValueError, RecursionError):
            return False
        values = _texts(content.get("dependencies") if isinstance(content, dict) else None).values()
        for value in filter(is_path, values):
            try:
                inside = inside_project(folder, value)
            except Outside:
                continue
            if inside != folder and not inside.startswith(f"{folder}/") and self._is_folder(inside):
                return True
        return False

    def _matching(self, pattern: str) -> Iterator[str]:
        # A second `**` would search the tree again for each of its folders.
        if pattern.startswith(("!", "/")) or not pattern or ".." in pattern.split("/") or pattern.count("**") > 1:
            return
        try:
            paths = sorted(self._directory.glob(f"{pattern}/package.json"))
        except ValueError:  # `a**`
            return
        for path in paths:
            folder = path.parent.relative_to(self._directory).as_posix()
            if folder != "." and "node_modules" not in folder.split("/") and self._is_folder(folder):
                yield folder


def _resolutions(content: Mapping[str, object]) -> dict[str, str]:
    """Return the version replacements of Yarn and pnpm, which npm calls ``overrides``."""
    pnpm = content.get("pnpm")
    given = _texts(content.get("resolutions")) | _texts(pnpm.get("overrides") if isinstance(pnpm, Mapping) else None)
    found = {name.removeprefix("**/"): value for name, value in given.items()}
    return {name: value for name, value in found.items() if _REQUIREMENT.fullmatch(name)}


def _texts(value: object) -> dict[str, str]:
    pairs = value.items() if isinstance(value, Mapping) else ()
    return {str(key): item for key, item in pairs if isinstance(item, str)}
