"""Find variables whose values the sources pass to a database driver, directly or through the project's own settings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tree_sitter import Node

from preview.detection.databases.services import DEFAULT_PORTS, SQL_KINDS
from preview.detection.plan import ServiceKind
from preview.detection.supplied.parts import Part
from preview.sources.javascript import JavaScriptTrees, all_nodes, source_of

_MAX_FILES: Final = 400
_MAX_DEPTH: Final = 6
_MAX_PATHS: Final = 2_000
_WORDS: Final = re.compile(
    rb"process\.env|[cC]onfig\w{0,20}[!?]?\.get|\b(?:Pool|Client|createPool|createConnection|Sequelize|DataSource|[kK]nex|postgres|mongoose"
    rb"|MongoClient|createClient|Redis|dialect)\b"
)
_ANY_SQL: Final = frozenset(
    {"Pool", "Client", "createPool", "createConnection", "Sequelize", "DataSource", "knex", "Knex", "postgres", "pgp",
     "neon", "forRoot", "createPoolCluster"}
)  # fmt: skip
# Other packages have functions of these names: a file that loads none of the packages does not mean a database.
_SHARED: Final = frozenset({"Pool", "Client", "createPool", "createConnection", "postgres", "pgp", "neon", "forRoot"})
_SQL_PACKAGES: Final = re.compile(
    rb"""['"](?:pg|pg-promise|postgres|mysql2?(?:/promise)?|mariadb|promise-mysql|@neondatabase/serverless"""
    rb"""|@vercel/postgres|drizzle-orm(?:/[\w-]{1,40})?|@nestjs/(?:typeorm|sequelize)|@mikro-orm/nestjs)['"]"""
)
_REDIS_PACKAGES: Final = re.compile(rb"""['"](?:redis|ioredis|@redis/client|iovalkey|@valkey/valkey-glide)['"]""")
_REDIS: Final = frozenset({"Redis", "IORedis", "Valkey", "createClient"})
_MONGODB: Final = frozenset({"mongoose.connect", "mongoose.createConnection", "MongoClient", "MongoClient.connect"})
_KEYS: Final = {
    "host": Part.HOST, "hostname": Part.HOST, "server": Part.HOST, "port": Part.PORT, "user": Part.USER,
    "username": Part.USER, "password": Part.PASSWORD, "database": Part.NAME, "dbName": Part.NAME,
    "connectionString": Part.URL, "connectionURL": Part.URL, "connection": Part.URL, "uri": Part.URL, "url": Part.URL,
    "dialect": Part.DIALECT, "client": Part.DIALECT, "type": Part.DIALECT,
}  # fmt: skip
_SCHEMES: Final = {
    "postgres": ServiceKind.POSTGRESQL, "postgresql": ServiceKind.POSTGRESQL, "mysql": ServiceKind.MYSQL,
    "mariadb": ServiceKind.MYSQL, "mongodb": ServiceKind.MONGODB, "redis": ServiceKind.REDIS,
}  # fmt: skip
# Variables of every preview, which a project that confuses them must not change.
_OWN_NAMES: Final = frozenset({"PORT", "NODE_ENV"})
# An object of another file with a key `host` may be for mail.
_MAIL: Final = re.compile(r"MAIL|SMTP", re.IGNORECASE)
_MARK: Final = r"\x00(\d{1,3})\x00"
_ADDRESS: Final = re.compile(
    rf"(\w{{1,20}})(?:\+\w{{1,20}})?://(?:(?:{_MARK}|[^\x00@/]{{0,200}})(?::(?:{_MARK}|[^\x00@/]{{0,200}}))?@)?"
    rf"(?:{_MARK}|[^\x00:/?]{{0,200}})(?::(?:{_MARK}|\d{{0,6}}))?(?:/(?:{_MARK})?)?"
)
# `this.configService.get<string>("DB_HOST")`
_ASKS: Final = re.compile(
    r"""[\w.!?]{0,80}[cC]onfig\w{0,20}[!?]?\.get(?:OrThrow)?(?:<[^>]{0,60}>)?\(\s{0,20}['"`]([\w.]{1,100})['"`]"""
)
_REGISTERED: Final = re.compile(r"""registerAs(?:<[^>]{0,60}>)?\(\s{0,20}['"`]([\w.]{1,100})['"`]""")
_MAX_ASKED: Final = 300
_TRIMS: Final = frozenset({"toLowerCase", "toUpperCase", "trim", "toString"})
_CASTS: Final = frozenset({"parseInt", "Number", "String", "parseFloat"})
# Class fields are known by their own name: the object that has them may have any.
_FIELDS: Final = frozenset({"public_field_definition", "field_definition"})
_NAMING: Final = _FIELDS | {"pair", "variable_declarator", "assignment_expression"}
_AROUND: Final = frozenset({"non_null_expression", "as_expression", "parenthesized_expression", "await_expression"})

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AddressUse:
    """The place of a variable's value in a server's address.

    Attributes:
        kind: The kind of server; None for the SQL server that the project uses.
        has_default: The source has another value if the variable is not set.
        driver: The function that gets the value: ``Sequelize``, ``knex``.
    """

    part: Part
    kind: ServiceKind | None
    has_default: bool
    driver: str = ""


