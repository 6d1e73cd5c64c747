"""Find variables that pydantic settings classes read: fields of ``BaseSettings``, by name, alias and prefix."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Final

from preview.detection.expressions import is_ellipsis, is_none, keyword, last_name, written_text
from preview.detection.project_imports import Nodes
from preview.detection.settings.model import Kind, Need, SettingRead
from preview.detection.settings.named_texts import NamedTexts

_MAX_DEPTH: Final = 8
_ANYTHING: Final = frozenset({"", "Any", "object", "None"})
_ROOTS: Final = frozenset({"BaseSettings"})
_TO_CHANGE: Final = re.compile(r"(?:change|replace|set|your)[_ -]", re.IGNORECASE)
_SIMPLE: Final = {
    "str": Kind.TEXT, "int": Kind.INTEGER, "float": Kind.NUMBER, "Decimal": Kind.NUMBER, "bool": Kind.BOOLEAN,
    "list": Kind.LIST, "List": Kind.LIST, "set": Kind.LIST, "Set": Kind.LIST, "tuple": Kind.LIST, "Tuple": Kind.LIST,
    "Sequence": Kind.LIST, "frozenset": Kind.LIST, "dict": Kind.OBJECT, "Dict": Kind.OBJECT, "Mapping": Kind.OBJECT,
    "EmailStr": Kind.EMAIL, "NameEmail": Kind.EMAIL, "AnyUrl": Kind.URL, "AnyHttpUrl": Kind.URL, "HttpUrl": Kind.URL,
    "PositiveInt": Kind.INTEGER, "NonNegativeInt": Kind.INTEGER, "StrictInt": Kind.INTEGER, "conint": Kind.INTEGER,
    "StrictBool": Kind.BOOLEAN, "StrictStr": Kind.TEXT, "SecretStr": Kind.TEXT, "timedelta": Kind.INTEGER,
    "PostgresDsn": Kind.DATABASE, "MySQLDsn": Kind.DATABASE, "MariaDBDsn": Kind.DATABASE, "MongoDsn": Kind.URL,
    "RedisDsn": Kind.URL, "AmqpDsn": Kind.URL, "CockroachDsn": Kind.DATABASE, "MultiHostUrl": Kind.URL,
}  # fmt: skip


@dataclass(slots=True)
class _Settings:
    """A class of the project, with its settings options."""

    node: ast.ClassDef
    file: str
    bases: list[str]
    prefix: str = ""
    delimiter: str = ""
    exact: bool = False
    modern: bool = False


@dataclass(slots=True)
class _Classes:
    texts: Callable[[], NamedTexts]
    by_name: dict[str, _Settings] = field(default_factory=dict)
    enums: dict[str, tuple[str, ...]] = field(default_factory=dict)


def pydantic_reads(nodes: Nodes, files: Iterable[str]) -> list[SettingRead]:
    """Return the variables that the files' settings classes read, required or not."""
    sources, files = nodes.sources, list(files)
    names = [file for file in files if b"class " in sources.text(file)]
    if not any(b"BaseSettings" in sources.text(file) for file in names):
        return []
    classes = _Classes(cache(lambda: NamedTexts(nodes, files)))
    for file in names:
        tree = sources.tree(file)
        for node in _top_classes(tree.body) if tree else ():
            _note(node, file, b"pydantic_settings" in sources.text(file), classes)
    found: list[SettingRead] = []
    for name, cls in classes.by_name.items():
        if _is_settings(name, classes):
            found += _fields(cls, classes)
    return found


def _top_classes(body: Iterable[ast.stmt]) -> Iterator[ast.ClassDef]:
    """Yield the module's top-level classes, but no nested ones (``class Settings`` of a Beanie document)."""
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield node
        elif isinstance(node, ast.If | ast.Try):
            yield from _top_classes((*node.body, *node.orelse))


