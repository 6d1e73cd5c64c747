"""Resolution of specifiers to files, and bindings of import and export statements."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from tree_sitter import Node

from preview.endpoints.javascript.syntax import children, first_child, string_value, text
from preview.endpoints.javascript.values import Binding, JSObject, Module, Scope
from preview.endpoints.names import UNKNOWN, External
from preview.sources import Sources
from preview.sources.node_files import existing_script, resolve_script_file
from preview.sources.node_package import NodePackage
from preview.sources.tsconfig import read_tsconfig

if TYPE_CHECKING:
    from preview.endpoints.javascript.evaluator import JavaScriptEvaluator

ROOT: Final = "/project"
"""Stands for the project's folder in ``__dirname`` and other absolute paths, whatever its real path."""

_BUILT_IN: Final = frozenset(
    {"fs", "path", "http", "https", "http2", "os", "util", "events", "crypto", "url", "net", "stream", "cluster",
     "child_process", "assert", "buffer", "dns", "process", "querystring", "readline", "string_decoder", "timers",
     "tls", "tty", "v8", "vm", "worker_threads", "zlib", "module", "perf_hooks", "async_hooks", "express"}
)  # fmt: skip
_ALIAS_FOLDERS: Final = ("src", ".", "app", "server", "lib", "source")