def find_address_uses(trees: JavaScriptTrees, files: Iterable[str]) -> dict[str, AddressUse]:
    """Return the variables that are a part of a server's address in the files, by name; the first use counts."""
    names = [name for name in files if _WORDS.search(trees.sources.text(name))][:_MAX_FILES]
    roots = [tree for name in names if (tree := trees.tree(name)) is not None]
    finder = _Finder(_named_values(roots))
    for root in roots:
        finder.read(root)
    return finder.found


def value_for_use(use: AddressUse, kinds: Sequence[ServiceKind], addresses: Mapping[ServiceKind, str]) -> str | None:
    """Return a value with which the driver can be made; None if the kind of server is unknown.

    Args:
        use: The variable's use.
        kinds: Kinds of servers that the project's packages are for.
        addresses: The usual address of each kind.
    """
    kind = use.kind or next((one for one in kinds if one in SQL_KINDS), None)
    if kind is None or kind not in kinds:
        return None
    match use.part:
        case Part.URL:
            return addresses.get(kind)
        case Part.HOST:
            return "localhost"
        case Part.PORT:
            return str(DEFAULT_PORTS[kind])
        case Part.DIALECT:
            return _dialect(kind, use.driver)
        case Part.USER | Part.PASSWORD | Part.NAME if kind in SQL_KINDS:
            return "preview"
    return None


def _dialect(kind: ServiceKind, driver: str) -> str | None:
    if kind not in SQL_KINDS:
        return None
    if driver.lower() == "knex":
        return "pg" if kind is ServiceKind.POSTGRESQL else "mysql2"
    return "postgres" if kind is ServiceKind.POSTGRESQL else "mysql"


@dataclass(frozen=True, slots=True)
class _Value:
    """A variable of the environment, as an expression reads it."""

    name: str
    has_default: bool


def _named_values(roots: Iterable[Node], *, of_functions: bool = False) -> dict[Path, _Value]:
    """Return the variables by the path under which the sources know them: ``("config", "db", "host")``.

    Those of functions count for their own file only: another file's ``url`` is another one.
    """
    found: dict[Path, _Value] = {}
    for root in roots:
        for node in all_nodes(root):
            if node.type in _NAMING:
                is_known = of_functions or node.type != "variable_declarator" or _is_of_module(node)
                for path, value in _named(node):
                    if len(found) < _MAX_PATHS and (is_known or len(path) > 1):
                        found.setdefault(path, value)
    return found


def _is_of_module(declarator: Node) -> bool:
    statement = declarator.parent
    return statement is None or statement.parent is None or statement.parent.type in {"program", "export_statement"}


def _named(node: Node) -> Iterator[tuple[Path, _Value]]:
    if node.type == "variable_declarator" and source_of(node.child_by_field_name("value")) == "process.env":
        pattern = node.child_by_field_name("name")
        for item in pattern.named_children if pattern is not None else ():
            default = item.type == "object_assignment_pattern"
            names = [source_of(one) for one in item.named_children] or [source_of(item)]
            yield (names[-1] if item.type == "pair_pattern" else names[0],), _Value(names[0], default)
        return
    value = _environment(node.child_by_field_name("right" if node.type == "assignment_expression" else "value"))
    if value is not None:
        yield _path_of(node), value


def _path_of(node: Node) -> Path:
    """Return the names that lead to a value: keys of the objects around it, and the name of the whole."""
    path: list[str] = []
    current: Node | None = node
    while current is not None and len(path) <= _MAX_DEPTH:
        if current.type == "pair":
            path.insert(0, source_of(current.child_by_field_name("key")).strip("\"'"))
        elif current.type == "variable_declarator":
            path.insert(0, source_of(current.child_by_field_name("name")))
            break
        elif current.type in _FIELDS:
            field = current.child_by_field_name("name") or current.child_by_field_name("property")
            path.insert(0, source_of(field).lstrip("#"))
            break
        elif current.type == "assignment_expression":
            left = source_of(current.child_by_field_name("left")).rpartition(".")[2]
            path[:0] = [left] if left != "exports" else []
            break
        elif current.type not in {"object", *_AROUND}:
            path[:0] = _part_of(current)
            break
        current = current.parent
    return tuple(path)


