"""Find the arguments of ``node`` that start a project: flags of its scripts, and a loader for its language."""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from preview.detection.node.compiler import (
    aliases_a_package,
    calls_a_namespace,
    needs_interoperation,
    package_version,
    runs_by_tsx,
    tsx_arguments,
    unless_declared,
)
from preview.detection.node.entity_columns import has_untold_columns
from preview.detection.node.project import NodeProject
from preview.detection.node.runtimes import bun_requirement, exports_server, needs_bun
from preview.detection.plan import Step
from preview.sources.javascript import read_literal
from preview.sources.node_package import is_fastify_start
from preview.sources.node_scripts import split_commands

TSX: Final = "tsx@^4.19.0"
_HONO_SERVER: Final = "@hono/node-server@^1.13.0"
# lib of @fastify/autoload 6: it looks at what was required before, at ts-node and at this variable.
_AUTOLOAD_TYPESCRIPT: Final = "FASTIFY_AUTOLOAD_TYPESCRIPT"
_AUTOLOAD_MAJOR: Final = 6
_TS_NODE: Final = ("ts-node@^10.9.0", "typescript@^5.0.0")
_TS_PATHS: Final = "tsconfig-paths@^4.2.0"
_SWC: Final = ("@swc-node/register@^1.10.0", "@swc/core@^1.10.0")
# Flags of node itself, alone or with a value.
_KEPT_FLAGS: Final = re.compile(
    r"--(?:experimental-[\w-]+|es-module-specifier-resolution|no-warnings|max-old-space-size|openssl-legacy-provider"
    r"|trace-warnings|harmony[\w-]*|no-deprecation|conditions|preserve-symlinks|unhandled-rejections"
    r"|enable-source-maps|stack-size|max-http-header-size|dns-result-order|no-experimental-[\w-]+)(?:=\S+)?"
)
# Node no longer starts with these flags.
_GONE_FLAGS: Final = re.compile(
    r"--(?:es-module-specifier-resolution|experimental-modules|experimental-specifier-resolution"
    r"|experimental-json-modules|experimental-loader|experimental-worker|experimental-strip-types"
    r"|experimental-transform-types)"
)
_PRELOADS: Final = frozenset({"-r", "--require", "--import"})
_BUN_FLAGS: Final = re.compile(r"--(?:smol|(?:tsconfig-override|conditions|define|loader|drop|jsx-[\w-]+)=\S+)")
# The chosen runner replaces these modules, or they watch files.
_REPLACED: Final = re.compile(
    r"ts-node|tsconfig-paths|tsx|@swc-node|swc-node|esbuild-register|esbuild-runner|@esbuild-kit|sucrase|ts-eager"
    r"|module-alias/register-none|@babel/register|babel-register|babel-core/register|@babel/node|source-map-support"
)
_SCRIPTS: Final = (
    "start", "serve", "server", "dev", "develop", "start:dev", "dev:server", "start:server", "server:dev", "start:prod",
    "prod", "production", "watch",
)  # fmt: skip
_RUNNERS: Final = frozenset(
    {"node", "nodejs", "nodemon", "ts-node", "ts-node-dev", "tsnd", "tsx", "babel-node", "node-dev", "pm2",
     "pm2-runtime", "forever", "swc-node", "esno", "sucrase-node"}
)  # fmt: skip
_ASSIGNMENT: Final = re.compile(r"(?:^|\s)([A-Za-z_]\w*)=(\"[^\"]*\"|'[^']*'|[^\s;&|]*)")
_OWN_NAMES: Final = frozenset({"PORT", "NODE_ENV", "PATH", "NODE_OPTIONS", "DATABASE_URL", "HOST"})
_DECORATOR: Final = re.compile(rb"^[ \t]*@[A-Z]\w*\s*\(", re.MULTILINE)
_METADATA_USERS: Final = (
    "reflect-metadata", "@nestjs/core", "typeorm", "type-graphql", "routing-controllers", "inversify", "typedi",
    "tsyringe", "sequelize-typescript", "@mikro-orm/core", "@tsed/common", "@typegoose/typegoose", "@loopback/core",
)  # fmt: skip
# Their classes refer to each other across files in circles. What swc makes of that fails with "Cannot access 'User'
# before initialization"; TypeScript's own compiler asks for the type first (``typeof User``).
_CIRCULAR: Final = ("typeorm", "@mikro-orm/core", "sequelize-typescript", "type-graphql", "@typegoose/typegoose")
# swc's loader asks the compiler for the endings of ES modules (`.mts`); ts-node does not start with newer compilers.
_SWC_FROM: Final = (4, 7)
# The majors that are added if the project declares none; older releases of ts-node have no module for their speed.
_TYPESCRIPT: Final = 5
# Options that go with another module system alone, and those that a newer TypeScript gives up: the compiler reads the
# sources all the same. NestJS's own `tsconfig.json` has `resolvePackageJsonExports`.
_IGNORED_DIAGNOSTICS: Final = "5095,5098,5101,5102,5107,5109,5110"
_TS_NODE_MAJOR: Final = 10
_TRANSPILES_FROM: Final = (7, 0)
# Reads types without looking for mistakes in them, which takes most of the time.
_NO_CHECK_FROM: Final = (5, 6)
_TS_NODE_BELOW: Final = 6
_MODULE_SYNTAX: Final = re.compile(
    rb"^\s*(?:import\s+[\w{*\"']|export\s+(?:default|const|class|function|\{|async))", re.MULTILINE
)
_JSX_OR_FLOW: Final = re.compile(rb"@flow|from ['\"]react['\"]")


