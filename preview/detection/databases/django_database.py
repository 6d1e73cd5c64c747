"""Choose a Django project's database: SQLite if variables choose the engine, else the server in ``DATABASES``."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from preview.detection.databases.assembled import Assembler, Module
from preview.detection.databases.branches import Branches, has_url
from preview.detection.databases.database import DatabaseChoice, supplied
from preview.detection.plan import Origin, ServiceKind, Variable
from preview.detection.settings import Need, ProjectSettings, variable_for
from preview.sources import Sources

DATABASE_URL: Final = "DATABASE_URL"
"""Every preview has this variable."""

_ENGINE: Final = "django.db.backends.sqlite3"
# SQLite has no option for TLS: dj_database_url passes it nevertheless.
_TLS_BRANCH: Final = re.compile(
    rb"^(?P<indent>[ \t]*)if [^\n]{0,120}\bDATABASE_URL\b(?![\"'] in)[^\n]{0,40}:[ \t]*\n"
    rb"(?:(?P=indent)[ \t]+[^\n]*\n|\s*\n)*?"
    rb"(?P=indent)[ \t]+[^\n]*\bssl_require[ \t]*=[ \t]*True[^\n]*\n(?:(?P=indent)[ \t]+[^\n]*\n|\s*\n)*?"
    rb"(?P=indent)else[ \t]*:[ \t]*\n(?:(?P=indent)[ \t]+[^\n]*\n|\s*\n)*?(?P=indent)[ \t]+[^\n]*backends\.sqlite3",
    re.MULTILINE,
)
_TLS: Final = re.compile(rb"\bssl_require[ \t]*=[ \t]*(?!False)")
_SERVERS: Final = {"postg": ServiceKind.POSTGRESQL, "mysql": ServiceKind.MYSQL, "mariadb": ServiceKind.MYSQL}


def choose_django_database(sources: Sources, files: Iterable[str], settings: ProjectSettings) -> DatabaseChoice:
    """Choose by the ``DATABASES`` of the settings modules."""
    values = deciding_values(sources, files, {DATABASE_URL: "sqlite:///{database_path}", **known_values(settings)})
    tables = [table for one in values for table in tables_in(one)]
    engines = [value for table in tables for key, value in table if key == "ENGINE"]
    constants = [text for node in engines for text in texts_in(node)]
    variables = [name for node in engines for name in names_in(node, settings)]
    server = next((kind for text in constants if (kind := engine_server(text))), None)
    if any(_wants_tls(sources.text(file)) for file in files if b"ssl_require" in sources.text(file)):
        unset = Variable(DATABASE_URL, "", Origin.SUPPLIED, "")
        sentence = "SQLite: the settings demand TLS of DATABASE_URL, and use SQLite without it"
        return DatabaseChoice({DATABASE_URL: unset}, sqlite=True, decisions=(sentence,))
    if variables:
        return _by_variables(variables, tables, settings, server)
    if any("sqlite" in text for text in constants) and server is None:
        return DatabaseChoice(sqlite=True)
    urls = [read for read in settings.reads.values() if read.name.upper().endswith(("DATABASE_URL", "DB_URL"))]
    # `DATABASES["default"].update(dj_database_url.config())` overrides the table before it.
    if urls and (server is None or (values and has_url(values[-1]))):
        # Of the databases that a URL can name, PostgreSQL alone takes this option.
        if server is None and any(_TLS.search(sources.text(file)) for file in files if file.endswith(".py")):
            return DatabaseChoice(server=ServiceKind.POSTGRESQL, setting=urls[0].name)
        return _by_urls([read.name for read in urls], settings)
    if server is None:
        return DatabaseChoice(sqlite=True)
    flag = next((name for name in settings.reads if "SQLITE" in name.upper() or name.upper() == "DB_TYPE"), None)
    if any("sqlite" in text for text in constants):
        chosen = {flag: variable_for(settings.reads[flag])} if flag else {}
        return DatabaseChoice(chosen, sqlite=True)
    return DatabaseChoice(server=server, setting=_host(tables, settings))


def _wants_tls(text: bytes) -> bool:
    """Return true if SQLite is the other branch of ``if DATABASE_URL: … ssl_require=True``."""
    return _TLS_BRANCH.search(text) is not None


def _by_urls(names: list[str], settings: ProjectSettings) -> DatabaseChoice:
    """Give SQLite's URL to the variables of ``env.db()`` and ``dj_database_url``."""
    chosen: dict[str, Variable] = {}
    for name in names:
        own = settings.own.get(name)
        if own is not None and own.value.startswith("sqlite"):
            chosen[name] = Variable(name, own.value, Origin.EXAMPLE, own.file)
        else:
            chosen[name] = supplied(variable_for(settings.reads[name], "sqlite:///{database_path}"))
    read = settings.reads[names[0]]
    decisions = () if (read.default or "").startswith("sqlite") else (f"SQLite: {read.name} can be set ({read.where})",)
    return DatabaseChoice(chosen, sqlite=True, setting=read.name, decisions=decisions)


