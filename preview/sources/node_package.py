"""The Node packages of a project, and the file from which a package's server starts."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from preview.sources.files import Sources
from preview.sources.node_files import built_path, resolve_script_file
from preview.sources.node_scripts import Command, managed_script, split_commands

_NAMES: Final = frozenset(
    {"nodemon", "nx", "jest", "mocha", "chai", "nyc", "c8", "ava", "tap", "vitest", "supertest", "sinon", "husky",
     "prettier", "pretty-quick", "commitizen", "cz-conventional-changelog", "standard-version", "release-it",
     "np", "coveralls", "codecov", "apidoc", "typedoc", "jsdoc", "documentation", "opn-cli", "open-cli", "cypress",
     "playwright", "puppeteer", "newman", "snyk", "plop", "depcheck", "npm-check", "npm-check-updates", "tslint",
     "xo", "standard", "semistandard", "faucet", "jasmine", "karma", "ts-jest", "babel-jest", "istanbul", "lint-staged",
     "commitlint", "sonarqube-scanner", "semantic-release", "auto-changelog", "all-contributors-cli", "snazzy", "nsp",
     "storybook", "autocannon", "artillery", "clinic", "0x", "why-is-node-running", "lerna", "turbo", "knip"}
)  # fmt: skip
_FAMILIES: Final = re.compile(
    r"(?:eslint|stylelint|tslint|prettier|jest|mocha|chai|sinon|vitest|karma|cypress|nyc|semantic-release|commitlint)-"
    r"|@(?:eslint|typescript-eslint|commitlint|semantic-release|nx|nrwl|jest|vitest|playwright|cypress|storybook"
    r"|trivago|testing-library|istanbuljs|stryker-mutator|changesets|biomejs)/"
    r"|@types/(?:jest|mocha|chai|sinon|supertest|eslint|prettier|jasmine)\b"
)


def is_tool_for_development(name: str) -> bool:
    """Return whether a development dependency is needed neither for a build nor for a start."""
    return name == "eslint" or name in _NAMES or _FAMILIES.match(name) is not None


# A monorepo has dozens of packages; more are copies.
_MAX_PACKAGES: Final = 200
# Depth limit for scripts that call each other, within a package or across packages.
_MAX_DEPTH: Final = 6
# Each of a dozen scripts may call all others: a depth limit alone would allow millions of reads.
_MAX_SCRIPTS: Final = 300

_SCRIPTS: Final = (
    "start", "serve", "server", "dev", "develop", "start:dev", "dev:server", "start:server", "server:dev",
    "start-server", "backend", "dev:backend", "start:prod", "production", "prod", "start:local", "watch", "local",
    "nodemon", "debug", "start:debug",
)  # fmt: skip
_RUNNERS: Final = frozenset(
    {"node", "nodemon", "ts-node", "ts-node-dev", "ts-node-esm", "tsnd", "tsx", "babel-node", "pm2", "pm2-runtime",
     "pm2-docker", "pm2-dev", "forever", "supervisor", "node-dev", "swc-node", "bun", "esrun", "esno", "vite-node",
     "jiti", "esmon", "nodejs", "deno", "sucrase-node"}
)  # fmt: skip
_MANAGERS: Final = frozenset({"npm", "yarn", "pnpm", "bun"})
_WITH_VALUE: Final = frozenset(
    {"-r", "--require", "--loader", "--experimental-loader", "--import", "-c", "--config", "-w", "--watch",
     "--watch-path", "-e", "--ext", "-P", "--project", "--env-file", "--name", "-i", "--ignore", "-O",
     "--compiler-options", "--tsconfig", "--delay", "--signal", "-n", "--instances", "--presets", "--plugins",
     "--env-file-if-exists", "--ignore-watch", "-C", "--conditions", "--preload"}
)  # fmt: skip
_ENTRY_NAMES: Final = ("server", "app", "index", "main", "www", "api", "backend")
_ENTRY_FOLDERS: Final = ("", "src", "bin", "server", "backend", "api", "app", "lib", "src/server", "server/src")
_PM2_SCRIPT: Final = re.compile(rb"""["']?script["']?\s*:\s*["']([^"']+)["']""")
_LISTENS: Final = re.compile(rb"\.listen\s*\(|createServer\s*\(|NestFactory|bootstrap\s*\(|\bBun\.serve\s*\(")
_SERVES: Final = re.compile(rb"\.listen\s*\(|createServer\s*\(|\bBun\.serve\s*\(|express|NestFactory|[Ss]erver|\bapp\b")


@dataclass(frozen=True, slots=True)
class NodePackage:
    """One ``package.json``.

    Attributes:
        folder: The folder of the file, relative to the project; ``.`` for the project's root.
        main: The package's main file as written; may be empty.
        dependencies: Maps each package to its version range.
        data: The whole file, for keys that only some tools read.
    """

    folder: str
    name: str
    scripts: Mapping[str, str]
    main: str
    dependencies: Mapping[str, str]
    dev_dependencies: Mapping[str, str]
    data: Mapping[str, object] = field(default_factory=dict, repr=False)

    def requires(self, *names: str) -> bool:
        """Return whether any of the named packages is among the dependencies."""
        return any(name in self.dependencies or name in self.dev_dependencies for name in names)

    def path(self, name: str) -> str:
        """Return a path within the package, relative to the project."""
        return posixpath.normpath(posixpath.join(self.folder, name))


_WRANGLER: Final = ("wrangler.toml", "wrangler.jsonc", "wrangler.json")
_WORKER: Final = re.compile(r"""^\s{0,20}["']?main["']?\s{0,4}[=:]\s{0,4}["']([^"'\n]{1,200})["']""", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Entry:
    """Start file of a package's server.

    Attributes:
        file: Path relative to the project. If the script names a build output, this is its source.
        by: The place that names the file, for the log: ``package.json "start"``.
        typescript: Whether the file needs a compiler.
        built: Whether the package's build creates the file and the file has no source.
    """

    file: str
    by: str
    typescript: bool
    built: bool = False


def read_node_packages(sources: Sources) -> list[NodePackage]:
    """Return all packages of a project, upper folders first; ``skipped`` names each file that is not a JSON object."""
    names = [name for name in sources.all_names if name.rpartition("/")[2] == "package.json"]
    return [package for name in names[:_MAX_PACKAGES] if (package := _read(sources, name)) is not None]


def _read(sources: Sources, file: str) -> NodePackage | None:
    try:
        data = json.loads(sources.text(file).decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        sources.skipped.setdefault(file, f"not valid JSON ({error})")
        return None
    if not isinstance(data, dict):
        sources.skipped[file] = "not a JSON object"
        return None
    name, main = data.get("name"), data.get("main")
    return NodePackage(
        folder=posixpath.dirname(file) or ".",
        name=name if isinstance(name, str) else "",
        scripts=_texts(data.get("scripts")),
        main=main if isinstance(main, str) else "",
        dependencies=_texts(data.get("dependencies")),
        dev_dependencies=_texts(data.get("devDependencies")),
        data=data,
    )


def _texts(value: object) -> dict[str, str]:
    pairs = value.items() if isinstance(value, dict) else ()
    return {key: item for key, item in pairs if isinstance(item, str)}


def find_entry(package: NodePackage, sources: Sources) -> Entry | None:
    """Return the file a package's server starts from: by its scripts, its ``main``, then by usual names.

    Front ends have no such file: their tools (``vite``, ``next``, ``react-scripts``) run no file of the project.
    """
    finder = _Finder(sources)
    for script in _SCRIPTS:
        file = finder.by_script(package, script, 0)
        if file is not None:
            return _entry(file, f'package.json "{script}"')
    worker = _by_worker(package, sources)
    if worker is not None:
        return worker
    main = resolve_script_file(sources, package.folder, package.main) if package.main else None
    if main is not None and _SERVES.search(sources.text(main)):
        return _entry(main, 'package.json "main"')
    # `bun init` names the file so, and writes no script.
    module = package.data.get("module")
    main = resolve_script_file(sources, package.folder, module) if isinstance(module, str) and module else None
    if main is not None and (package.requires("@types/bun", "bun-types") or _LISTENS.search(sources.text(main))):
        return _entry(main, 'package.json "module"')
    named = _by_name(package, sources)
    return _entry(named, "its name") if named is not None else None


def find_built_entry(package: NodePackage, sources: Sources) -> Entry | None:
    """Return the server's start file if the package's build creates it and it has no source."""
    finder = _Finder(sources)
    for script in _SCRIPTS:
        if finder.by_script(package, script, 0) is not None:
            return None
        if finder.missing:
            return Entry(finder.missing[-1], f'package.json "{script}"', typescript=False, built=True)
    main = built_path(package.folder, package.main) if package.main else None
    if main is None or resolve_script_file(sources, package.folder, package.main) is not None:
        return None
    return Entry(main, 'package.json "main"', typescript=False, built=True)


def is_fastify_start(command: Command) -> bool:
    """Return whether a command is ``fastify start … FILE``: the file exports a plugin, and fastify-cli listens."""
    return command[0].rpartition("/")[2] == "fastify" and command[1:2] == ["start"] and len(command) > 2


def _entry(file: str, by: str) -> Entry:
    return Entry(file, by, file.endswith((".ts", ".tsx", ".mts", ".cts")))


def _by_worker(package: NodePackage, sources: Sources) -> Entry | None:
    """Return the file that the configuration of Cloudflare's Workers names."""
    if not package.requires("wrangler"):
        return None
    config = next((path for name in _WRANGLER if sources.has_file(path := package.path(name))), None)
    main = _WORKER.search(sources.text(config).decode("utf-8", "replace")) if config is not None else None
    file = resolve_script_file(sources, package.folder, main[1]) if main is not None else None
    return _entry(file, f"{config} main") if file is not None else None


def _by_name(package: NodePackage, sources: Sources) -> str | None:
    found = [
        file
        for folder in _ENTRY_FOLDERS
        for name in _ENTRY_NAMES
        if (file := resolve_script_file(sources, package.folder, posixpath.join(folder, name))) is not None
    ]
    listening = [file for file in found if _LISTENS.search(sources.text(file))]
    return next(iter(listening), None)


class _Finder:
    """Follows scripts that run other scripts."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._read = 0
        self.missing: list[str] = []  # build outputs that have no source

    def by_script(self, package: NodePackage, name: str, depth: int) -> str | None:
        script = package.scripts.get(name)
        self._read += 1
        if script is None or depth > _MAX_DEPTH or self._read > _MAX_SCRIPTS:
            return None
        missing = len(self.missing)
        files = list(self._files(package, script, depth))
        # Builds usually come first and the server last. Of several commands, prefer the one whose file serves.
        files.reverse()
        serving = [file for file in files if _SERVES.search(self._sources.text(file))]
        # If the server's file is still to be built, the remaining files only build it.
        return next(iter(serving or (files if len(self.missing) == missing else ())), None)

    def _files(self, package: NodePackage, script: str, depth: int) -> Iterator[str]:
        folder = package.folder
        for command in split_commands(script):
            program = command[0].rpartition("/")[2]
            if program == "cd" and len(command) > 1:
                folder = posixpath.normpath(posixpath.join(folder, command[1]))
                continue
            file = self._file(package, folder, program, command, depth)
            if file is not None:
                yield file

    def _file(self, package: NodePackage, folder: str, program: str, command: Command, depth: int) -> str | None:
        if program in _MANAGERS and (script := managed_script(command)) is not None:
            name, prefix = script
            other = posixpath.normpath(posixpath.join(folder, prefix))
            target = package if other == package.folder else _read_at(self._sources, other)
            if target is not None and name in target.scripts:
                return self.by_script(target, name, depth + 1)
        if program == "nx":
            return self._nx(folder)
        if is_fastify_start(command):
            return self._resolve(folder, command[-1])
        if program == "nest":
            return self._nest(folder, command)
        if program in _RUNNERS:
            return self._run_file(package, folder, program, command)
        return None

    def _run_file(self, package: NodePackage, folder: str, program: str, command: Command) -> str | None:
        words = iter(command[1:])
        for word in words:
            if word in _WITH_VALUE and not (program != "nodemon" and word == "--watch"):
                next(words, None)
            elif word.startswith("-") or word in {"start", "run", "watch", "restart", "reload", "serve"}:
                continue
            elif word == "." and package.main:
                return self._resolve(folder, package.main)
            else:
                file = self._resolve(folder, word)
                if file is not None and file.endswith((".json", ".config.js", ".config.cjs")):
                    return self._pm2(posixpath.dirname(file) or ".", file)
                return file
        if program == "nodemon":
            return self._nodemon(package, folder)
        return None

    def _nodemon(self, package: NodePackage, folder: str) -> str | None:
        """Return the file of a ``nodemon`` call without one: from ``nodemon.json``, else the package's ``main``."""
        config = _json(self._sources, posixpath.normpath(posixpath.join(folder, "nodemon.json")))
        config = config or package.data.get("nodemonConfig")
        command = config.get("exec") if isinstance(config, dict) else None
        if isinstance(command, str) and "nodemon" not in command:
            found = next(self._files(package, command, _MAX_DEPTH), None)
            if found is not None:
                return found
        return self._resolve(folder, package.main) if package.main else None

    def _resolve(self, folder: str, name: str) -> str | None:
        file = resolve_script_file(self._sources, folder, name)
        if file is None and (path := built_path(folder, name)) is not None:
            self.missing.append(path)
        return file

    def _pm2(self, folder: str, file: str) -> str | None:
        match = _PM2_SCRIPT.search(self._sources.text(file))
        return self._resolve(folder, match[1].decode("utf-8", "replace")) if match else None

    def _nest(self, folder: str, command: Command) -> str | None:
        """Return the entry of ``nest start``, or of a monorepo's application that is named or comes first."""
        config = _json(self._sources, posixpath.normpath(posixpath.join(folder, "nest-cli.json")))
        chosen = config if isinstance(config, dict) else {}
        projects = chosen.get("projects")
        word = next((word for word in command[2:] if not word.startswith("-")), "")
        named = projects.get(word) if isinstance(projects, dict) else None
        chosen = named if isinstance(named, dict) else chosen
        source, entry = chosen.get("sourceRoot"), chosen.get("entryFile")
        path = posixpath.join(source if isinstance(source, str) else "src", entry if isinstance(entry, str) else "main")
        return resolve_script_file(self._sources, folder, path) or resolve_script_file(
            self._sources, folder, "src/main"
        )

    def _nx(self, folder: str) -> str | None:
        """Return the ``main`` of the first application that runs on Node."""
        names = [name for name in self._sources.all_names if name.rpartition("/")[2] == "project.json"]
        for name in names:
            if folder not in {"", "."} and not name.startswith(f"{folder}/"):
                continue
            match = re.search(rb'"main"\s*:\s*"([^"]+)"', self._sources.text(name))
            main = match[1].decode("utf-8", "replace") if match else ""
            # The path is relative to the workspace or, in older versions, to the application.
            for base in (folder, posixpath.dirname(name) or "."):
                file = resolve_script_file(self._sources, base, main) if main else None
                if file is not None and _SERVES.search(self._sources.text(file)):
                    return file
        return None


def _read_at(sources: Sources, folder: str) -> NodePackage | None:
    file = posixpath.normpath(posixpath.join(folder, "package.json"))
    return _read(sources, file) if sources.has_file(file) else None


def _json(sources: Sources, file: str) -> object:
    if not sources.has_file(file):
        return None
    try:
        return json.loads(sources.text(file).decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