@dataclass(frozen=True, slots=True)
class NodeCommand:
    """Arguments for ``node``, or for ``bun``.

    Attributes:
        arguments: All arguments, the entry last.
        requirements: Packages to install in addition to the project's own.
        variables: Values of variables that the script sets, by name.
        script: ``start``; empty if no script leads to the entry.
        decisions: Sentences for the log.
        runner: The arguments that load the sources' language.
        steps: Work before the start.
        is_bun: They are for Bun.
    """

    arguments: tuple[str, ...]
    requirements: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    script: str = ""
    decisions: tuple[str, ...] = ()
    runner: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    is_bun: bool = False


def find_command(project: NodeProject) -> NodeCommand:
    """Return the command that starts the project's entry."""
    why = needs_bun(project)
    if why is not None:
        return _bun(project, why)
    script, text = _script(project, _RUNNERS)
    flags = list(_flags(project, text))
    variables = dict(_assignments(text))
    runner = _runner(project, flags)
    variables.update(runner.variables)
    entry = project.relative(project.entry.file)
    if exports_server(project):
        arguments = (*runner.arguments, *flags, "--input-type=module", "--eval", _serve_exported(entry))
        told = (f"{project.entry.file} exports its server: @hono/node-server serves it", *runner.decisions)
        requirements = (*runner.requirements, *unless_declared(project, _HONO_SERVER))
        return NodeCommand(arguments, requirements, variables, script, told, runner.arguments)
    steps: tuple[Step, ...] = ()
    if runner.arguments and "." not in posixpath.basename(entry):
        steps = (_copy_step(project, entry),)
        entry = f"{entry}.js"
    arguments = (*runner.arguments, *flags, *_starter(project), entry)
    decisions = [f"node {' '.join(arguments)}" + (f' (package.json "{script}")' if script else "")]
    told = (*decisions, *runner.decisions)
    return NodeCommand(arguments, runner.requirements, variables, script, told, runner.arguments, steps)


def _copy_step(project: NodeProject, entry: str) -> Step:
    """Return the step that gives a script without an ending (``bin/www``) one: loaders choose by the ending."""
    program = "const [, from] = process.argv; require('fs').copyFileSync(from, `${from}.js`)"
    why = f"{entry} has no ending, by which the loader of its language knows it"
    return Step("entry file", ("node", "-e", program, entry), project.folder, why, required=True)


