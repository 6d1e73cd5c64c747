"""Find the package of a Node project that serves, and its files."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from preview.sources import Sources
from preview.sources.javascript import SCRIPT_SUFFIXES
from preview.sources.node_files import built_path, existing_script, resolve_script_file
from preview.sources.node_package import Entry, NodePackage, find_built_entry, find_entry, read_node_packages
from preview.sources.node_scripts import split_commands
from preview.sources.tsconfig import TsConfig, read_tsconfig

_FRONT: Final = (
    "react-scripts", "next", "vite", "@angular/core", "gatsby", "nuxt", "@vue/cli-service", "expo", "react-dom",
)  # fmt: skip
_SERVERS: Final = (
    "express", "@nestjs/core", "koa", "fastify", "@hapi/hapi", "hapi", "restify", "polka", "hono",
    "@feathersjs/feathers",
    "apollo-server", "@apollo/server", "graphql-yoga", "json-server", "ws", "socket.io", "@adonisjs/core", "sails",
    "@loopback/core", "connect", "routing-controllers", "@hono/node-server", "h3", "micro",
)  # fmt: skip
# Bundlers load more than Node can: styles, images, templates, and aliases in their configuration.
_BUNDLER: Final = re.compile(r"\b(?:webpack|rollup|parcel|vite|gulp|grunt|rspack|brunch|razzle|backpack)\b")
# Without a package.json, only a script that loads something and listens is a server.
_ENTRY_NAMES: Final = ("server", "index", "app", "main", "api", "backend")
_BY_ALIASES: Final = "the names of its modules"
_SOURCE_FOLDERS: Final = frozenset({"", "src", "lib", "bin"})
_MOST_SCRIPTS: Final = 200
_LOADED: Final = re.compile(r"""(?:\bfrom|\brequire\s*\(|\bimport\s*\(?)\s*['"]((?:@[\w.-]+/)?[A-Za-z][\w.-]*)""")
_LISTENS: Final = re.compile(rb"\.listen\s*\(")
_LOADS: Final = re.compile(rb"\brequire\s*\(|^\s*import\b", re.MULTILINE)
_NEXT: Final = re.compile(r"\bnext\s+start\b")
_IMPORT: Final = re.compile(r"""(?:\bfrom|\brequire\s*\(|\bimport\s*\(?)\s*['"]([^'"\n]{1,1000})['"]""")
# Each is compared with all paths of `tsconfig.json`, which may be hundreds.
_MOST_BY_PATHS: Final = 5_000
_MOST_MEMBERS: Final = 12
_LINKED: Final = re.compile(r"(?:file:|link:|portal:)?(\.\.?/[^\s:]{1,200})")
_ASIDE: Final = frozenset(
    {"test", "tests", "__tests__", "__mocks__", "spec", "e2e", "cypress", "docs", "examples", "example", "coverage",
     "client", "frontend", "front-end", "fixtures", "benchmarks", "mocks", "public", "static"}
)  # fmt: skip


class _ByPaths:
    """Finds the files of specifiers by paths of ``tsconfig.json``, each specifier once."""

    def __init__(self, sources: Sources, config: TsConfig) -> None:
        self._sources, self._config = sources, config
        self._found: dict[str, str | None] = {}

    def find(self, specifier: str) -> str | None:
        if specifier not in self._found and len(self._found) < _MOST_BY_PATHS:
            paths = self._config.candidates(specifier)
            files = (existing_script(self._sources, path) for path in paths)
            self._found[specifier] = next((one for one in files if one is not None), None)
        return self._found.get(specifier)


def required_members(package: NodePackage, known: Mapping[str, NodePackage], seen: set[str]) -> Iterator[NodePackage]:
    """Yield the packages of the workspace that a package requires, each after those that it requires itself."""
    for name in package.dependencies:
        member = known.get(name)
        if member is not None and name not in seen and len(seen) < _MOST_MEMBERS:
            seen.add(name)
            yield from required_members(member, known, seen)
            yield member


@dataclass(frozen=True)
class NodeProject:
    """The package to start.

    Attributes:
        entry: The entry file.
        root: The folder with the ``package.json`` to install: the package's workspace, or the package itself.
    """

    sources: Sources
    package: NodePackage
    packages: tuple[NodePackage, ...]
    entry: Entry
    root: str

    @property
    def folder(self) -> str:
        """Working folder, relative to the project."""
        return self.package.folder

    def relative(self, name: str) -> str:
        """Return a project file's path relative to the working folder."""
        return posixpath.relpath(name, self.folder)

    def requires(self, *names: str) -> bool:
        """Return true if the package, its workspace or a member that it requires declares any of these packages."""
        return any(item.requires(*names) for item in self._declaring)

    def runs_with(self, *names: str) -> bool:
        """Return true if any of these packages is declared, and not for developers only."""
        return any(name in item.dependencies for item in self._declaring for name in names)

    def range_of(self, name: str) -> str | None:
        """Return the declared version range of a package, or None."""
        for item in self._declaring:
            wanted = item.dependencies.get(name) or item.dev_dependencies.get(name)
            if wanted is not None:
                return wanted
        return None

    @cached_property
    def members(self) -> tuple[NodePackage, ...]:
        """The packages of the workspace that the package requires, directly or through others: each is loaded, too."""
        known = {one.name: one for one in self.packages if one.name and one is not self.package}
        return tuple(required_members(self.package, known, set()))

    @property
    def _declaring(self) -> Iterator[NodePackage]:
        yield self.package
        yield from (item for item in self.packages if item.folder == self.root and item is not self.package)
        yield from self.members

    @cached_property
    def scripts(self) -> tuple[str, ...]:
        """JavaScript and TypeScript files of the package or its workspace, without tests and the like."""
        top = "" if self.root == "." else f"{self.root}/"
        return tuple(
            name
            for name in self.sources.with_suffix(*SCRIPT_SUFFIXES)
            if name.startswith(top) and not _is_aside(name.removeprefix(top)) and not name.endswith(".d.ts")
        )

    @cached_property
    def reached(self) -> tuple[str, ...]:
        """Files that the entry loads, directly or indirectly by imports; the entry first.

        Paths of ``tsconfig.json`` are followed. For a built entry, these are all files of ``scripts``.
        """
        if self.entry.built:
            return self.scripts
        found: dict[str, None] = {self.entry.file: None}
        todo = [self.entry.file]
        by_paths = _ByPaths(self.sources, read_tsconfig(self.sources, self.folder))
        while todo:
            file = todo.pop(0)
            for specifier in _IMPORT.findall(self.text(file)):
                if specifier.startswith("."):
                    inner = resolve_script_file(self.sources, posixpath.dirname(file) or ".", specifier)
                else:
                    inner = by_paths.find(specifier)
                if inner is not None and inner not in found:
                    found[inner] = None
                    todo.append(inner)
        return tuple(found)

    @cached_property
    def by_reach(self) -> tuple[str, ...]:
        """All files of ``scripts``; those that the entry loads come first."""
        known = {*self.scripts, self.entry.file}
        # `bin/www` and what it requires may have no suffix.
        near = [name for name in self.reached if name in known or "." not in name.rpartition("/")[2]]
        return tuple(dict.fromkeys((*near, *self.scripts)))

    def text(self, name: str) -> str:
        """Return a file as text; empty if the file is not built yet."""
        return self.sources.text(name).decode("utf-8", "replace") if self.sources.has_file(name) else ""

    def find(self, *names: str) -> str | None:
        """Return the first of these files that exists in the working folder or the workspace's root."""
        for folder in dict.fromkeys((self.folder, self.root)):
            for name in names:
                file = posixpath.normpath(posixpath.join(folder, name))
                if self.sources.has_file(file):
                    return file
        return None


def _is_aside(name: str) -> bool:
    *folders, file = name.split("/")
    return any(folder in _ASIDE for folder in folders) or ".test." in file or ".spec." in file


def find_project(sources: Sources, file: str | None, *, named: bool = False) -> NodeProject | None:
    """Return the package to start, or None."""
    packages = read_node_packages(sources)
    if file is not None:
        package = _package_of(file, packages) or _bare_package(sources, file)
        known = (None if named else _aliased_entry(package, sources)) or _entry(package, sources)
        runs = named or known is None or not known.built or _runs_as_it_is(package, sources, file)
        is_aliased = known is not None and known.by == _BY_ALIASES
        if known is None or (known.file != file and runs and not is_aliased):
            known = Entry(file, "", file.endswith((".ts", ".tsx", ".mts", ".cts")), built=not sources.has_file(file))
        return NodeProject(sources, package, tuple(packages), known, _root_of(sources, package, packages))
    for package in sorted(packages, key=_preference):
        found = _aliased_entry(package, sources) or _entry(package, sources)
        if found is not None and not (package.requires(*_FRONT) and not package.requires(*_SERVERS)):
            owner = _package_of(found.file, packages) or package
            return NodeProject(sources, owner, tuple(packages), found, _root_of(sources, owner, packages))
    return None if packages else _without_package(sources)


def find_next_project(sources: Sources, program: str) -> NodeProject | None:
    """Return the topmost package whose scripts build Next.js and start it with ``next start``; None if there is none.

    Args:
        sources: The project's files.
        program: The path of Next.js's program below the packages.
    """
    packages = read_node_packages(sources)
    for package in sorted(packages, key=lambda item: item.folder.count("/") if item.folder != "." else -1):
        scripts = package.scripts
        if package.requires("next") and _NEXT.search(scripts.get("start", "")) and "build" in scripts:
            root = _root_of(sources, package, packages)
            entry = Entry(
                posixpath.normpath(posixpath.join(root, program)), 'package.json "start"', typescript=False, built=True
            )
            return NodeProject(sources, package, tuple(packages), entry, root)
    return None


def _without_package(sources: Sources) -> NodeProject | None:
    """Return the project of a script that listens, in a folder without any ``package.json``."""
    names = [name for name in sources.with_suffix(*SCRIPT_SUFFIXES) if not _is_aside(name) and name.count("/") < 2]
    ranks = {name: _ENTRY_NAMES.index(stem) for name in names if (stem := _stem(name)) in _ENTRY_NAMES}
    for file in sorted(ranks, key=lambda name: (name.count("/"), ranks[name])):
        text = sources.text(file)
        if _LISTENS.search(text) and _LOADS.search(text):
            package = _bare_package(sources, file)
            entry = Entry(file, "its name", file.endswith((".ts", ".tsx", ".mts", ".cts")))
            return NodeProject(sources, package, (), entry, package.folder)
    return None


def _bare_package(sources: Sources, file: str) -> NodePackage:
    """Return a package for a script without a ``package.json``: it depends on whatever its scripts load."""
    folder = posixpath.dirname(file)
    folder = folder if folder not in _SOURCE_FOLDERS else "."
    top = "" if folder == "." else f"{folder}/"
    names = [name for name in sources.with_suffix(*SCRIPT_SUFFIXES) if name.startswith(top) and not _is_aside(name)]
    texts = (sources.text(name).decode("utf-8", "replace") for name in names[:_MOST_SCRIPTS])
    return NodePackage(folder, "", {}, "", {name: "*" for text in texts for name in _LOADED.findall(text)}, {})


def _stem(name: str) -> str:
    return name.rpartition("/")[2].partition(".")[0]


def _entry(package: NodePackage, sources: Sources) -> Entry | None:
    """Return the source that a script starts; else the built file, unless a source serves without a bundler."""
    found = find_entry(package, sources)
    if found is not None and found.by.startswith('package.json "') and found.by != 'package.json "main"':
        return found
    built = find_built_entry(package, sources)
    # Libraries have a built `main` too, but nothing to start.
    if built is None or (found is None and not package.requires(*_SERVERS) and built.by == 'package.json "main"'):
        return found
    there = (sources.root / built.file).is_file()
    wanted = package.scripts.get("build") and (found is None or _is_bundled(package))
    return built if there or wanted else found


def _aliased_entry(package: NodePackage, sources: Sources) -> Entry | None:
    """Return the built file to start, if names of modules lead to a build's output that is not there yet.

    ``_moduleAliases`` and ``imports`` count while the program runs: a source in place of the built one finds no module.
    """
    names = "_moduleAliases" if package.requires("module-alias") else "imports"
    aliases = package.data.get(names)
    targets = [value for value in aliases.values() if isinstance(value, str)] if isinstance(aliases, dict) else []
    folders = {path.split("/")[0] for value in targets if (path := built_path(".", value)) is not None}
    missing = [name for name in folders if not (sources.root / package.path(name)).exists()]
    if not missing or "build" not in package.scripts:
        return None
    texts = (package.scripts.get(name, "") for name in ("start", "start:prod", "serve", "prod"))
    words = [word for text in texts for command in split_commands(text) for word in command[1:]]
    for word in (*words, package.main):
        path = built_path(package.folder, word) if word and not word.startswith("-") else None
        if path is not None and posixpath.relpath(path, package.folder).split("/")[0] in missing:
            return Entry(path, _BY_ALIASES, typescript=False, built=True)
    return None


def _is_bundled(package: NodePackage) -> bool:
    return any(_BUNDLER.search(text) for name, text in package.scripts.items() if name.startswith("build"))


def _runs_as_it_is(package: NodePackage, sources: Sources, file: str) -> bool:
    return not _is_bundled(package) and re.search(rb"\.listen\s*\(", sources.text(file)) is not None


def _preference(package: NodePackage) -> tuple[bool, int]:
    return (not package.requires(*_SERVERS), package.folder.count("/") if package.folder != "." else -1)


def _package_of(file: str, packages: list[NodePackage]) -> NodePackage | None:
    above = [item for item in packages if item.folder == "." or file.startswith(f"{item.folder}/")]
    # A package.json that only sets the module type of a folder is not a package.
    real = [item for item in above if item.dependencies or item.dev_dependencies or item.scripts] or above
    return max(real, key=lambda item: len(item.folder) if item.folder != "." else 0, default=None)


def _root_of(sources: Sources, package: NodePackage, packages: list[NodePackage]) -> str:
    for item in packages:
        inside = item.folder == "." or package.folder.startswith(f"{item.folder}/")
        if item is package or not inside:
            continue
        pnpm = posixpath.normpath(posixpath.join(item.folder, "pnpm-workspace.yaml"))
        if item.data.get("workspaces") or sources.has_file(pnpm):
            patterns = _patterns(item, sources.text(pnpm).decode("utf-8", "replace") if sources.has_file(pnpm) else "")
            inner = posixpath.relpath(package.folder, item.folder)
            if any(_matches(inner, pattern) for pattern in patterns):
                return item.folder
    return _root_of_linked(package, packages)


def _root_of_linked(package: NodePackage, packages: list[NodePackage]) -> str:
    """Return the folder above the package and the packages that it names by paths (``file:../../packages/shared``).

    A package with requirements of its own is no such root: npm would install these too.
    """
    known = {item.folder: item for item in packages}
    targets = {
        posixpath.normpath(posixpath.join(package.folder, match[1]))
        for value in package.dependencies.values()
        if (match := _LINKED.fullmatch(value.strip()))
    }
    paths = [package.folder, *(target for target in targets if target in known)]
    root = "." if "." in paths else posixpath.commonpath(paths) or "."
    above = known.get(root)
    if above is not None and above is not package and (above.dependencies or above.dev_dependencies):
        return package.folder
    return root


def _patterns(package: NodePackage, pnpm: str) -> list[str]:
    wanted = package.data.get("workspaces")
    wanted = wanted.get("packages") if isinstance(wanted, dict) else wanted
    found = [item for item in wanted if isinstance(item, str)] if isinstance(wanted, list) else []
    lines = (line.strip() for line in pnpm.partition("packages:")[2].splitlines())
    return found + [line.lstrip("- ").strip("\"'") for line in lines if line.startswith("-")]


def _matches(folder: str, pattern: str) -> bool:
    clean = pattern.removeprefix("./").rstrip("/")
    if clean.endswith("/**"):
        return folder.startswith(clean[:-2])
    wanted, parts = clean.split("/"), folder.split("/")
    return len(wanted) == len(parts) and all(item in {"*", part} for item, part in zip(wanted, parts, strict=True))