def _part_of(node: Node) -> list[str]:
    """Return ``["db"]`` for what the function in NestJS's ``registerAs("db", () => ({…}))`` returns; else nothing."""
    current: Node | None = node
    for _ in range(_MAX_DEPTH):
        if current is None:
            break
        if match := _REGISTERED.match(_call(current)):
            return [match[1]]
        current = current.parent
    return []


class _Finder:
    """Collects the uses of all files.

    Args:
        named: Variables by the path under which the sources know them.
    """

    def __init__(self, named: Mapping[Path, _Value]) -> None:
        self._named = named
        # `config` and `exports` are only names of the whole: an importing file may use another.
        self._inner: dict[Path, _Value] = {}
        for path, value in named.items():
            if len(path) > 1:
                self._inner.setdefault(path[1:], value)
        self.found: dict[str, AddressUse] = {}
        # Of the file that is read.
        self._shared = self._redis = False
        self._own: Mapping[Path, _Value] = {}

    def read(self, root: Node) -> None:
        text = root.text or b""
        self._shared = _SQL_PACKAGES.search(text) is not None
        self._redis = _REDIS_PACKAGES.search(text) is not None
        self._own = _named_values([root], of_functions=True)
        for node in all_nodes(root):
            if node.type == "template_string":
                self._template(node)
            elif node.type in {"call_expression", "new_expression"}:
                self._call(node)
            elif node.type == "object" and _has_dialect(node):
                self._options(node, None, "", 0)

    def _template(self, node: Node) -> None:
        text = ""
        parts: list[Node] = []
        for child in node.children:
            if child.type == "template_substitution" and child.named_children:
                text += f"\x00{len(parts)}\x00"
                parts.append(child.named_children[0])
            elif child.type == "string_fragment":
                text += source_of(child).replace("\x00", "")
        match = _ADDRESS.match(text)
        if match is None or (kind := _SCHEMES.get(match[1])) is None:
            return
        for number, part in enumerate((Part.USER, Part.PASSWORD, Part.HOST, Part.PORT, Part.NAME), 2):
            if match[number] is not None:
                self._use(parts[int(match[number])], part, kind, "")

    def _call(self, node: Node) -> None:
        function = node.child_by_field_name("function") or node.child_by_field_name("constructor")
        called = source_of(function)
        driver = called.rpartition(".")[2]
        values = node.child_by_field_name("arguments")
        arguments = values.named_children if values is not None else []
        kind = ServiceKind.MONGODB if called in _MONGODB or driver == "MongoClient" else None
        kind = ServiceKind.REDIS if driver in _REDIS and self._redis else kind
        is_sql = driver in _ANY_SQL and (self._shared or driver not in _SHARED)
        if not arguments or (kind is None and not is_sql):
            return
        if driver == "Sequelize" and len(arguments) > 2:
            for argument, part in zip(arguments, (Part.NAME, Part.USER, Part.PASSWORD), strict=False):
                self._use(argument, part, kind, driver)
        for argument in arguments[:1] if len(arguments) < 3 else arguments[:4]:
            if argument.type == "object":
                self._options(argument, kind, driver, 0)
        if arguments[0].type != "object" and len(arguments) < 3:
            self._use(arguments[0], Part.URL, kind, driver)
            self._object(arguments[0], kind, driver)

    def _options(self, node: Node, kind: ServiceKind | None, driver: str, depth: int) -> None:
        for pair in node.named_children:
            if pair.type == "shorthand_property_identifier":
                key, value = source_of(pair), pair
            elif pair.type == "pair" and (inner := pair.child_by_field_name("value")) is not None:
                key, value = source_of(pair.child_by_field_name("key")).strip("\"'"), inner
            else:
                continue
            if value.type == "object":
                if depth < _MAX_DEPTH and key not in {"ssl", "dialectOptions", "pool", "auth", "retry"}:
                    self._options(value, kind, driver, depth + 1)
            elif (part := _KEYS.get(key)) is not None:
                self._use(value, part, kind, driver)
                if key == "connection":
                    self._object(value, kind, driver)

    def _object(self, node: Node, kind: ServiceKind | None, driver: str) -> None:
        """Match ``new Pool(config.db)``: the settings have the driver's own names."""
        path = _path(node)
        # A variable's value is a text without keys.
        if path is None or _environment(node) is not None:
            return
        for key, part in _KEYS.items():
            value = self._value((*path, key))
            if value is not None:
                self._add(value, part, kind, driver)

    def _use(self, node: Node, part: Part, kind: ServiceKind | None, driver: str) -> None:
        value = _environment(node)
        if value is None:
            plain, default = _plain(node)
            path = _path(plain)
            # `config.get("db.host")` is exact: many parts of the settings have a host.
            found = (self._named.get(path) if _asked(plain) else self._value(path)) if path is not None else None
            value = _Value(found.name, found.has_default or default) if found is not None else None
        if value is not None:
            self._add(value, part, kind, driver)

    def _value(self, path: Path) -> _Value | None:
        rest = path[1:]
        found = self._own.get(path) or self._named.get(path) or self._inner.get(path)
        return found or ((self._named.get(rest) or self._inner.get(rest)) if rest else None)

    def _add(self, value: _Value, part: Part, kind: ServiceKind | None, driver: str) -> None:
        if value.name not in _OWN_NAMES and not _MAIL.search(value.name):
            self.found.setdefault(value.name, AddressUse(part, kind, value.has_default, driver))


