"""External imports of the files that an application loads. Parses files and never runs them."""

from __future__ import annotations

import ast
import posixpath
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from preview.environments.imports.names import DRIVERS, FEATURES, INSTEAD, OWN_NAMES, WELL_KNOWN, distribution_of
from preview.sources import Sources

_MAX_FILES: Final = 1_500
_MAX_NAMES: Final = 1_000
# Modules of a package without ``__init__.py`` that only a text names.
_MAX_BESIDE: Final = 20
_STANDARD: Final = frozenset(sys.stdlib_module_names)
_SCHEME: Final = re.compile(
    rb"\b((?:postgres|postgresql|mysql|mariadb|sqlite)\+\w+)\b|\b(postgres(?:ql)?|mysql)://"
    rb"|(django\.db\.backends\.(?:postgresql(?:_psycopg2)?|mysql))\b"
)
# Each match of the pattern contains one of these: a plain search costs a tenth of the pattern's time.
_SCHEME_PARTS: Final = (b"postgres", b"mysql", b"mariadb+", b"sqlite+")
# Packages that are needed without an import: for hashes of passlib, formats of pandas, and backends of settings.
_HINTS: Final = (
    (re.compile(rb"schemes\s*=\s*\[[^\]]*[\"']bcrypt"), "bcrypt", "hashes passwords with bcrypt"),
    (re.compile(rb"schemes\s*=\s*\[[^\]]*[\"']argon2"), "argon2-cffi", "hashes passwords with argon2"),
    (re.compile(rb"\bmodels\.ImageField\("), "pillow", "has an ImageField"),
    (re.compile(rb"\b(?:read_excel|to_excel)\("), "openpyxl", "reads or writes Excel files"),
    (re.compile(rb"\b(?:read_parquet|to_parquet)\("), "pyarrow", "reads or writes Parquet files"),
    (re.compile(rb"BeautifulSoup\([^\n]{0,200}[\"'](?:lxml|lxml-xml|xml)[\"']"), "lxml", "parses with lxml"),
    (re.compile(rb"BeautifulSoup\([^\n]{0,200}[\"']html5lib[\"']"), "html5lib", "parses with html5lib"),
    (re.compile(rb"[\"']django_redis\."), "django-redis", "names django_redis"),
    (re.compile(rb"[\"']channels_redis\."), "channels-redis", "names channels_redis"),
    (re.compile(rb"[\"']pythonjsonlogger\."), "python-json-logger", "names pythonjsonlogger"),
    (re.compile(rb"[\"']whitenoise\."), "whitenoise", "names whitenoise"),
    (re.compile(rb"[\"']storages\.backends\."), "django-storages", "names storages"),
    (re.compile(rb"[\"']django\.core\.cache\.backends\.redis\."), "redis", "has a cache in Redis"),
    (re.compile(rb"\bCelery\([^()]{0,300}[\"']redis://"), "redis", "has its tasks in Redis"),
)
# SQLAlchemy's drivers, from which a program puts its address together.
_DRIVER_NAMES: Final = re.compile(rb"[\"'](aiosqlite|asyncpg|aiomysql)[\"']")
_DOTTED: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*(?::\w+(?:\(\))?)?")
# Settings with lists of module names that the framework imports.
_NAME_LISTS: Final = frozenset({"INSTALLED_APPS", "MIDDLEWARE", "THIRD_PARTY_APPS", "DJANGO_APPS", "LOCAL_APPS"})
# Settings with classes that the framework imports at the first request.
_CLASS_TABLES: Final = frozenset({"REST_FRAMEWORK", "AUTHENTICATION_BACKENDS"})
# Modules that Django loads from an application's package, in addition to imported ones.
_LOADED: Final = ("apps.py", "models.py", "models/__init__.py", "admin.py", "urls.py", "signals.py")
_ASIDE: Final = frozenset({"tests", "test", "testing", "conftest", "setup", "migrations"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """An external package that a project uses.

    Attributes:
        module: Name that must be importable; empty if only the package is needed.
        distribution: The package that provides the module, as a requirement line.
        why: Part of a sentence, for example ``imports "jose"``.
        origin: Where a group or file that is not installed names the package; empty if nothing does.
    """

    module: str
    distribution: str
    file: str
    why: str
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Imports:
    """External imports of an application's files.

    Attributes:
        wanted: Imported packages, each once.
        standard: Top-level names of standard library modules, without optional imports.
        names: Imported modules and names (``("flask", "escape")``) from outside, without optional imports.
    """

    wanted: tuple[Wanted, ...]
    standard: frozenset[str]
    names: tuple[tuple[str, str], ...] = ()


def find_imports(sources: Sources, entry: str) -> Imports:
    """Return the imports of the application's files from outside the project."""
    scan = _Scan(sources, entry)
    scan.run()
    return Imports(tuple(scan.wanted.values()), frozenset(scan.standard), tuple(scan.names)[:_MAX_NAMES])


class _Scan:
    def __init__(self, sources: Sources, entry: str) -> None:
        self._sources = sources
        self._roots = _roots(sources, entry)
        self._todo = [entry]
        self._seen: set[str] = set()
        self._own = _own_names(sources)
        self.wanted: dict[str, Wanted] = {}
        self.standard: set[str] = set()
        self.names: dict[tuple[str, str], None] = {}

    def run(self) -> None:
        while self._todo and len(self._seen) < _MAX_FILES:
            file = self._todo.pop()
            if file in self._seen or not self._sources.has_file(file):
                continue
            self._seen.add(file)
            tree = self._sources.tree(file)
            if tree is not None:
                self._read(tree.body, file)
                self._strings(tree, file)
                self._schemes(file)
        for name in self._sources.all_names:
            if posixpath.basename(name).startswith(".env"):
                self._schemes(name)

    def _read(self, body: Sequence[ast.stmt], file: str, *, optional: bool = False) -> None:
        for node in body:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self._import(alias.name, (), file, 0, optional=optional)
            elif isinstance(node, ast.ImportFrom):
                names = [alias.name for alias in node.names]
                self._import(node.module or "", names, file, node.level, optional=optional)
            elif isinstance(node, ast.If) and _is_aside(node.test):
                self._read(node.orelse, file, optional=optional)
            elif isinstance(node, ast.Try):
                tolerant = optional or any(_forgives(handler) for handler in node.handlers)
                self._read(node.body, file, optional=tolerant)
                for handler in node.handlers:
                    self._read(handler.body, file, optional=tolerant)
                self._read([*node.orelse, *node.finalbody], file, optional=optional)
            else:
                for inner in _blocks(node):
                    self._read(inner, file, optional=optional)

    def _import(self, module: str, names: Sequence[str], file: str, level: int, *, optional: bool) -> None:
        if level:
            parts = file.split("/")[:-1]
            base = "/".join(parts[: max(0, len(parts) - (level - 1))])
            self._follow([base], module, names)
            return
        top = module.partition(".")[0]
        if module == "flask.ext":
            for name in names:
                self._import(f"flask_{name}", (), file, 0, optional=optional)
            return
        if module.startswith("flask.ext."):
            module = f"flask_{module.removeprefix('flask.ext.')}"
            top = module.partition(".")[0]
        if self._follow(self._roots, module, names) or top in self._own or optional:
            return
        if top in _STANDARD:
            self.standard.add(top)
            return
        self.names |= {(module, name): None for name in names or [""]}
        # `from google.cloud import storage`: an imported name may be a module.
        longest = max(
            (distribution_of(f"{module}.{name}") for name in names), default=("", ""), key=lambda it: len(it[0])
        )
        found = max(longest, distribution_of(module), key=lambda it: len(it[0]))
        # Two packages have a module of this name; only one of them has what is imported from it.
        package = next((INSTEAD[module, name] for name in names if (module, name) in INSTEAD), found[1])
        self._want(found[0], package, file, f'imports "{found[0]}"')
        for name in names:
            if feature := FEATURES.get((module, name)):
                self._want("", feature, file, f"uses {name}")

    def _want(self, module: str, distribution: str, file: str, why: str) -> None:
        if module.partition(".")[0] in OWN_NAMES or module.startswith("_") or not distribution:
            return
        self.wanted.setdefault(module or distribution, Wanted(module, distribution, file, why))

    def _follow(self, folders: Sequence[str], module: str, names: Sequence[str]) -> bool:
        """Queue the project's files for an import; return whether there are any."""
        for folder in folders:
            path = posixpath.join(folder, module.replace(".", "/")) if module else folder
            parts = path.split("/")
            found = [file for file in _files(path) if self._sources.has_file(file)]
            found += [
                file for name in names for file in _files(posixpath.join(path, name)) if self._sources.has_file(file)
            ]
            if not found and not names and parts[-1] == "settings" and self._sources.has_folder(path):
                # ``config.settings`` may be a folder without ``__init__.py``: a setting chooses one of its modules.
                found = [file for file in self._sources.names if posixpath.dirname(file) == path][:_MAX_BESIDE]
            if found or (module and self._sources.has_folder(path)):
                self._todo += found
                self._todo += ["/".join([*parts[:count], "__init__.py"]) for count in range(1, len(parts))]
                return True
        return False

    def _strings(self, tree: ast.Module, file: str) -> None:
        """Handle modules that are named by strings: ``include("shop.urls")``, ``INSTALLED_APPS``."""
        listed = {id(text) for node in tree.body for text in _listed(node, _NAME_LISTS)}
        included = {id(text) for node in _needed(tree.body) for text in _included(node)}
        included |= {id(text) for node in tree.body for text in _listed(node, _CLASS_TABLES)}
        for node in self._sources.nodes(file):
            if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or len(node.value) > 100:
                continue
            text = node.value.partition(":")[0]
            if id(node) in listed:
                self._application(text, file)
            elif "." in text and _DOTTED.fullmatch(node.value):
                head = text.partition(".")[0]
                if id(node) in included and head not in self._own:
                    self._application(text, file)
                elif head in self._own:
                    self._follow(self._roots, text, ()) or self._follow(self._roots, text.rpartition(".")[0], ())

    def _application(self, text: str, file: str) -> None:
        if not _DOTTED.fullmatch(text):
            return
        for name in (text, text.partition(".apps.")[0]):
            for root in self._roots:
                path = posixpath.join(root, name.replace(".", "/"))
                if self._sources.has_folder(path) or self._sources.has_file(f"{path}.py"):
                    self._todo += [f"{path}/{part}" for part in ("__init__.py", *_LOADED)]
                    self._todo.append(f"{path}.py")
                    return
        top = text.partition(".")[0]
        if top not in self._own and top not in _STANDARD:
            module, distribution = distribution_of(text)
            self._want(module, distribution, file, f'names "{text}"')

    def _schemes(self, file: str) -> None:
        text = self._sources.text(file)
        for pattern, package, why in _HINTS:
            if pattern.search(text):
                self._want("", package, file, why)
        for match in _DRIVER_NAMES.finditer(text) if b"create_async_engine" in text else ():
            driver = match[1].decode()
            self._want("", driver, file, f"names {driver}")
        for match in _SCHEME.finditer(text) if any(map(text.__contains__, _SCHEME_PARTS)) else ():
            scheme = next(group for group in match.groups() if group).decode()
            if driver := DRIVERS.get(scheme):
                self._want("", driver, file, f'has an address that begins with "{scheme}"')


def _own_names(sources: Sources) -> set[str]:
    """Return the names of the project's modules and folders.

    A module of a well-known package's name inside a package (``adapters/redis.py``) hides nothing.
    """
    found: set[str] = set()
    for name in sources.names:
        parts = name.removesuffix(".py").split("/")
        for number, part in enumerate(parts):
            inside = part in WELL_KNOWN and sources.has_file(posixpath.join(*parts[:number], "__init__.py"))
            if not inside or number == 0:
                found.add(part)
    return found


def _roots(sources: Sources, entry: str) -> list[str]:
    """Return base folders of absolute imports: the entry's folder, its parents, and ``src`` in each of them."""
    folder = posixpath.dirname(entry)
    found = [folder]
    while folder:
        folder = posixpath.dirname(folder)
        found.append(folder)
    beside = [posixpath.join(root, "src") for root in found]
    return [*found, *(root for root in beside if sources.has_folder(root))]


def _files(path: str) -> tuple[str, str]:
    return (f"{path}.py", f"{path}/__init__.py")


def _is_aside(test: ast.expr) -> bool:
    """Return whether an ``if`` tests ``TYPE_CHECKING``, ``__name__`` or the version of Python."""
    return any(
        (isinstance(node, ast.Name) and node.id in {"TYPE_CHECKING", "__name__", "PY2", "PY3", "version_info"})
        or (isinstance(node, ast.Attribute) and node.attr in {"TYPE_CHECKING", "version_info", "PY2", "PY3"})
        for node in ast.walk(test)
    )


def _forgives(handler: ast.ExceptHandler) -> bool:
    """Return whether a handler lets the program go on without the module; Django's ``manage.py`` raises again."""
    if handler.body and isinstance(handler.body[-1], ast.Raise):
        return False
    if handler.type is None:
        return True
    return any(
        isinstance(node, ast.Name) and node.id in {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}
        for node in ast.walk(handler.type)
    )


def _blocks(node: ast.stmt) -> Iterator[list[ast.stmt]]:
    # Handlers are not statements, and the blocks of a ``match`` are in its cases.
    for name in ("body", "orelse", "finalbody"):
        if value := getattr(node, name, None):
            yield value
    if isinstance(node, ast.Match):
        yield from (case.body for case in node.cases)


def _needed(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that run in any case, and those under a condition; without what a ``try`` may do without."""
    for node in body:
        if not isinstance(node, ast.Try):
            yield node
        elif not any(_forgives(handler) for handler in node.handlers):
            yield from _needed(node.body)


def _included(node: ast.stmt) -> Iterator[ast.Constant]:
    """Yield the modules of ``include("debug_toolbar.urls")`` and ``include(("shop.urls", "shop"))``."""
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and call.args and getattr(call.func, "id", "") == "include":
            first = call.args[0]
            one = first.elts[0] if isinstance(first, ast.Tuple) and first.elts else first
            if isinstance(one, ast.Constant):
                yield one


def _listed(node: ast.stmt, names: frozenset[str]) -> Iterator[ast.Constant]:
    """Yield the strings of ``INSTALLED_APPS = [...]`` and other settings of these names."""
    if isinstance(node, ast.Assign):
        targets: list[ast.expr] = node.targets
    elif isinstance(node, ast.AugAssign | ast.AnnAssign):
        targets = [node.target]
    else:
        return
    if node.value is not None and any(isinstance(one, ast.Name) and one.id in names for one in targets):
        yield from (
            item for item in ast.walk(node.value) if isinstance(item, ast.Constant) and isinstance(item.value, str)
        )
