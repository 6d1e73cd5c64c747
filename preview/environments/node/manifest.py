"""Requirements of a Node project: its ``package.json``, its workspace's, and the lock file."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from preview.environments.node.locks import LOCK_NAMES, LockFile
from preview.environments.node.registries import (
    Outside,
    Registries,
    find_registries,
    inside_project,
    is_path,
    is_safe_lock,
    safe_overrides,
)
from preview.environments.requirements.requirements import invalid
from preview.sources.node_package import is_tool_for_development

# The order in which npm takes them.
LOCKS: Final = ("npm-shrinkwrap.json", "package-lock.json")
# npm reads no more of a package that it installs the dependencies of. No scripts: they want the project's sources.
KEPT_KEYS: Final = (
    "name", "version", "private", "type", "engines", "workspaces", "overrides", "bundleDependencies",
    "bundledDependencies", "peerDependenciesMeta",
)  # fmt: skip
_DEPENDENCIES: Final = ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies")
# Packages of these names hold nothing, some cannot even be had: Node always takes its own.
BUILT_IN: Final = frozenset(
    {"fs", "path", "http", "https", "os", "crypto", "child_process", "net", "tls", "dns", "cluster", "zlib", "vm",
     "readline", "worker_threads", "async_hooks", "perf_hooks"}
)  # fmt: skip
MAX_BYTES: Final = 32 * 1024 * 1024
_MAX_MEMBERS: Final = 200
_REQUIREMENT: Final = re.compile(r"(?P<name>(?:@[a-z0-9._~-]+/)?[a-z0-9._~-]+)(?:@(?P<range>[^\s]+))?", re.IGNORECASE)
_PNPM_MEMBER: Final = re.compile(r"""^\s*-\s*["']?([^"'#\s]+)["']?\s*$""", re.MULTILINE)
_LEGACY_PEERS: Final = re.compile(r"^\s*(?:legacy-peer-deps|force)\s*=\s*true\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class NodeManifest:
    """Input for npm.

    Attributes:
        packages: Folder (``.`` first, then the workspace's members) to the part of ``package.json`` that npm needs.
        files: Packed dependencies that lie in the project, path to bytes.
        exact: The lock file is meant for exactly these requirements.
        legacy_peers: The project asks npm to overlook conflicts between peer dependencies.
        foreign_lock: Another package manager's lock file, where npm has none of its own.
        lock_name: What the lock file is called; empty without one.
        registries: That the project names.
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
        """True if nothing has to be installed."""
        return not any(package.get(kind) for package in self.packages.values() for kind in _DEPENDENCIES)

    @property
    def members(self) -> tuple[str, ...]:
        """The folders of the workspace's members and of packages that are used from where they lie."""
        return tuple(folder for folder in self.packages if folder != ".")

    def range_of(self, name: str) -> str | None:
        """Return the range that a package asks for, the first that does."""
        for package in self.packages.values():
            for kind in _DEPENDENCIES:
                wanted = package.get(kind)
                if isinstance(wanted, Mapping) and name in wanted:
                    return str(wanted[name])
        return None


def read_node_manifest(directory: Path, extra: Sequence[str] = ()) -> NodeManifest:
    """Read the requirements of the package in ``directory``. Reads files, runs nothing; call it in a thread.

    Args:
        directory: Where its ``package.json`` is; none there means nothing but ``extra``.
        extra: Further requirements, ``tsx`` or ``tsx@^4``. A package that is declared keeps its range; development
            tools that a preview has no use for are left out unless they are named here.

    Raises:
        EnvironmentFailed: A file or a requirement is wrong; says which and why.
    """
    wanted = dict(_requirement(line) for line in extra)
    reader = _Reader(directory, frozenset(wanted))
    root = reader.read(".")
    notes: list[str] = []
    found = ((name, data) for name in LOCKS if (data := reader.bytes_of(name)) is not None)
    lock_name, lock = next(found, ("", None))
    if lock is not None and not is_safe_lock(lock):
        notes.append("the lock file names places outside the project: it is not read")
        lock = None
    foreign = _foreign_lock(reader) if lock is None else None
    dependencies = dict(_texts(root.get("dependencies")))
    declared = {name for kind in _DEPENDENCIES[1:3] for name in _texts(root.get(kind))}
    missing = {name: value for name, value in wanted.items() if name not in dependencies and name not in declared}
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
    registries = find_registries(reader.bytes_of)
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
    """Reads the packages that belong together."""

    def __init__(self, directory: Path, wanted: frozenset[str]) -> None:
        self._directory = directory.resolve()
        self._wanted = wanted
        self.left_out = False
        self._from_workspace: dict[str, str] = {}
        self._local: list[str] = []
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
            if folder == ".":
                self.notes.append("the project has no package.json, so it requires nothing")
            return {"name": "preview", "version": "0.0.0", "private": True}
        try:
            content = json.loads(data.decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise invalid(f"{name} is no valid JSON: {error}; correct it", origin=name) from error
        if not isinstance(content, dict):
            raise invalid(f"{name} must hold a JSON object; correct it", origin=name)
        return self._reduced(folder, content)

    def _reduced(self, folder: str, content: Mapping[str, object]) -> dict[str, object]:
        kept = {key: content[key] for key in KEPT_KEYS if key in content}
        # A workspace refers to a member by its version too.
        kept.setdefault("version", "0.0.0")
        resolutions = _resolutions(content)
        if resolutions and "overrides" not in kept:
            kept["overrides"] = resolutions
        if "overrides" in kept:
            kept["overrides"] = safe_overrides(kept["overrides"])
        for kind in _DEPENDENCIES:
            declared = _texts(content.get(kind))
            if folder == "." and "overrides" not in content:
                # npm refuses an override of what the package asks for itself.
                declared |= {name: value for name, value in resolutions.items() if name in declared}
            needed = {name for name in declared if kind != "devDependencies" or self._is_needed(name)}
            wanted = {
                name: version
                for name, value in declared.items()
                if name in needed
                and name not in BUILT_IN
                and (version := self.version(folder, name, value)) is not None
            }
            self.left_out = self.left_out or len(wanted) < len(declared)
            if wanted:
                kept[kind] = wanted
        return kept

    def _is_needed(self, name: str) -> bool:
        return name in self._wanted or not is_tool_for_development(name)

    def version(self, folder: str, name: str, value: str) -> str | None:
        """Convert a version for npm; None for packages outside the project."""
        value = value.strip()
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
        """See that what is wanted from the workspace is in there: npm would look its name up in the registry.

        Raises:
            EnvironmentFailed: Something is not.
        """
        # npm calls one without a name by its folder.
        names = {package.get("name") or posixpath.basename(folder) for folder, package in packages.items()}
        for name, folder in self._from_workspace.items():
            if name not in names:
                origin = posixpath.normpath(posixpath.join(folder, "package.json"))
                raise invalid(
                    f"{name} ({origin}) is wanted from the workspace, and no package of it has that name; add its "
                    "folder to the workspaces, or leave it out",
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
        """Return the other packages; npm gets single folders, because of a pattern it could make more."""
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
        excluded = [item[1:] for item in patterns if item.startswith("!") and len(item) > 1]
        found = [folder for item in patterns for folder in self._matching(item.removeprefix("./").rstrip("/"))]
        return [folder for folder in found if not any(PurePosixPath(folder).match(item) for item in excluded)]

    def _matching(self, pattern: str) -> Iterator[str]:
        # Two `**` would walk the tree once for each of its folders.
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
    """Read replacements of versions for Yarn and pnpm; npm's ``overrides``."""
    pnpm = content.get("pnpm")
    given = _texts(content.get("resolutions")) | _texts(pnpm.get("overrides") if isinstance(pnpm, Mapping) else None)
    found = {name.removeprefix("**/"): value for name, value in given.items()}
    return {name: value for name, value in found.items() if _REQUIREMENT.fullmatch(name)}


def _texts(value: object) -> dict[str, str]:
    pairs = value.items() if isinstance(value, Mapping) else ()
    return {str(key): item for key, item in pairs if isinstance(item, str)}