def _serve_exported(entry: str) -> str:
    """Return a program that serves what a file exports, as Bun and Cloudflare's Workers do: ``c.env`` has variables."""
    return (
        "import { serve } from '@hono/node-server'; "
        f"const app = (await import({json.dumps(f'./{entry}')})).default; "
        "const context = { props: {}, waitUntil() {}, passThroughOnException() {} }; "
        "serve({ port: Number(process.env.PORT), "
        "fetch: (request, env) => app.fetch(request, { ...process.env, ...env }, context) });"
    )


def _starter(project: NodeProject) -> tuple[str, ...]:
    """Return the program that gets the entry, if the entry only exports a plugin (``fastify start app.js``)."""
    named = re.search(r'"([^"]+)"', project.entry.by)
    text = project.package.scripts.get(named[1], "") if named else ""
    if not project.requires("fastify-cli") or not any(map(is_fastify_start, split_commands(text))):
        return ()
    folder = posixpath.relpath(project.root, project.folder)
    program = posixpath.normpath(posixpath.join(folder, "node_modules/fastify-cli/cli.js"))
    return ("--preserve-symlinks-main", program, "start")


def _bun(project: NodeProject, why: str) -> NodeCommand:
    """Return the command for Bun, which reads all languages and watches for no changes."""
    script, text = _script(project, frozenset({"bun"}))
    arguments = (*_bun_flags(project, text), project.relative(project.entry.file))
    told = f"bun {' '.join(arguments)}" + (f' (package.json "{script}")' if script else "")
    decisions = (told, f"Bun runs it, because Node cannot: {why}")
    variables = dict(_assignments(text))
    return NodeCommand(arguments, (bun_requirement(project),), variables, script, decisions, is_bun=True)


def _bun_flags(project: NodeProject, script: str) -> Iterator[str]:
    for command in split_commands(script):
        if command[0].rpartition("/")[2] != "bun":
            continue
        words = iter(command[1:])
        for word in words:
            name, sign, value = word.partition("=")
            if name in _PRELOADS or name in {"--preload", "--env-file"}:
                value = value if sign else next(words, "")
                found = project.find(value) if name == "--env-file" else _can_preload(project, value)
                if value and found:
                    yield f"{name if name == '--env-file' else '--preload'}={value}"
            elif _BUN_FLAGS.fullmatch(word):
                yield word


def _script(project: NodeProject, runners: frozenset[str]) -> tuple[str, str]:
    """Return name and text of the script that leads to the entry."""
    named = re.search(r'"([^"]+)"', project.entry.by)
    names = [named[1]] if named and named[1] in project.package.scripts else []
    for name in (*names, *_SCRIPTS):
        text = project.package.scripts.get(name, "")
        if any(command[0].rpartition("/")[2] in runners for command in split_commands(text)):
            return name, text
    return "", ""


def _flags(project: NodeProject, script: str) -> Iterator[str]:
    options = re.search(r"NODE_OPTIONS=(\"[^\"]*\"|'[^']*'|\S+)", script)
    commands = [command for command in split_commands(script) if command[0].rpartition("/")[2] in _RUNNERS]
    if options:
        commands.append(["node", *_words(options[1].strip("\"'"))])
    for words in (iter(command[1:]) for command in commands):
        for word in words:
            if word in _PRELOADS:
                value = next(words, "")
                if value and not _REPLACED.search(value) and _can_preload(project, value):
                    yield from (word, value)
            elif (word.startswith("--env-file=") and project.find(word.partition("=")[2])) or (
                _KEPT_FLAGS.fullmatch(word) and not _GONE_FLAGS.match(word)
            ):
                yield word


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def _can_preload(project: NodeProject, value: str) -> bool:
    if value.startswith("."):
        return any(project.find(value + end) for end in ("", ".js", ".mjs", ".cjs"))
    package = "/".join(value.split("/")[: 2 if value.startswith("@") else 1])
    return project.requires(package)


