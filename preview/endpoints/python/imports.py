"""Resolution of imports to the project's files."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence

from preview.endpoints.names import UNKNOWN, External
from preview.endpoints.python.values import Module, Scope
from preview.sources import Sources

_MAX_ROOTS = 10


def join(folder: str, name: str) -> str:
    """Return a path below a folder, where ``.`` is the project's root."""
    return name if folder in {"", "."} else f"{folder}/{name}" if name else folder


class Importer:
    """Binds the names of import statements.

    Args:
        roots: Import roots, in order of precedence.
        starred: Returns the names that a star import of an external module binds.
        outside: Maps full external names to their values, for names with a known value.
    """

    def __init__(
        self,
        sources: Sources,
        roots: Sequence[str],
        load: Callable[[str], Module],
        starred: Callable[[str], Sequence[str]],
        outside: Mapping[str, object],
    ) -> None:
        self._sources = sources
        self._roots = list(roots)
        self._outside = outside
        self._load = load
        self._starred = starred

    def bind(self, node: ast.Import | ast.ImportFrom, scope: Scope) -> None:
        """Bind the names of one statement."""
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                # `import a.b` binds a, `import a.b as c` binds a.b.
                wanted = alias.name if alias.asname else top
                found = self.module(alias.name)
                found = found if wanted == alias.name else self.module(top)
                scope.names[alias.asname or top] = found or self._outside.get(wanted) or External(wanted)
        else:
            self._bind_from(node, scope)

    def module(self, name: str) -> Module | None:
        """Return the project's module of this absolute name, or None."""
        return next((found for root in self._roots if (found := self._module(root, name))), None)

    def add_root(self, folder: str) -> None:
        """Add a folder from which absolute imports are resolved, after the others."""
        if (
            folder not in self._roots
            and len(self._roots) < _MAX_ROOTS
            and (folder == "." or self._sources.has_folder(folder))
        ):
            self._roots.append(folder)

    def dotted(self, file: str) -> str:
        """Return a file's module name, relative to the import root that contains the file."""
        name = file.removesuffix(".py")
        name = name.removesuffix("/__init__") if name.endswith("/__init__") else name
        inside = [root for root in self._roots if root != "." and name.startswith(f"{root}/")]
        return (name[len(max(inside, key=len)) + 1 :] if inside else name).replace("/", ".")

    def package(self, file: str) -> str:
        """Return the package that contains a file's module, or that the file defines."""
        name = self.dotted(file)
        return name if file.endswith("__init__.py") else name.rpartition(".")[0]

    def submodules(self, file: str) -> list[str]:
        """Return the names of the modules and packages in the folder of a file, without the file's own."""
        folder = file.rpartition("/")[0]
        start = f"{folder}/" if folder else ""
        inside = [name[len(start) :] for name in self._sources.names if name.startswith(start)]
        modules = {name.removesuffix(".py") for name in inside if "/" not in name}
        packages = {
            name.removesuffix("/__init__.py")
            for name in inside
            if name.count("/") == 1 and name.endswith("/__init__.py")
        }
        return sorted((modules | packages) - {"__init__", file[len(start) :].removesuffix(".py")})

    def submodule(self, module: Module, name: str) -> object:
        """Evaluate ``module.name`` for a submodule; ``UNKNOWN`` if there is none."""
        folder = _package_folder(module.file)
        return (self._module(folder, name) if folder is not None else None) or UNKNOWN

    def _bind_from(self, node: ast.ImportFrom, scope: Scope) -> None:
        name = node.module or ""
        base = self._base(node, scope.file, name)
        origin = self._module(base, name) if name else self._package(base)
        folder = join(base, name.replace(".", "/"))
        for alias in node.names:
            if alias.name == "*":
                if origin is not None:
                    public = {key: value for key, value in origin.scope.names.items() if not key.startswith("_")}
                    scope.names.update(public)
                elif not node.level:
                    scope.names.update({known: External(f"{name}.{known}") for known in self._starred(name)})
                continue
            value: object = UNKNOWN
            if origin is not None and alias.name in origin.scope.names:
                value = origin.scope.names[alias.name]
            elif found := self._module(folder, alias.name):
                value = found
            elif origin is None and not node.level:
                full = f"{name}.{alias.name}"
                value = self._outside.get(full) or External(full)
            scope.names[alias.asname or alias.name] = value

    def _base(self, node: ast.ImportFrom, file: str, name: str) -> str:
        if not node.level:
            return next((root for root in self._roots if self._module(root, name)), self._roots[0])
        parts = file.split("/")[:-1]
        return "/".join(parts[: len(parts) - (node.level - 1)]) or "."

    def _package(self, folder: str) -> Module | None:
        """Return the package of a folder, for ``from . import name``."""
        file = join(folder, "__init__.py")
        return self._load(file) if self._sources.has_file(file) else None

    def _module(self, folder: str, name: str) -> Module | None:
        path = join(folder, name.replace(".", "/"))
        for file in (f"{path}/__init__.py", f"{path}.py"):
            if self._sources.has_file(file):
                self._load_packages(folder, name)
                return self._load(file)
        # A folder without __init__.py is a package too (PEP 420).
        return Module(f"{path}/__init__.py", Scope(path)) if self._sources.has_folder(path) else None

    def _load_packages(self, folder: str, name: str) -> None:
        """Load the packages above a module before the module, as Python does."""
        parts = name.split(".")
        for count in range(1, len(parts)):
            file = join(folder, "/".join([*parts[:count], "__init__.py"]))
            if self._sources.has_file(file):
                self._load(file)


def _package_folder(file: str) -> str | None:
    return file.removesuffix("/__init__.py") if file.endswith("/__init__.py") else None
