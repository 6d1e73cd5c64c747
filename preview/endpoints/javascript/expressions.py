"""The values of expressions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tree_sitter import Node

from preview.endpoints.javascript.classes import call_super, member_of_class, owner_of
from preview.endpoints.javascript.natives import Call
from preview.endpoints.javascript.operators import as_text
from preview.endpoints.javascript.syntax import text
from preview.endpoints.javascript.values import Class, Module, Scope
from preview.endpoints.names import UNKNOWN

if TYPE_CHECKING:
    from preview.endpoints.javascript.interpreter import Interpreter

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from preview.endpoints.javascript.classes import read_class
from preview.endpoints.javascript.modules import ROOT
from preview.endpoints.javascript.operators import MAX_LENGTH, binary, truth, type_of
from preview.endpoints.javascript.patterns import bind, key_of
from preview.endpoints.javascript.syntax import children, fields, string_value, unescape
from preview.endpoints.javascript.values import Function, Getter, JSObject, Regex
from preview.endpoints.names import External

if TYPE_CHECKING:
    from preview.endpoints.javascript.interpreter import Interpreter


def evaluate_call(interpreter: Interpreter, node: Node, scope: Scope) -> object:
    """Evaluate any call; a promise counts as its future value."""
    function = node.child_by_field_name("function")
    while function is not None and function.type in {"parenthesized_expression", "non_null_expression"}:
        inner = function.named_children[-1] if function.named_children else None
        if inner is None or inner.type not in {"member_expression", "subscript_expression", "parenthesized_expression"}:
            break
        function = inner
    if function is None:
        return UNKNOWN
    call = Call(node, scope, interpreter)
    if function.type == "import":
        return _import(interpreter, call)
    if function.type == "super":
        call_super(interpreter, call.arguments, scope)
        return None
    if function.type not in {"member_expression", "subscript_expression"}:
        return interpreter.invoke(interpreter.evaluate(function, scope), call)
    return _method(interpreter, function, call)


def _method(interpreter: Interpreter, function: Node, call: Call) -> object:
    owner = function.child_by_field_name("object")
    if owner is None:
        return UNKNOWN
    name: str | None = text(function.child_by_field_name("property"))
    if function.type == "subscript_expression":
        index = function.child_by_field_name("index")
        name = as_text(interpreter.evaluate(index, call.scope)) if index is not None else None
    if owner.type == "super":
        cls = owner_of(interpreter)
        base = interpreter.settle(cls.base) if cls is not None else None
        found = member_of_class(interpreter, base, name, static=False) if isinstance(base, Class) and name else UNKNOWN
        return interpreter.invoke(found, call, call.scope.find("this"))
    receiver = interpreter.evaluate(owner, call.scope)
    if name is None:
        interpreter.call_back(call.arguments)
        return UNKNOWN
    return interpreter.call_method(interpreter.settle(receiver), name, call)


def _import(interpreter: Interpreter, call: Call) -> object:
    name = call.argument(0)
    if not isinstance(name, str):
        return UNKNOWN
    found = interpreter.require(name, call.scope.file)
    return found.exports if isinstance(found, Module) else found


def evaluate_new(interpreter: Interpreter, node: Node, scope: Scope) -> object:
    """Evaluate ``new``."""
    constructor = node.child_by_field_name("constructor")
    if constructor is None:
        return UNKNOWN
    return interpreter.construct(interpreter.evaluate(constructor, scope), Call(node, scope, interpreter))


_GLOBALS: Final = frozenset(
    {"process", "console", "Object", "Array", "JSON", "Promise", "String", "Number", "Boolean", "Map", "Set", "URL",
     "Reflect", "Symbol", "global", "globalThis", "setTimeout", "setImmediate", "setInterval", "Bun"}
)  # fmt: skip
_MAX_PARTS: Final = 10_000


def _identifier(interpreter: Interpreter, node: Node, scope: Scope) -> object:
    name = text(node)
    if name == "undefined":
        return None
    found = scope.find(name)
    return External(name) if found is UNKNOWN and name in _GLOBALS else interpreter.settle(found)


def _this(interpreter: Interpreter, node: Node, scope: Scope) -> object:  # noqa: ARG001  as its siblings
    return scope.find("this")


def _string(interpreter: Interpreter, node: Node, scope: Scope) -> object:  # noqa: ARG001  as its siblings
    return string_value(node)


def _number(interpreter: Interpreter, node: Node, scope: Scope) -> object:  # noqa: ARG001  as its siblings
    digits = text(node).replace("_", "")
    try:
        return int(digits) if digits.isdecimal() and len(digits) < 16 else float(digits)
    except (ValueError, OverflowError):
        return UNKNOWN


def _constant(value: object) -> Callable[[Interpreter, Node, Scope], object]:
    return lambda interpreter, node, scope: value  # noqa: ARG005  as its siblings


def _template(interpreter: Interpreter, node: Node, scope: Scope) -> object:
    parts: list[str] = []
    for part in node.named_children:
        if part.type == "template_substitution":
            inner = children(part)
            value = as_text(interpreter.evaluate(inner[0], scope)) if inner else None
            if value is None:
                return UNKNOWN
            parts.append(value)
        else:
            parts.append(unescape(text(part)))
    return "".join(parts) if sum(map(len, parts)) <= MAX_LENGTH else UNKNOWN


def partial_text(interpreter: Interpreter, node: Node, scope: Scope) -> str:
    """Return the known parts of a string of which some are unknown."""
    if node.type == "template_string":
        parts = [
            unescape(text(part))
            if part.type != "template_substitution"
            else "".join(as_text(interpreter.evaluate(inner, scope)) or "" for inner in children(part)[:1])
            for part in node.named_children
        ]
        return "".join(parts)[:MAX_LENGTH]
    if node.type == "binary_expression":
        sides = [side for name in ("left", "right") if (side := node.child_by_field_name(name)) is not None]
        return "".join(as_text(interpreter.evaluate(side, scope)) or "" for side in sides)[:MAX_LENGTH]
    return ""


def _regex(interpreter: Interpreter, node: Node, scope: Scope) -> object:  # noqa: ARG001  as its siblings
    return Regex(text(node.child_by_field_name("pattern")), text(node.child_by_field_name("flags")))


def _array(interpreter: Interpreter, node: Node, scope: Scope) -> object:
    return interpreter.evaluate_all(children(node)[:_MAX_PARTS], scope)


def _object(interpreter: Interpreter, node: Node, scope: Scope) -> object:
    made = JSObject()
    for part in children(node)[:_MAX_PARTS]:
        if part.type == "pair":
            key, value = part.child_by_field_name("key"), part.child_by_field_name("value")
            name = key_of(interpreter, key, scope) if key is not None else None
            if name is not None and value is not None:
                made.names[name] = interpreter.evaluate(value, scope)
        elif part.type == "shorthand_property_identifier":
            made.names[text(part)] = _identifier(interpreter, part, scope)
        elif part.type == "method_definition":
            key = part.child_by_field_name("name")
            name = key_of(interpreter, key, scope) if key is not None else None
            kinds = {child.type for child in part.children}
            if name is not None and "set" not in kinds:
                function = Function(part, scope)
                made.names[name] = Getter(function) if "get" in kinds else function
        elif part.type == "spread_element" and part.named_children:
            inner = interpreter.evaluate(part.named_children[0], scope)
            made.names.update(inner.names if isinstance(inner, JSObject) else {})
    return made


def _function(interpreter: Interpreter, node: Node, scope: Scope) -> object:  # noqa: ARG001  as its siblings
    return Function(node, scope)


def _class(interpreter: Interpreter, node: Node, scope: Scope) -> object:
    return read_class(interpreter, node, scope, fields(node, "decorator"))


def _member(interpreter: Interpreter, node: Node, scope: Scope) -> object:
    owner, name = node.child_by_field_name("object"), node.child_by_field_name("property")
    if owner is None:
        return UNKNOWN
    return interpreter.member(interpreter.evaluate(owner, scope), text(name))


def _subscript(interpreter: Interpreter, node: Node, scope: Scope) -> object:
    owner_node, index_node = node.child_by_field_name("object"), node.child_by_field_name("index")
    if owner_node is None or index_node is None:
        return UNKNOWN
    owner, index = interpreter.evaluate(owner_node, scope), interpreter.evaluate(index_node, scope)
    if isinstance(owner, (list, str)):
        if isinstance(index, str) and index.isdecimal():
            index = int(index[:9])
        return owner[index] if isinstance(index, int) and 0 <= index < len(owner) else UNKNOWN
    name = as_text(index)
    return interpreter.member(owner, name) if name is not None else UNKNOWN


def _assignment(interpreter: Interpreter, node: Node, scope: Scope) -> object:
    left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
    if left is None or right is None:
        return UNKNOWN
    value = interpreter.evaluate(right, scope)
    bind(interpreter, left, value, scope, declares=False)
    return value


def _augmented(interpreter: Interpreter, node: Node, scope: Scope) -> object:
    left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
    operator = text(node.child_by_field_name("operator")).removesuffix("=")
    if left is None or right is None:
        return UNKNOWN
    value = _operate(interpreter, operator, left, right, scope)
    bind(interpreter, left, value, scope, declares=False)
    return value


def _binary(interpreter: Interpreter, node: Node, scope: Scope) -> object:
    left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
    if left is None or right is None:
        return UNKNOWN
    return _operate(interpreter, text(node.child_by_field_name("operator")), left, right, scope)


def _operate(interpreter: Interpreter, operator: str, left: Node, right: Node, scope: Scope) -> object:
    first = interpreter.evaluate(left, scope)
    if operator in {"||", "??", "&&"}:
        known = truth(first) if operator != "??" else None if first is UNKNOWN else first is not None
        if known is not None and known is (operator != "&&"):
            return first
        second = interpreter.evaluate(right, scope)
        if known is None and operator != "&&":
            # A value that nothing is known of: its default holds.
            return second if second is not UNKNOWN else first
        # `isMain && app.listen()` was read; the value matters only where it is certain.
        return second if known is not None else False if second is False else UNKNOWN
    return binary(operator, first, interpreter.evaluate(right, scope))


def _unary(interpreter: Interpreter, node: Node, scope: Scope) -> object:
    argument = node.child_by_field_name("argument")
    operator = text(node.child_by_field_name("operator"))
    value = interpreter.evaluate(argument, scope) if argument is not None else UNKNOWN
    if operator == "!":
        known = truth(value)
        return UNKNOWN if known is None else not known
    if operator == "typeof":
        return type_of(value)
    if operator in {"-", "+"} and isinstance(value, (int, float)):
        return -value if operator == "-" else value
    return None if operator == "void" else UNKNOWN


def _update(interpreter: Interpreter, node: Node, scope: Scope) -> object:
    argument = node.child_by_field_name("argument")
    if argument is None:
        return UNKNOWN
    value = interpreter.evaluate(argument, scope)
    step = 1 if text(node.child_by_field_name("operator")) == "++" else -1
    bind(interpreter, argument, binary("+", value, step), scope, declares=False)
    return value


def _ternary(interpreter: Interpreter, node: Node, scope: Scope) -> object:
    condition = node.child_by_field_name("condition")
    known = truth(interpreter.evaluate(condition, scope)) if condition is not None else None
    sides = [node.child_by_field_name(name) for name in ("consequence", "alternative")]
    if known is not None:
        sides = sides[:1] if known else sides[1:]
    values = [interpreter.evaluate(side, scope) for side in sides if side is not None]
    return next((value for value in values if value is not UNKNOWN and value is not None), UNKNOWN)


def _inner(interpreter: Interpreter, node: Node, scope: Scope) -> object:
    """Parentheses, sequences, ``await``, casts: what the last part says (of a cast, the first)."""
    parts = children(node)
    if not parts:
        return UNKNOWN
    if node.type in {"as_expression", "satisfies_expression", "non_null_expression"}:
        return interpreter.evaluate(parts[0], scope)
    found: object = UNKNOWN
    for part in parts:
        found = interpreter.evaluate(part, scope)
    return found


def _meta(interpreter: Interpreter, node: Node, scope: Scope) -> object:  # noqa: ARG001  as its siblings
    path = f"{ROOT}/{scope.file}"
    return JSObject({"url": f"file://{path}", "filename": path, "dirname": path.rpartition("/")[0]})


EXPRESSIONS: Final[dict[str, Callable[[Interpreter, Node, Scope], object]]] = {
    "identifier": _identifier,
    "shorthand_property_identifier": _identifier,
    "this": _this,
    "string": _string,
    "number": _number,
    "template_string": _template,
    "true": _constant(True),
    "false": _constant(False),
    "null": _constant(None),
    "undefined": _constant(None),
    "regex": _regex,
    "array": _array,
    "object": _object,
    "arrow_function": _function,
    "function_expression": _function,
    "generator_function": _function,
    "class": _class,
    "member_expression": _member,
    "subscript_expression": _subscript,
    "call_expression": evaluate_call,
    "new_expression": evaluate_new,
    "assignment_expression": _assignment,
    "augmented_assignment_expression": _augmented,
    "binary_expression": _binary,
    "unary_expression": _unary,
    "update_expression": _update,
    "ternary_expression": _ternary,
    "parenthesized_expression": _inner,
    "sequence_expression": _inner,
    "await_expression": _inner,
    "as_expression": _inner,
    "satisfies_expression": _inner,
    "non_null_expression": _inner,
    "type_assertion": _inner,
    "meta_property": _meta,
}