def _assignments(script: str) -> Iterator[tuple[str, str]]:
    for name, value in _ASSIGNMENT.findall(script):
        clean = value.strip("\"'")
        if name not in _OWN_NAMES and "$" not in clean and clean:
            yield name, clean


def _runner(project: NodeProject, flags: list[str]) -> NodeCommand:
    """Return the arguments that load the entry's language."""
    if project.entry.built:
        return NodeCommand(())
    if project.entry.typescript:
        return _typescript(project)
    babel = _babel(project)
    if babel is not None:
        return babel
    if _is_plain(project) or any(flag.startswith("esm") for flag in flags):
        return NodeCommand(())
    return NodeCommand(
        tsx_arguments(project),
        unless_declared(project, TSX),
        decisions=("the sources mix module systems or languages: tsx reads them",),
    )


def _typescript(project: NodeProject) -> NodeCommand:
    config, options = _compiler_options(project)
    module = project.package.data.get("type") == "module"
    version = package_version(project, "typescript", _TYPESCRIPT)
    by_tsx = runs_by_tsx(project, _SCRIPTS)
    compiles = not module and version[0] < _TS_NODE_BELOW and not by_tsx
    metadata = not by_tsx and options.get("emitDecoratorMetadata") is True and project.requires(*_METADATA_USERS)
    if metadata and any(_DECORATOR.search(project.sources.text(name)) for name in project.scripts):
        if compiles and has_untold_columns(project):
            why = "columns have the type of an enumeration: TypeScript's compiler reads all files to tell it"
            return _ts_node(project, config, options, why, reads_types=True)
        if compiles and needs_interoperation(project, options):
            why = "NestJS's build takes default imports of any package: ts-node compiles the sources so, too"
            return _ts_node(project, config, options, why)
        if compiles and (project.requires(*_CIRCULAR) or version < _SWC_FROM):
            why = "entities refer to each other's types: ts-node compiles the sources as they are loaded"
            return _ts_node(project, config, options, why)
        if compiles and (alias := aliases_a_package(project, config, options)):
            why = f"the alias {alias} also means a package: ts-node compiles the sources, which looks for its files"
            return _ts_node(project, config, options, why)
        register = ("--import", "@swc-node/register/esm-register") if module else ("-r", "@swc-node/register")
        return NodeCommand(
            register,
            tuple(line for item in _SWC for line in unless_declared(project, item)),
            _loader_variables(project, "SWC_NODE_PROJECT", config),
            decisions=("decorators need the types of what they decorate: swc compiles the sources as they are loaded",),
        )
    if compiles and any(calls_a_namespace(project.sources.text(name)) for name in project.scripts):
        why = "`import * as` names a function or a class: ts-node compiles the sources as they are loaded"
        return _ts_node(project, config, options, why)
    return NodeCommand(
        tsx_arguments(project),
        unless_declared(project, TSX),
        _loader_variables(project, "TSX_TSCONFIG_PATH", config),
        decisions=("TypeScript is read by tsx, nothing is built",),
    )


def _loader_variables(project: NodeProject, name: str, config: str) -> dict[str, str]:
    found = {name: config} if config not in {"", "tsconfig.json"} else {}
    # It loads TypeScript only if it knows the loader, and knows none of those that ``--import`` names.
    if not project.requires("@fastify/autoload", "fastify-autoload"):
        return found
    # Older releases look at a variable of ts-node-dev instead.
    is_old = project.requires("fastify-autoload") or (
        package_version(project, "@fastify/autoload", _AUTOLOAD_MAJOR) < (_AUTOLOAD_MAJOR, 0)
    )
    return {**found, "TS_NODE_DEV" if is_old else _AUTOLOAD_TYPESCRIPT: "1"}


