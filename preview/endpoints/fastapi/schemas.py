"""Skeletons of annotations and models: ``{"name": "string", "tags": ["string"]}``."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from enum import Enum, auto
from typing import Final

from preview.endpoints.python import UNKNOWN, Class, Expression, External, PythonEvaluator, Scope

# Depth limit for nested models; deeper ones are shown as "object".
_MAX_DEPTH: Final = 8
# Limit on the size of a skeleton, which is an example for people.
_MAX_PARTS: Final = 2_000
_MAX_FORWARD_CHARACTERS: Final = 500

_NAMES: Final[Mapping[str, str]] = {
    "string": (
        "str bytes datetime date time timedelta UUID UUID1 UUID4 Path EmailStr NameEmail SecretStr HttpUrl AnyUrl "
        "AnyHttpUrl IPvAnyAddress StrictStr constr ObjectId PydanticObjectId"
    ),
    "integer": "int StrictInt PositiveInt NonNegativeInt conint",
    "number": "float Decimal StrictFloat PositiveFloat NonNegativeFloat confloat condecimal",
    "boolean": "bool StrictBool",
    "file": "UploadFile",
}
_SCALARS: Final[Mapping[str, str]] = {name: kind for kind, names in _NAMES.items() for name in names.split()}
_LISTS: Final = frozenset(
    {"list", "List", "Sequence", "Iterable", "set", "Set", "frozenset", "FrozenSet", "tuple", "Tuple", "conlist"}
)
_MAPPINGS: Final = frozenset({"dict", "Dict", "Mapping", "MutableMapping", "defaultdict", "Any", "object"})
_MODELS: Final = frozenset(
    {"BaseModel", "SQLModel", "RootModel", "GenericModel", "TypedDict", "NamedTuple", "Document", "Schema"}
)


class Kind(Enum):
    """Role of a project's class in a route."""

    MODEL = auto()
    ENUM = auto()
    OTHER = auto()


def last_name(node: ast.expr | None) -> str:
    """Return ``Query`` for ``fastapi.Query(…)``, ``Query(…)``, ``Query`` and ``Query[…]``."""
    if isinstance(node, (ast.Call, ast.Subscript)):
        return last_name(node.func if isinstance(node, ast.Call) else node.value)
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