def _has_dialect(node: Node) -> bool:
    pairs = (one for one in node.named_children if one.type == "pair")
    keys = {source_of(pair.child_by_field_name("key")).strip("\"'") for pair in pairs}
    is_mapper = "type" in keys and bool(keys & {"entities", "synchronize", "migrations", "autoLoadEntities"})
    has_address = bool(keys & {"host", "database", "connection", "url", "username"})
    return (is_mapper or bool(keys & {"dialect", "client"})) and has_address


def _environment(node: Node | None) -> _Value | None:
    """Return the variable that an expression reads: ``Number(process.env.DB_PORT) || 5432``."""
    if node is None:
        return None
    plain, default = _plain(node)
    if plain.type in {"member_expression", "subscript_expression"}:
        index = source_of(plain.child_by_field_name("index")).strip("\"'`")
        name = source_of(plain.child_by_field_name("property")) or index
        is_variable = source_of(plain.child_by_field_name("object")) == "process.env"
        if is_variable and re.fullmatch(r"[A-Za-z_]\w{0,100}", name):
            return _Value(name, default)
    asked = _asked(plain)
    return _Value(asked, default or _has_second(plain)) if re.fullmatch(r"[A-Z]\w{0,100}", asked) else None


def _asked(node: Node) -> str:
    """Return the name in ``configService.get("DB_HOST")`` or ``config.getOrThrow("db.host")``; empty for others."""
    match = _ASKS.match(_call(node))
    return match[1] if match is not None else ""


def _call(node: Node) -> str:
    """Return the beginning of a short call, up to its first argument; empty for others, which may be the whole file."""
    if node.type != "call_expression":
        return ""
    called, given = node.child_by_field_name("function"), node.child_by_field_name("arguments")
    first = given.named_child(0) if given is not None and given.named_child_count else None
    parts = [one for one in (called, first) if one is not None and one.end_byte - one.start_byte <= _MAX_ASKED]
    return f"{source_of(parts[0])}({source_of(parts[1])}" if len(parts) == 2 else ""


def _has_second(node: Node) -> bool:
    values = node.child_by_field_name("arguments")
    return values is not None and len(values.named_children) > 1 and values.named_children[1].type != "object"


def _plain(node: Node) -> tuple[Node, bool]:
    """Return an expression without its default, casts and parentheses, and whether it has a default."""
    default = False
    for _ in range(_MAX_DEPTH):
        inner: Node | None = None
        if node.type == "binary_expression" and source_of(node.child_by_field_name("operator")) in {"||", "??"}:
            inner, default = node.child_by_field_name("left"), True
        elif node.type in _AROUND:
            inner = next(iter(node.named_children), None)
        elif node.type == "call_expression" and source_of(node.child_by_field_name("function")) in _CASTS:
            values = node.child_by_field_name("arguments")
            inner = next(iter(values.named_children), None) if values is not None else None
        elif node.type == "call_expression" and (called := node.child_by_field_name("function")) is not None:
            is_trim = source_of(called.child_by_field_name("property")) in _TRIMS
            inner = called.child_by_field_name("object") if is_trim else None
        elif node.type == "template_string" and [one.type for one in node.named_children] == ["template_substitution"]:
            inner = next(iter(node.named_children[0].named_children), None)
        if inner is None:
            break
        node = inner
    return node, default


def _path(node: Node) -> Path | None:
    """Return ``("config", "db", "host")`` for such an expression; None for another."""
    asked = _asked(node)
    if not asked and node.type not in {"identifier", "member_expression", "shorthand_property_identifier"}:
        return None
    path = tuple(part.rstrip("?!") for part in (asked or source_of(node)).split("."))
    return path if len(path) <= _MAX_DEPTH and all(part.isidentifier() for part in path) else None