def _by_variables(
    names: list[str], tables: list[list[tuple[str, ast.expr]]], settings: ProjectSettings, server: ServiceKind | None
) -> DatabaseChoice:
    read = settings.reads[names[0]]
    default = read.default or (settings.own[read.name].value if read.name in settings.own else "")
    if "sqlite" in default:
        return DatabaseChoice(sqlite=True)
    # Some projects read only the last part: f"django.db.backends.{os.getenv('DB_ENGINE')}"
    whole = any(isinstance(value, ast.JoinedStr) for table in tables for key, value in table if key == "ENGINE")
    chosen = {read.name: variable_for(read, "sqlite3" if whole else _ENGINE)}
    for table in tables:
        for key, value in table:
            for name in names_in(value, settings) if key == "NAME" else ():
                chosen[name] = variable_for(settings.reads[name], "{database_path}")
    # SQLite ignores the other variables of the table, but settings may raise if they are missing.
    instead = f" instead of {server or engine_server(default)}" if server or engine_server(default) else ""
    sentence = f"SQLite{instead}: {read.name} chooses the engine ({read.where})"
    return DatabaseChoice(chosen, sqlite=True, setting=read.name, decisions=(sentence,))


def deciding_values(
    sources: Sources, files: Iterable[str], values: Mapping[str, str], *, choose: bool = True
) -> list[ast.expr]:
    """Return what is assigned to ``DATABASES`` in a preview, without the branches that it does not take.

    The project's own names and functions are replaced by their values.

    Args:
        sources: The project's files.
        files: The files that the application loads.
        values: Values of variables in the preview.
        choose: Conditions between SQLite and a server are open, because the preview chooses.
    """
    loaded = list(files)
    known: dict[str, Module | None] = {}

    def module_of(file: str) -> Module | None:
        if file not in known:
            tree = sources.tree(file)
            known[file] = Module(tree, Branches(tree, values, choose=choose)) if tree is not None else None
        return known[file]

    def find(dotted: str) -> Module | None:
        path = dotted.replace(".", "/")
        ends = (f"/{path}.py", f"/{path}/__init__.py")
        file = next((one for one in loaded if f"/{one}".endswith(ends)), None)
        return module_of(file) if file is not None else None

    assembler = Assembler(find)
    found: list[ast.expr] = []
    tree = sources.tree(loaded[0]) if loaded else None
    for file in loaded[:1] if tree is not None and _has_last_word(tree) else loaded:
        module = module_of(file) if b"DATABASES" in sources.text(file) else None
        if module is not None:
            found += [assembler.assemble(value, module) for value in module.values("DATABASES")]
    return found


def _has_last_word(tree: ast.Module) -> bool:
    """Return whether a settings module assigns a whole ``DATABASES`` after all that it imports from others."""
    at = next((one for one in reversed(tree.body) if isinstance(one, ast.Assign) and _is_whole(one)), None)
    later = tree.body[tree.body.index(at) + 1 :] if at is not None else []
    imports = (inner for one in later for inner in ast.walk(one) if isinstance(inner, ast.ImportFrom))
    return at is not None and not any(alias.name == "*" for one in imports for alias in one.names)


def _is_whole(statement: ast.Assign) -> bool:
    targets = statement.targets
    return isinstance(targets[0], ast.Name) and targets[0].id == "DATABASES" and any(tables_in(statement.value))


def known_values(settings: ProjectSettings) -> dict[str, str]:
    """Return the values of the project's variables, as far as the database is not decided."""
    values = {name: one.value for name, one in settings.own.items()}
    return values | {name: one.value for name, one in settings.variables(()).items()}


def tables_in(value: ast.expr) -> Iterator[list[tuple[str, ast.expr]]]:
    """Yield the keys and values of each table in a value, including those in ``if`` and ``else``."""
    for inner in ast.walk(value):
        keys: list[tuple[str, ast.expr]] = []
        if isinstance(inner, ast.Dict):
            keys = [(key.value, value) for key, value in zip(inner.keys, inner.values, strict=True)
                    if isinstance(key, ast.Constant) and isinstance(key.value, str)]  # fmt: skip
        elif isinstance(inner, ast.Call) and isinstance(inner.func, ast.Name) and inner.func.id == "dict":
            keys = [(one.arg, one.value) for one in inner.keywords if one.arg is not None]
        if any(key == "ENGINE" for key, _ in keys):
            yield keys


def texts_in(node: ast.expr) -> Iterator[str]:
    """Yield the constants of an expression, in lower case."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            yield inner.value.lower()


def names_in(node: ast.expr, settings: ProjectSettings) -> Iterator[str]:
    """Yield the variables that an expression reads."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str) and inner.value in settings.reads:
            yield inner.value


def engine_server(text: str) -> ServiceKind | None:
    """Return the kind of server of Django's engine; None for SQLite and other texts."""
    if "sqlite" in text:
        return None
    return next((kind for part, kind in _SERVERS.items() if part in text or "postgis" in text), None)


def _host(tables: list[list[tuple[str, ast.expr]]], settings: ProjectSettings) -> str | None:
    names = [name for table in tables for key, value in table if key == "HOST" for name in names_in(value, settings)]
    return next((name for name in names if settings.reads[name].need is not Need.DEFAULTED), next(iter(names), None))