def _ts_node(
    project: NodeProject, config: str, options: dict[str, object], why: str, *, reads_types: bool = False
) -> NodeCommand:
    # `import … from "src/users"` is found below `baseUrl`, with paths or without.
    mapped = bool(options.get("paths") or options.get("baseUrl"))
    is_old = package_version(project, "ts-node", _TS_NODE_MAJOR) < _TRANSPILES_FROM
    register = "ts-node/register" if is_old or reads_types else "ts-node/register/transpile-only"
    fast = {"TS_NODE_FAST": "true", "TS_NODE_TRANSPILE_ONLY": "true"} if is_old and not reads_types else {}
    # A mistake in the types is logged, and keeps no program from its start.
    told = {"TS_NODE_LOG_ERROR": "true"} if reads_types else {}
    is_unchecked = reads_types and package_version(project, "typescript", _TYPESCRIPT) >= _NO_CHECK_FROM
    compiled = {
        "module": "commonjs",
        "moduleResolution": "node",
        **({"noCheck": True} if is_unchecked else {}),
        **({"esModuleInterop": True} if needs_interoperation(project, options) else {}),
    }
    return NodeCommand(
        ("-r", register, *(("-r", "tsconfig-paths/register") if mapped else ())),
        unless_declared(project, *_TS_NODE, *((_TS_PATHS,) if mapped else ())),
        {
            "TS_NODE_COMPILER_OPTIONS": json.dumps(compiled, separators=(",", ":")),
            "TS_NODE_IGNORE_DIAGNOSTICS": _IGNORED_DIAGNOSTICS,
            **fast,
            **told,
            **({"TS_NODE_PROJECT": config} if config not in {"", "tsconfig.json"} else {}),
        },
        decisions=(why,),
    )


def _compiler_options(project: NodeProject) -> tuple[str, dict[str, object]]:
    """Return the config file with ``paths``, else the first one, and the merged options of all."""
    found: dict[str, object] = {}
    chosen = ""
    for part in ("", "app.", "build.", "base.", "node."):
        file = project.find(f"tsconfig.{part}json")
        content = read_literal(project.sources.text(file)) if file is not None else None
        options = content.get("compilerOptions") if isinstance(content, dict) else None
        if file is None or not isinstance(options, dict):
            continue
        if not chosen or (options.get("paths") and not found.get("paths")):
            chosen = project.relative(file)
        found = {**options, **found}
    return chosen, found


def _babel(project: NodeProject) -> NodeCommand | None:
    """Return the project's own Babel setup, if the sources need it."""
    configured = project.find(
        ".babelrc", ".babelrc.js", ".babelrc.json", ".babelrc.cjs", "babel.config.js", "babel.config.json",
        "babel.config.cjs",
    )  # fmt: skip
    configured = configured or ("package.json" if "babel" in project.package.data else None)
    if configured is None or _is_plain(project):
        return None
    if project.requires("@babel/core", "@babel/cli", "@babel/node", "@babel/register"):
        return NodeCommand(
            ("-r", "@babel/register"),
            unless_declared(project, "@babel/register@^7.0.0", "@babel/core@^7.0.0"),
            decisions=(f"Babel compiles the sources as they are loaded ({configured})",),
        )
    if project.requires("babel-cli", "babel-core", "babel-register"):
        return NodeCommand(
            ("-r", "babel-register"),
            unless_declared(project, "babel-register@^6.26.0"),
            decisions=(f"Babel 6 compiles the sources as they are loaded ({configured})",),
        )
    return None


def _is_plain(project: NodeProject) -> bool:
    """Return true if Node can run the sources unchanged: the declared module system matches their syntax."""
    module = project.package.data.get("type") == "module"
    entry = project.entry.file
    if entry.endswith((".mjs", ".cjs")) or module:
        return True
    near = [name for name in project.scripts if name.endswith(".js")]
    folder = entry.rpartition("/")[0]
    own = [name for name in near if not folder or name.startswith(f"{folder}/")]
    texts = [project.sources.text(name) for name in dict.fromkeys((entry, *own))]
    if _MODULE_SYNTAX.search(texts[0]) or _JSX_OR_FLOW.search(texts[0]):
        return False
    # The entry may be two lines that load sources of another kind.
    return sum(1 for text in texts if _MODULE_SYNTAX.search(text)) <= len(texts) // 2
