"""Find builds that a Node project needs before it starts; most sources run without a build."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from preview.detection.node.project import NodeProject, required_members
from preview.detection.plan import Step
from preview.detection.steps.purpose import BUILD
from preview.sources.javascript import SCRIPT_SUFFIXES
from preview.sources.node_files import built_path, existing_script, resolve_script_file
from preview.sources.node_package import Entry, NodePackage
from preview.sources.node_scripts import split_commands
from preview.sources.tsconfig import TsConfig, read_tsconfig
from preview.sources.written_commands import commands_in_folders

_BUILDS: Final = ("build", "build:server", "compile", "bundle", "build:prod", "transpile")
_GENERATES: Final = ("generate", "codegen", "gen", "build:routes", "routes", "tsoa", "swagger")
# Scripts of other names that generate sources: `generate:api`, or `openapi` if it runs a generator.
_GENERATES_ONE: Final = re.compile(
    r"(?:generate|codegen|gen):(?!migration|secret|key|jwt|cert|token|password|seed|mock|data|db|doc|module|entity|resource"
    r"|component|watch|dev|serve)"
)
_GENERATOR: Final = re.compile(
    r"(?:^|[\s/])(?:orval|tsoa|kubb|graphql-codegen|gql-gen|openapi-ts|openapi-typescript|openapi-generator-cli|"
    r"swagger-typescript-api|typed-openapi|typechain|kysely-codegen|proto-loader-gen-types|buf\s+generate|protoc)(?=\s|$)"
)
# They may stand beside a generator in a script. Another command may be a server, which does not end.
_HELPERS: Final = frozenset(
    {"rimraf", "rm", "mkdir", "mkdirp", "cp", "mv", "shx", "echo", "prettier", "eslint", "biome"}
)
_WATCHES: Final = re.compile(r"\s--?w(?:atch)?\b")
_MOST_GENERATORS: Final = 3
# Imports by paths of `tsconfig.json`: each is compared with all paths, which may be hundreds.
_MOST_BY_PATHS: Final = 5_000
_PAGES: Final = ("build", "build:client", "build:frontend", "build:ui", "build:web")
_OUTPUTS: Final = frozenset({"dist", "build", "out", "output", "www", ".output"})
_FRONT: Final = re.compile(
    r"\b(?:vite|webpack|react-scripts|parcel|rollup|esbuild|vue-cli-service|ng|astro|svelte-kit|rspack|gulp)\b"
)
_COMPILES: Final = re.compile(
    r"(?:^|\s|/)(?:tsc(?:\s+(?:-p|--project)\s+[\w./-]{1,100})?|nest\s+build(?:\s+[\w-]{1,60})?)$"
)
# These fetch packages that are not in the environment; previews are not allowed to.
_INSTALLS: Final = re.compile(r"\b(?:npm|pnpm|bun|yarn)\s+(?:--?\S+\s+)*(?:install|i|ci|add)\b|\byarn\s*(?:$|&&|;)")
_SERVED: Final = re.compile(r"(?:\.static|serveStatic|\.sendFile|\.render)\s*\(([^;\n]{0,300})")
_LITERAL: Final = re.compile(r"""['"`]([^'"`\n$]{1,200})['"`]""")
# Only names in braces may be on several lines, so that each text is looked at once.
_NAMED_IMPORT: Final = r"""^(?:import|export)\b[^;'"`\n{]{0,200}(?:\{[^;'"`{}]{0,4000}\}\s{0,8})?\bfrom\s{0,8}"""
_STATIC_IMPORT: Final = re.compile(
    _NAMED_IMPORT + r"""['"](\.[^'"\n]+)['"]|^import\s+['"](\.[^'"\n]+)['"]"""
    r"""|^(?:const|let|var)\b[^;'"`\n]*=\s*require\(\s*['"](\.[^'"\n]+)['"]\s*\)""",
    re.MULTILINE,
)
_BARE_IMPORT: Final = re.compile(_NAMED_IMPORT + r"""['"]([^.'"\n][^'"\n]{0,300})['"]""", re.MULTILINE)
_QUOTED: Final = re.compile(r"""['"`]((?:@[\w.~-]{1,100}/)?[\w.~-]{1,200})""")
_MOST_CONDITIONS: Final = 4
# A loader reads these files; builds do not create them first.
_ASSETS: Final = frozenset(
    {".css", ".scss", ".sass", ".less", ".styl", ".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".ico", ".html",
     ".vue", ".svelte", ".md", ".txt", ".graphql", ".gql", ".woff", ".woff2", ".ttf", ".mp3", ".mp4"}
)  # fmt: skip
_TYPES_ONLY: Final = re.compile(r"^(?:import|export)\s+type\b")
# Scripts run only for their output: without notices, and with installed packages only.
_VARIABLES: Final = {
    "NODE_ENV": "production",
    "npm_config_offline": "true",
    "npm_config_update_notifier": "false",
    "npm_config_logs_max": "0",
    "npm_config_loglevel": "error",
}

# Scripts that may start the build's output, most certain first.
_STARTS: Final = ("start:prod", "prod", "production", "start", "serve", "server", "start:server")
_NODE: Final = re.compile(r"\bnode\b")
_NEST_OUTPUT: Final = "dist/main.js"


@dataclass(frozen=True, slots=True)
class BuildWork:
    """Build steps before the start.

    Attributes:
        steps: None, or one for each package.
        warnings: Missing files that are not built.
    """

    steps: tuple[Step, ...] = ()
    warnings: tuple[str, ...] = ()


def with_own_build(project: NodeProject) -> NodeProject | None:
    """Return the project with the output of its own build as the entry, in place of that output's source.

    None if nothing builds it, or no command, script or ``main`` names the output of the entry.
    """
    if project.entry.built or _script(project.package, _BUILDS) is None:
        return None
    for word, by in _named_outputs(project):
        path = built_path(project.folder, word) if word and not word.startswith("-") else None
        if path is None or existing_script(project.sources, path) is not None:
            continue
        if resolve_script_file(project.sources, project.folder, word) == project.entry.file:
            return replace(project, entry=Entry(path, by, typescript=False, built=True))
    return None


def find_output_step(project: NodeProject) -> tuple[Step, ...]:
    """Return the step that makes the output's name lead to its file, if the build keeps the folders of the sources.

    A compiler that reads files beside ``src`` writes ``dist/src/main.js`` where a script starts ``dist/main``, and
    ``nest start`` looks for both.
    """
    source = resolve_script_file(project.sources, project.folder, project.relative(project.entry.file))
    if source is None or source == project.entry.file:
        return ()
    output = project.relative(project.entry.file)
    output = output if posixpath.splitext(output)[1] else f"{output}.js"
    stem, _ = posixpath.splitext(project.relative(source))
    inner = f"{stem}{posixpath.splitext(output)[1]}"
    load = "import" if project.package.data.get("type") == "module" or output.endswith(".mjs") else "require"
    program = (
        "const fs = require('fs'), path = require('path'); const [, output, inner, load] = process.argv; "
        "const made = path.join(output.split('/')[0], inner); if (!fs.existsSync(output) && fs.existsSync(made)) { "
        "const name = `./${path.relative(path.dirname(output), made)}`; "
        "fs.writeFileSync(output, load === 'import' ? `import '${name}';\\n` : `require('${name}');\\n`); }"
    )
    why = f"{output} may be in {posixpath.join(output.split('/')[0], inner)}"
    return (Step("entry file", ("node", "-e", program, output, inner, load), project.folder, why, required=False),)


def _named_outputs(project: NodeProject) -> Iterator[tuple[str, str]]:
    """Yield words that may name the file to start, each with the place that has it."""
    package = project.package
    for name in _STARTS:
        commands = list(split_commands(package.scripts.get(name, "")))
        yield from ((word, f'package.json "{name}"') for command in commands for word in command[1:])
        if any(command[:2] == ["nest", "start"] for command in commands):
            yield _NEST_OUTPUT, f'package.json "{name}"'
    for command, _ in commands_in_folders(project.sources, _NODE):
        yield from ((word, command.file) for word in command.words)
    yield package.main, 'package.json "main"'


def find_build_work(project: NodeProject) -> BuildWork:
    """Return the builds of the workspace's packages that it loads, and of its own files or pages."""
    work = _own_work(project)
    before = tuple(_member_steps(project))
    return BuildWork((*before, *(one for one in work.steps if one not in before)), work.warnings) if before else work


def _member_steps(project: NodeProject) -> Iterator[Step]:
    """Yield the builds of packages of the workspace whose main file is a build's output that is not there."""
    known = {one.name: one for one in project.packages if one.name and one is not project.package}
    first = {name for file in project.reached for name in _loaded(project.text(file)) if name in known}
    members = {name: one for name, one in known.items() if name in first or name not in project.package.dependencies}
    for member in required_members(project.package, members, set()):
        main = _main_of(member)
        path = built_path(member.folder, main) if main else None
        name = _script(member, _BUILDS)
        if path is None or name is None or _exists(project, path) or _is_mapped(project, member):
            continue
        why = f"{member.name} is loaded from {path}, which is made by it"
        yield _step(member, name, why, required=False)


def _loaded(text: str) -> set[str]:
    """Return the packages that a file may import, and not their types alone: all names in quotes."""
    lines = (line for line in text.splitlines() if not _TYPES_ONLY.match(line.strip()))
    return {match[1] for line in lines for match in _QUOTED.finditer(line)}


def _exists(project: NodeProject, path: str) -> bool:
    try:
        return (project.sources.root / path).exists()
    except OSError:
        # A name that no file can have.
        return False


def _is_mapped(project: NodeProject, member: NodePackage) -> bool:
    """Return whether a configuration of TypeScript leads the package's name to its sources."""
    files = [project.find(name) for name in ("tsconfig.json", "tsconfig.base.json", "tsconfig.app.json")]
    return any(f'"{member.name}' in project.text(file) for file in files if file is not None)


def _main_of(package: NodePackage) -> str:
    """Return the file that a package is loaded from: ``exports["."]``, or its main file."""
    found: object = package.data.get("exports")
    for _ in range(_MOST_CONDITIONS):
        if not isinstance(found, Mapping):
            break
        found = next((found[key] for key in (".", "node", "require", "import", "default") if key in found), None)
    return found if isinstance(found, str) else package.main


def _own_work(project: NodeProject) -> BuildWork:
    """Return the build of the entry file, of files that the sources import, or of pages that they serve."""
    package = project.package
    if project.entry.built:
        if _is_there(project, project.entry.file):
            return BuildWork()
        name = _script(package, _BUILDS)
        why = f"{project.relative(project.entry.file)} is started, and no source file is run instead"
        # TypeScript's compiler writes its output in spite of errors of types, and so does NestJS's.
        required = name is not None and _COMPILES.search(package.scripts[name].strip()) is None
        return BuildWork((_step(package, name, why, required=required),) if name else ())
    imported = next(_missing_imports(project), None)
    names = _generators(package)
    root = next((one for one in project.packages if one.folder == project.root), package)
    if imported is not None and not names and _script(root, _GENERATES) is not None:
        package, names = root, _generators(root)
    elif imported is not None and _script(package, _GENERATES) is None:
        other = _script(package, ("prebuild", *_BUILDS))
        names = (*names, other) if other is not None else names
    elif imported is None and names:
        imported = next(_missing_by_paths(project), None)
    pages = _pages(project)
    if imported is None or not names:
        return pages
    file, specifier = imported
    why = f"{file} imports {specifier}, which is made by it"
    steps = tuple(_step(package, name, why, required=False) for name in names)
    known = {(one.argv, one.directory) for one in steps}
    more = tuple(one for one in pages.steps if (one.argv, one.directory) not in known)
    return BuildWork((*steps, *more), pages.warnings)


def tell_stand_in(project: NodeProject, script: str, work: BuildWork) -> tuple[str, ...]:
    """Return a sentence for the log if a source is started in place of a built file."""
    entry, package = project.entry, project.package
    words = [word for command in split_commands(package.scripts.get(script, "")) for word in command[1:]]
    name = next((word for word in words if _stands_in(project, word)), None)
    if entry.built or name is None:
        return ()
    source = project.relative(entry.file)
    build = _script(package, _BUILDS)
    is_run = build is None or any(step.argv == ("npm", "run", build) for step in work.steps)
    ends = "" if is_run else f", and `npm run {build}` is not run"
    return (f'package.json "{script}" starts {name}, which is build output: {source} is started instead{ends}',)


def _stands_in(project: NodeProject, word: str) -> bool:
    """Return true if a word of a command names a built file that the entry replaces."""
    path = posixpath.normpath(posixpath.join(project.folder, word))
    if word.startswith("-") or existing_script(project.sources, path) is not None:
        return False
    source = resolve_script_file(project.sources, project.folder, word)
    return source == project.entry.file or (source is None and built_path(project.folder, word) is not None)


def _step(package: NodePackage, name: str, why: str, *, required: bool) -> Step:
    return Step(BUILD, ("npm", "run", name), package.folder, why, required, _VARIABLES)


def _script(package: NodePackage, names: tuple[str, ...]) -> str | None:
    return next(
        (name for name in names if name in package.scripts and not _INSTALLS.search(package.scripts[name])), None
    )


def _generators(package: NodePackage) -> tuple[str, ...]:
    """Return the script with a usual name that generates sources; else those that run a generator, a few at most."""
    named = _script(package, _GENERATES)
    if named is not None:
        return (named,)
    found = (
        name
        for name, text in package.scripts.items()
        if (_GENERATES_ONE.match(name) or _only_generates(text))
        and not _INSTALLS.search(text)
        and not _WATCHES.search(text)
        and name not in _BUILDS
    )
    return tuple(islice(found, _MOST_GENERATORS))


def _only_generates(script: str) -> bool:
    """Return whether all commands are generators, or tidy up before and after one."""
    commands = [(one[0].rpartition("/")[2], " ".join(one)) for one in split_commands(script)]
    generates = [_GENERATOR.search(text) is not None for _, text in commands]
    return any(generates) and all(
        is_one or program in _HELPERS for is_one, (program, _) in zip(generates, commands, strict=True)
    )


def _is_there(project: NodeProject, path: str) -> bool:
    """Return true if the project contains the path. Build output is not among the sources."""
    ends = ("", *SCRIPT_SUFFIXES, ".d.ts", ".json", ".node", "/index.js", "/package.json")
    return any(_exists(project, path + end) for end in ends)


def _missing_imports(project: NodeProject) -> Iterator[tuple[str, str]]:
    """Yield imported files that do not exist and must be generated, such as routes or an API client."""
    for file in project.reached:
        for match in _STATIC_IMPORT.finditer(project.text(file)):
            if _TYPES_ONLY.match(match[0]):
                continue
            specifier = next(filter(None, match.groups()))
            folder = posixpath.dirname(file) or "."
            path = posixpath.normpath(posixpath.join(folder, specifier))
            known = path.startswith("..") or resolve_script_file(project.sources, folder, specifier) is not None
            if posixpath.splitext(path)[1] in _ASSETS:
                continue
            # A separate step generates Prisma's client.
            if known or "prisma" in path or _is_known(project, path):
                continue
            yield file, specifier


def _missing_by_paths(project: NodeProject) -> Iterator[tuple[str, str]]:
    """Yield imports by a path of ``tsconfig.json`` (``~/generated/users``) whose files do not exist."""
    config = read_tsconfig(project.sources, project.folder)
    by_paths = TsConfig(paths={name: targets for name, targets in config.paths.items() if name != "*"})
    seen: set[str] = set()
    for file in project.reached if by_paths.paths else ():
        for match in _BARE_IMPORT.finditer(project.text(file)):
            specifier = match[1]
            if specifier in seen or len(seen) >= _MOST_BY_PATHS:
                continue
            is_aside = posixpath.splitext(specifier)[1] in _ASSETS or "prisma" in specifier
            if is_aside or _TYPES_ONLY.match(match[0]):
                continue
            seen.add(specifier)
            targets = by_paths.candidates(specifier)
            if targets and not any(_is_known(project, one) for one in targets):
                yield file, specifier


def _is_known(project: NodeProject, path: str) -> bool:
    plain = path.removesuffix(".js").removesuffix(".mjs")
    return existing_script(project.sources, path) is not None or any(_is_there(project, one) for one in (path, plain))


def _pages(project: NodeProject) -> BuildWork:
    """Return the build of served pages in the same package or workspace."""
    for folder in dict.fromkeys(_served_folders(project)):
        owner = _owner(project, folder)
        name = _page_script(owner) if owner is not None else None
        if owner is None or name is None or _exists(project, folder):
            continue
        if owner.folder == project.folder or (project.root != project.folder and _is_member(project, owner)):
            return BuildWork((_step(owner, name, f"{folder} is served and does not exist", required=False),))
        sentence = (
            f"{folder} is served and does not exist: the pages in {owner.folder} are a separate package and are not "
            "built; build them first to see them"
        )
        return BuildWork(warnings=(sentence,))
    return BuildWork()


def _page_script(owner: NodePackage) -> str | None:
    name = _script(owner, _PAGES)
    return name if name is not None and _FRONT.search(owner.scripts[name]) else None


def _is_member(project: NodeProject, owner: NodePackage) -> bool:
    return project.root == "." or owner.folder.startswith(f"{project.root}/")


def _served_folders(project: NodeProject) -> Iterator[str]:
    """Yield folders with the name of a build's output from which the sources serve files, relative to the project."""
    for file in project.reached:
        for call in _SERVED.finditer(project.text(file)):
            # In `path.join`, a path that begins with a slash is relative to the preceding parts.
            path = posixpath.join(*(item.lstrip("/") or "." for item in _LITERAL.findall(call[1])), ".")
            parts = posixpath.normpath(path).split("/")
            end = next((count for count, part in enumerate(parts, 1) if part in _OUTPUTS), None)
            if end is None:
                continue
            inside = "/".join(parts[:end])
            for base in dict.fromkeys((posixpath.dirname(file) or ".", project.folder, project.root)):
                found = posixpath.normpath(posixpath.join(base, inside))
                if not found.startswith(".."):
                    yield found


def _owner(project: NodeProject, folder: str) -> NodePackage | None:
    """Return the package in the folder's parent."""
    above = posixpath.dirname(folder) or "."
    return next((item for item in project.packages if item.folder == above), None)