def _note(node: ast.ClassDef, file: str, modern: bool, classes: _Classes) -> None:
    bases = [last_name(base) for base in node.bases]
    if any("Enum" in base for base in bases):
        values = [item.value.value for item in node.body if isinstance(item, ast.Assign | ast.AnnAssign)
                  and isinstance(item.value, ast.Constant)]  # fmt: skip
        classes.enums[node.name] = tuple(str(value) for value in values)
        return
    cls = _Settings(node, file, bases, modern=modern)
    for item in node.body:
        if isinstance(item, ast.ClassDef) and item.name == "Config":
            options = {target.id: part.value for part in item.body if isinstance(part, ast.Assign)
                       for target in part.targets if isinstance(target, ast.Name)}  # fmt: skip
            _configure(cls, options, classes)
        elif isinstance(item, ast.Assign | ast.AnnAssign) and isinstance(item.value, ast.Call | ast.Dict):
            target = item.target if isinstance(item, ast.AnnAssign) else item.targets[0]
            if last_name(target) == "model_config":
                _configure(cls, _options(item.value), classes)
    known = classes.by_name.get(node.name)
    if known is None or (_ROOTS.intersection(bases) and not _ROOTS.intersection(known.bases)):
        classes.by_name[node.name] = cls


def _options(node: ast.Call | ast.Dict) -> dict[str, ast.expr]:
    if isinstance(node, ast.Call):
        return {item.arg: item.value for item in node.keywords if item.arg}
    pairs = zip(node.keys, node.values, strict=True)
    return {str(key.value): value for key, value in pairs if isinstance(key, ast.Constant)}


def _configure(cls: _Settings, options: dict[str, ast.expr], classes: _Classes) -> None:
    for name, node in options.items():
        value = node.value if isinstance(node, ast.Constant) else None
        if name.startswith("env_") and isinstance(node, ast.Name | ast.Attribute):
            value = classes.texts().text(node)
        if name == "env_prefix" and isinstance(value, str):
            cls.prefix = value
        elif name == "env_nested_delimiter" and isinstance(value, str):
            cls.delimiter = value
        elif name == "case_sensitive":
            cls.exact = value is True


def _lineage(name: str, classes: _Classes) -> list[_Settings]:
    """Return the class and its base classes within the project, nearest first."""
    found: list[_Settings] = []
    todo = [name]
    while todo and len(found) < _MAX_DEPTH:
        cls = classes.by_name.get(todo.pop(0))
        if cls is not None and cls not in found:
            found.append(cls)
            todo += cls.bases
    return found


def _is_settings(name: str, classes: _Classes) -> bool:
    return any(_ROOTS.intersection(cls.bases) for cls in _lineage(name, classes))


def _fields(cls: _Settings, classes: _Classes) -> Iterator[SettingRead]:
    lineage = _lineage(cls.node.name, classes)
    prefix = next((item.prefix for item in lineage if item.prefix), "")
    delimiter = next((item.delimiter for item in lineage if item.delimiter), "")
    exact = any(item.exact for item in lineage)
    modern = any(item.modern for item in lineage)
    seen: set[str] = set()
    for owner in lineage:
        for node in owner.node.body:
            if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
                continue
            name = node.target.id
            own = name.startswith("_") or name == "model_config" or _unwrap(node.annotation)[0] == "ClassVar"
            if own or name in seen:
                continue
            seen.add(name)
            for read in _field(node, name, prefix, owner, modern, classes, delimiter):
                yield read if exact else replace(read, name=read.name.upper())