class Schemas:
    """Converts annotations to skeletons."""

    def __init__(self, evaluator: PythonEvaluator) -> None:
        self._evaluator = evaluator
        self._known: dict[Class, object] = {}
        self._open: list[Class] = []

    def kind(self, cls: Class) -> Kind:
        """Classify a class: a model, an enumeration or neither."""
        if any(last_name(item) == "dataclass" for item in cls.node.decorator_list):
            return Kind.MODEL
        names = {item.last for item in self._evaluator.lineage(cls) if isinstance(item, External)}
        if names & _MODELS:
            return Kind.MODEL
        return Kind.ENUM if any(name.endswith(("Enum", "Flag")) for name in names) else Kind.OTHER

    def resolve(self, node: ast.expr | None, scope: Scope) -> tuple[ast.expr | None, Scope]:
        """Return the annotation that an alias such as ``SessionDep`` or a quoted annotation stands for."""
        for _ in range(_MAX_DEPTH):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                node = _forward(node.value)
            if not isinstance(node, (ast.Name, ast.Attribute)):
                break
            value = self._evaluator.evaluate(node, scope)
            if not isinstance(value, Expression):
                break
            node, scope = value.node, value.scope
        return node, scope

    def describe(self, node: ast.expr | None, scope: Scope, depth: int = 0) -> object:
        """Return an annotation's skeleton: a JSON type's name, a list of one skeleton, a mapping; None if unknown."""
        self._evaluator.step()
        node, scope = self.resolve(node, scope)
        if node is None or depth > _MAX_DEPTH:
            return None if node is None else "object"
        if isinstance(node, ast.BinOp):
            return self._first(_members(node), scope, depth)
        if isinstance(node, ast.Subscript):
            return self._subscript(node, scope, depth)
        if isinstance(node, ast.Constant):
            return "null" if node.value is None else None
        value = self._evaluator.evaluate(node.func if isinstance(node, ast.Call) else node, scope)
        if isinstance(value, Class):
            return self.model(value, depth)
        name = value.last if isinstance(value, External) else last_name(node)
        if name in _SCALARS:
            return _SCALARS[name]
        if name in _LISTS:
            return []
        return {} if name in _MAPPINGS else None

    def model(self, cls: Class, depth: int = 0) -> object:
        """Return the skeleton of a class: its fields for a model, a type for an enumeration, else None."""
        kind = self.kind(cls)
        if kind is Kind.ENUM:
            names = {item.last for item in self._evaluator.lineage(cls) if isinstance(item, External)}
            bases = {last_name(base) for base in cls.node.bases}
            return "integer" if "int" in bases or names & {"IntEnum", "IntFlag"} else "string"
        if kind is Kind.OTHER:
            return None
        if cls in self._known:
            return self._known[cls]
        if depth > _MAX_DEPTH or cls in self._open:
            return "object"
        fields = self._all_fields(cls, depth)
        if _parts(fields) > _MAX_PARTS:
            fields = {name: "object" if isinstance(value, (dict, list)) else value for name, value in fields.items()}
        if not self._open:  # within another model the skeleton may have been cut short
            self._known[cls] = fields
        return fields

    def _all_fields(self, cls: Class, depth: int) -> dict[str, object]:
        self._open.append(cls)
        fields: dict[str, object] = {}
        for ancestor in reversed(self._evaluator.lineage(cls)):
            if isinstance(ancestor, Class):
                fields |= self._fields(ancestor, depth)
        self._open.pop()
        return fields

    def _fields(self, cls: Class, depth: int) -> dict[str, object]:
        fields: dict[str, object] = {}
        for item in cls.node.body:
            if not isinstance(item, ast.AnnAssign) or not isinstance(item.target, ast.Name):
                continue
            name = item.target.id
            if name.startswith("_") or name == "model_config" or last_name(item.annotation) == "ClassVar":
                continue
            if last_name(item.value) == "Relationship":
                continue
            described = self.describe(item.annotation, cls.body, depth + 1)
            fields[self._alias(item.value, cls.body) or name] = "object" if described in (None, {}) else described
        return fields

    def _alias(self, value: ast.expr | None, scope: Scope) -> str | None:
        if not isinstance(value, ast.Call):
            return None
        keyword = next((item for item in value.keywords if item.arg in {"alias", "validation_alias"}), None)
        found = self._evaluator.evaluate(keyword.value, scope) if keyword else UNKNOWN
        return found if isinstance(found, str) else None

    def _subscript(self, node: ast.Subscript, scope: Scope, depth: int) -> object:
        name = last_name(node)
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if name == "Literal":
            first = inner[0] if inner else None
            literal = first.value if isinstance(first, ast.Constant) else ""
            return "boolean" if isinstance(literal, bool) else "integer" if isinstance(literal, int) else "string"
        if name in _LISTS:
            item = self.describe(inner[0], scope, depth + 1) if inner else None
            return [] if item is None else [item]
        if name in _MAPPINGS:
            return {}
        if name in {"Optional", "Union", "Annotated", "Required", "NotRequired", "Mapped", "Final", "ReadOnly"}:
            return self._first(inner[:1] if name == "Annotated" else inner, scope, depth)
        value = self._evaluator.evaluate(node.value, scope)
        return self.model(value, depth) if isinstance(value, Class) else None

    def _first(self, members: list[ast.expr], scope: Scope, depth: int) -> object:
        """Return the first skeleton that is not None: a skeleton shows one variant."""
        for member in members:
            described = self.describe(member, scope, depth + 1)
            if described not in (None, "null"):
                return described
        return None


def _parts(skeleton: object) -> int:
    """Count the values of a skeleton, up to one more than ``_MAX_PARTS``."""
    count = 0
    todo = [skeleton]
    while todo and count <= _MAX_PARTS:
        current = todo.pop()
        count += 1
        if isinstance(current, dict):
            todo += current.values()
        elif isinstance(current, list):
            todo += current
    return count


def _members(node: ast.expr) -> list[ast.expr]:
    """Split ``A | B | C`` into a list, without recursion."""
    found: list[ast.expr] = []
    while isinstance(node, ast.BinOp):
        found.append(node.right)
        node = node.left
    return [node, *reversed(found)]


def _forward(text: str) -> ast.expr | None:
    if len(text) > _MAX_FORWARD_CHARACTERS:
        return None
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