class Resolver:
    """Resolves specifiers to files.

    Args:
        packages: All packages of the project, as they may require each other.
    """

    def __init__(self, sources: Sources, package: NodePackage, packages: list[NodePackage]) -> None:
        self._sources = sources
        self._package = package
        self._config = read_tsconfig(sources, package.folder)
        self._workspace = {item.name: item for item in packages if item.name and item is not package}
        self._mains = {item.folder: item.main for item in packages if item.main}
        self._aliases = dict(self._declared_aliases())
        self._known: dict[tuple[str, str], str | None] = {}

    @property
    def folder(self) -> str:
        """The package's folder, in which its program is started."""
        return self._package.folder

    def resolve(self, specifier: str, file: str) -> str | None:
        """Return the file that ``specifier`` means in ``file``; None if it is outside the project."""
        key = (specifier, posixpath.dirname(file))
        if key not in self._known:
            self._known[key] = self._resolve(specifier, file)
        return self._known[key]

    def _resolve(self, specifier: str, file: str) -> str | None:
        specifier = specifier.removeprefix("file://")
        if specifier.startswith(f"{ROOT}/"):
            return self._file(specifier.removeprefix(f"{ROOT}/"))
        if specifier.startswith("."):
            return self._file(posixpath.join(posixpath.dirname(file), specifier))
        if not specifier or specifier.startswith(("node:", "/")):
            return None
        return next((found for path in self._bare(specifier) if (found := self._file(path)) is not None), None)

    def _bare(self, specifier: str) -> Iterator[str]:
        """Yield candidate files for a specifier without a leading dot, the surest first."""
        yield from self._by_patterns(specifier)
        first = "/".join(specifier.split("/")[: 2 if specifier.startswith("@") else 1])
        if first in self._workspace:
            yield from self._by_workspace(self._workspace[first], specifier.removeprefix(first).lstrip("/"))
        if first in _BUILT_IN or self._package.requires(first, f"@types/{first}"):
            return
        if self._config.base_url is not None:
            yield posixpath.join(self._config.base_url, specifier)
        # NODE_PATH, module-resolver and bundlers: `@/routes`, `~/routes`, `@routes/users`, `src/routes`.
        for name in dict.fromkeys((specifier, specifier.lstrip("@~#").lstrip("/"))):
            for folder in _ALIAS_FOLDERS:
                if "/" in specifier or folder == "src":
                    yield posixpath.join(self._package.folder, folder, name)

    def _by_patterns(self, specifier: str) -> Iterator[str]:
        for pattern, targets in (*self._config.paths.items(), *self._aliases.items()):
            before, star, after = pattern.partition("*")
            if star and specifier.startswith(before) and specifier.endswith(after):
                middle = specifier[len(before) : len(specifier) - len(after)]
                yield from (target.replace("*", middle, 1) for target in targets)
            elif specifier == pattern:
                yield from targets

    def _declared_aliases(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield the aliases that ``_moduleAliases`` and ``imports`` of package.json declare."""
        for key in ("_moduleAliases", "imports"):
            value = self._package.data.get(key)
            for name, given in value.items() if isinstance(value, Mapping) else ():
                target = _condition(given) if isinstance(given, Mapping) else given
                if isinstance(target, str):
                    path = self._package.path(target)
                    yield str(name), (path,)
                    if "*" not in str(name):
                        yield f"{name}/*", (f"{path}/*",)

    def _by_workspace(self, package: NodePackage, rest: str) -> Iterator[str]:
        if rest:
            yield from (package.path(rest), package.path(f"src/{rest}"))
        else:
            main = resolve_script_file(self._sources, package.folder, package.main) if package.main else None
            yield from ([main] if main else [])
            yield from (package.path("src/index"), package.path("index"))

    def _file(self, path: str) -> str | None:
        path = posixpath.normpath(path)
        if path.startswith(".."):
            return None
        found = existing_script(self._sources, path)
        if found is None and self._sources.has_file(f"{path}.json"):
            return f"{path}.json"
        return found or self._built(path)

    def _built(self, path: str) -> str | None:
        """Return the source for ``require('../dist/server')``, or the main file of a folder with a package.json."""
        if (main := self._mains.get(path)) is not None:
            return resolve_script_file(self._sources, path, main)
        return resolve_script_file(self._sources, self._package.folder, posixpath.relpath(path, self._package.folder))


def _condition(given: Mapping[str, object]) -> object:
    return next((given[key] for key in ("default", "node", "import", "require") if key in given), None)


def default_export(module: Module) -> object:
    """Return the value of ``import x from``; for CommonJS modules the whole export."""
    exports = module.exports
    if isinstance(exports, JSObject) and "default" in exports.names:
        return exports.names["default"]
    return UNKNOWN if module.is_esm else exports


def named_export(evaluator: JavaScriptEvaluator, module: Module, name: str) -> object:
    """Return the value of ``import {name} from``."""
    return default_export(module) if name == "default" else evaluator.member(module.exports, name)


def bind_import(evaluator: JavaScriptEvaluator, node: Node, scope: Scope) -> None:
    """Bind the names of one import statement."""
    clause = next((part for part in children(node) if part.type in {"import_clause", "import_require_clause"}), None)
    is_require = clause is not None and clause.type == "import_require_clause"
    source = (clause if clause is not None and is_require else node).child_by_field_name("source")
    if source is None or (not is_require and text(node).startswith(("import type ", "import typeof "))):
        return
    origin = evaluator.require(string_value(source), scope.file)
    if clause is not None and is_require:
        scope.names[text(first_child(clause))] = _whole(origin)
        return
    for part in children(clause):
        if part.type == "identifier":
            scope.names[text(part)] = Binding(origin, "default") if isinstance(origin, Module) else origin
        elif part.type == "namespace_import":
            scope.names[text(first_child(part))] = _whole(origin)
        elif part.type == "named_imports":
            for item in children(part):
                name = text(item.child_by_field_name("name"))
                alias = text(item.child_by_field_name("alias")) or name
                scope.names[alias] = (
                    Binding(origin, name) if isinstance(origin, Module) else evaluator.member(origin, name)
                )


def _whole(origin: Module | External) -> object:
    return origin.exports if isinstance(origin, Module) else origin


def export(evaluator: JavaScriptEvaluator, node: Node, scope: Scope, exports: JSObject, holder: JSObject) -> None:
    """Execute one export statement."""
    source = node.child_by_field_name("source")
    origin = evaluator.require(string_value(source), scope.file) if source is not None else None
    declaration = node.child_by_field_name("declaration")
    value = node.child_by_field_name("value")
    kinds = {child.type for child in node.children}
    if declaration is not None:
        names = evaluator.declare(declaration, scope)
        exports.names.update(
            {"default": Binding(scope, names[0])} if "default" in kinds and names else
            {name: Binding(scope, name) for name in names}
        )  # fmt: skip
    elif value is not None:
        exports.names["default"] = evaluator.evaluate(value, scope)
    elif "=" in kinds:
        holder.names["exports"] = evaluator.evaluate(node.named_children[-1], scope)
    for part in children(node):
        if part.type == "export_clause":
            _export_names(evaluator, part, origin, scope, exports)
        elif part.type == "namespace_export" and origin is not None:
            exports.names[text(first_child(part))] = _whole(origin)
    if "*" in kinds and isinstance(origin, Module) and isinstance(origin.exports, JSObject):
        found = {name: item for name, item in origin.exports.names.items() if name != "default"}
        exports.names.update({name: item for name, item in found.items() if name not in exports.names})


def _export_names(
    evaluator: JavaScriptEvaluator, clause: Node, origin: Module | External | None, scope: Scope, exports: JSObject
) -> None:
    for item in children(clause):
        # tree-sitter has no field for the keyword in `export { default as users }`.
        first = item.children[0] if item.children else None
        name = text(item.child_by_field_name("name") or first)
        alias = text(item.child_by_field_name("alias")) or name
        if isinstance(origin, Module):
            exports.names[alias] = Binding(origin, name)
        else:
            exports.names[alias] = Binding(scope, name) if origin is None else evaluator.member(origin, name)