def _field(
    node: ast.AnnAssign, name: str, prefix: str, owner: _Settings, modern: bool, classes: _Classes, delimiter: str
) -> Iterator[SettingRead]:
    annotation, optional, metadata = _unwrap(node.annotation)
    nested = classes.by_name.get(annotation)
    value = node.value
    info = next(
        (item for item in (value, *metadata) if isinstance(item, ast.Call) and last_name(item) == "Field"), None
    )
    default = _default(value, info)
    if modern and not optional and default is not None and is_none(default) and annotation not in _ANYTHING:
        # Settings of pydantic 2 check their defaults: `URL: str = None` is an error without a value.
        default = None
    if default is not None and _is_refused(default, owner):
        default = None
    variable = _alias(info) or prefix + name
    if nested is not None and delimiter and default is None:
        for inner in nested.node.body:
            if isinstance(inner, ast.AnnAssign) and isinstance(inner.target, ast.Name):
                inside = f"{variable}{delimiter}"
                yield from _field(inner, inner.target.id, inside, nested, modern, classes, delimiter)
        return
    if nested is not None and _is_settings(annotation, classes):
        return
    required = default is None and (modern or not optional)
    yield SettingRead(
        variable,
        owner.file,
        node.lineno,
        Need.REQUIRED if required else Need.DEFAULTED if default is not None else Need.OPTIONAL,
        Kind.OBJECT if nested is not None else _SIMPLE.get(annotation, Kind.TEXT),
        default=written_text(default),
        choices=_choices(node.annotation, annotation, classes),
        annotation=f"{annotation}?" if optional else annotation,
        least=_least(info),
        has_default=default is not None and not is_none(default),
        field=name,
    )


def _unwrap(node: ast.expr) -> tuple[str, bool, list[ast.expr]]:
    """Return the type's last name, true if it allows None, and the metadata of ``Annotated``."""
    metadata: list[ast.expr] = []
    optional = False
    for _ in range(_MAX_DEPTH):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            try:
                node = ast.parse(node.value, mode="eval").body
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                return "", optional, metadata
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            sides = [node.left, node.right]
            optional = optional or any(is_none(side) for side in sides)
            node = next((side for side in sides if not is_none(side)), node.left)
        elif isinstance(node, ast.Subscript) and last_name(node.value) in {"Optional", "Union", "Annotated", "Final"}:
            inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            if last_name(node.value) == "Annotated":
                metadata += inner[1:]
                inner = inner[:1]
            optional = optional or last_name(node.value) == "Optional" or any(is_none(item) for item in inner)
            node = next((item for item in inner if not is_none(item)), node.value)
        else:
            break
    return last_name(node.value if isinstance(node, ast.Subscript) else node), optional, metadata


def _default(value: ast.expr | None, info: ast.Call | None) -> ast.expr | None:
    """Return the field's default; None if the variable is required."""
    if info is None:
        return None if value is None or is_ellipsis(value) else value
    given = info.args[0] if info.args else keyword(info, "default") or keyword(info, "default_factory")
    if given is not None and not is_ellipsis(given):
        return given
    return value if value is not None and value is not info and not is_ellipsis(value) else None


def _is_refused(default: ast.expr, owner: _Settings) -> bool:
    """Return whether the class's own check refuses its default: ``"CHANGE_ME"`` stands in both."""
    node = default.args[0] if isinstance(default, ast.Call) and len(default.args) == 1 else default
    text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
    if _TO_CHANGE.match(text) is None:
        return False
    checks = (one for one in owner.node.body if isinstance(one, ast.FunctionDef))
    return any(isinstance(one, ast.Constant) and one.value == text for check in checks for one in ast.walk(check))


def _alias(info: ast.Call | None) -> str | None:
    for name in ("validation_alias", "alias", "env"):
        node = keyword(info, name) if info is not None else None
        if isinstance(node, ast.Call) and node.args:  # AliasChoices("A", "B")
            node = node.args[0]
        if isinstance(node, ast.List | ast.Tuple) and node.elts:
            node = node.elts[0]
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
    return None


def _least(info: ast.Call | None) -> int:
    for name in ("min_length", "ge", "gt"):
        node = keyword(info, name) if info is not None else None
        if isinstance(node, ast.Constant) and isinstance(node.value, int):
            return node.value + (name == "gt")
    return 0


def _choices(node: ast.expr, annotation: str, classes: _Classes) -> tuple[str, ...]:
    if annotation in classes.enums:
        return classes.enums[annotation]
    for item in ast.walk(node):
        if isinstance(item, ast.Subscript) and last_name(item.value) == "Literal":
            values = [part.value for part in ast.walk(item.slice) if isinstance(part, ast.Constant)]
            return tuple(str(value) for value in values if value is not None)
    return ()
