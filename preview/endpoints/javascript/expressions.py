"""Evaluation of expressions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tree_sitter import Node

from preview.endpoints.javascript.classes import call_super, member_of_class, owner_of, read_class
from preview.endpoints.javascript.modules import ROOT
from preview.endpoints.javascript.natives import Call, Require
from preview.endpoints.javascript.operators import MAX_LENGTH, as_text, binary, truth, type_of
from preview.endpoints.javascript.patterns import bind, key_of
from preview.endpoints.javascript.syntax import children, fields, first_child, string_value, text, unescape
from preview.endpoints.javascript.values import Class, Function, Getter, JSObject, Regex, Scope
from preview.endpoints.names import UNKNOWN, External

if TYPE_CHECKING:
    from preview.endpoints.javascript.evaluator import JavaScriptEvaluator


def evaluate_call(evaluator: JavaScriptEvaluator, node: Node, scope: Scope) -> object:
    """Evaluate any call; a promise counts as its future value."""
    function = node.child_by_field_name("function")
    while function is not None and function.type in {"parenthesized_expression", "non_null_expression"}:
        inner = function.named_children[-1] if function.named_children else None
        if inner is None or inner.type not in {"member_expression", "subscript_expression", "parenthesized_expression"}:
            break
        function = inner
    if function is None:
        return UNKNOWN
    call = Call(node, scope, evaluator)
    if function.type == "import":
        return Require(scope.file).call(call)
    if function.type == "super":
        call_super(evaluator, call.arguments, scope)
        return None
    if function.type not in {"member_expression", "subscript_expression"}:
        return evaluator.invoke(evaluator.evaluate(function, scope), call)
    return _method(evaluator, function, call)


def _method(evaluator: JavaScriptEvaluator, function: Node, call: Call) -> object:
    owner = function.child_by_field_name("object")
    name: str | None = text(function.child_by_field_name("property"))
    if function.type == "subscript_expression":
        name = as_text(evaluator.evaluate(function.child_by_field_name("index"), call.scope))
    if owner is not None and owner.type == "super":
        cls = owner_of(evaluator)
        base = evaluator.settle(cls.base) if cls is not None else None
        found = member_of_class(evaluator, base, name, static=False) if isinstance(base, Class) and name else UNKNOWN
        return evaluator.invoke(found, call, call.scope.find("this"))
    receiver = evaluator.evaluate(owner, call.scope)
    if name is None:
        evaluator.call_back(call.arguments)
        return UNKNOWN
    return evaluator.call_method(evaluator.settle(receiver), name, call)


def evaluate_new(evaluator: JavaScriptEvaluator, node: Node, scope: Scope) -> object:
    """Evaluate ``new``."""
    constructor = evaluator.evaluate(node.child_by_field_name("constructor"), scope)
    return evaluator.construct(constructor, Call(node, scope, evaluator))


_GLOBALS: Final = frozenset(
    {"process", "console", "Object", "Array", "JSON", "Promise", "String", "Number", "Boolean", "Map", "Set", "URL",
     "Reflect", "Symbol", "global", "globalThis", "setTimeout", "setImmediate", "setInterval", "Bun", "Deno"}
)  # fmt: skip
_MAX_PARTS: Final = 10_000


def _identifier(evaluator: JavaScriptEvaluator, node: Node, scope: Scope) -> object:
    name = text(node)
    if name == "undefined":
        return None
    found = scope.find(name)
    return External(name) if found is UNKNOWN and name in _GLOBALS else evaluator.settle(found)


def _number(_evaluator: JavaScriptEvaluator, node: Node, _scope: Scope) -> object:
    digits = text(node).replace("_", "")
    try:
        return int(digits) if digits.isdecimal() and len(digits) < 16 else float(digits)
    except (ValueError, OverflowError):
        return UNKNOWN


def _constant(value: object) -> Callable[[JavaScriptEvaluator, Node, Scope], object]:
    return lambda _evaluator, _node, _scope: value


def _template_parts(evaluator: JavaScriptEvaluator, node: Node, scope: Scope) -> list[str | None]:
    return [
        as_text(evaluator.evaluate(next(iter(children(part)), None), scope))
        if part.type == "template_substitution"
        else unescape(text(part))
        for part in node.named_children
    ]


def _template(evaluator: JavaScriptEvaluator, node: Node, scope: Scope) -> object:
    parts = _template_parts(evaluator, node, scope)
    known = [part for part in parts if part is not None]
    return "".join(known) if len(known) == len(parts) and sum(map(len, known)) <= MAX_LENGTH else UNKNOWN


def partial_text(evaluator: JavaScriptEvaluator, node: Node, scope: Scope) -> str:
    """Return the known parts of a partly unknown string."""
    parts: list[str | None] = []
    if node.type == "template_string":
        parts = _template_parts(evaluator, node, scope)
    elif node.type == "binary_expression":
        sides = (node.child_by_field_name(name) for name in ("left", "right"))
        parts = [as_text(evaluator.evaluate(side, scope)) for side in sides]
    return "".join(filter(None, parts))[:MAX_LENGTH]


def _array(evaluator: JavaScriptEvaluator, node: Node, scope: Scope) -> object:
    return evaluator.evaluate_all(children(node)[:_MAX_PARTS], scope)


def _object(evaluator: JavaScriptEvaluator, node: Node, scope: Scope) -> object:
    made = JSObject()
    for part in children(node)[:_MAX_PARTS]:
        if part.type == "pair":
            name = key_of(evaluator, part.child_by_field_name("key"), scope)
            if name is not None:
                made.names[name] = evaluator.evaluate(part.child_by_field_name("value"), scope)
        elif part.type == "shorthand_property_identifier":
            made.names[text(part)] = _identifier(evaluator, part, scope)
        elif part.type == "method_definition":
            name = key_of(evaluator, part.child_by_field_name("name"), scope)
            kinds = {child.type for child in part.children}
            if name is not None and "set" not in kinds:
                function = Function(part, scope)
                made.names[name] = Getter(function) if "get" in kinds else function
        elif part.type == "spread_element":
            inner = evaluator.evaluate(first_child(part), scope)
            made.names.update(inner.names if isinstance(inner, JSObject) else {})
    return made


def _class(evaluator: JavaScriptEvaluator, node: Node, scope: Scope) -> object:
    return read_class(evaluator, node, scope, fields(node, "decorator"))


def _member(evaluator: JavaScriptEvaluator, node: Node, scope: Scope) -> object:
    owner = evaluator.evaluate(node.child_by_field_name("object"), scope)
    return evaluator.member(owner, text(node.child_by_field_name("property")))


def _subscript(evaluator: JavaScriptEvaluator, node: Node, scope: Scope) -> object:
    owner, index = (evaluator.evaluate(node.child_by_field_name(name), scope) for name in ("object", "index"))
    if isinstance(owner, (list, str)):
        if isinstance(index, str) and index.isdecimal():
            index = int(index[:9])
        return owner[index] if isinstance(index, int) and 0 <= index < len(owner) else UNKNOWN
    name = as_text(index)
    return evaluator.member(owner, name) if name is not None else UNKNOWN


def _assignment(evaluator: JavaScriptEvaluator, node: Node, scope: Scope) -> object:
    value = evaluator.evaluate(node.child_by_field_name("right"), scope)
    bind(evaluator, node.child_by_field_name("left"), value, scope, declares=False)
    return value


def _augmented(evaluator: JavaScriptEvaluator, node: Node, scope: Scope) -> object:
    operator = text(node.child_by_field_name("operator")).removesuffix("=")
    value = _operate(evaluator, node, operator, scope)
    bind(evaluator, node.child_by_field_name("left"), value, scope, declares=False)
    return value


def _binary(evaluator: JavaScriptEvaluator, node: Node, scope: Scope) -> object:
    return _operate(evaluator, node, text(node.child_by_field_name("operator")), scope)


def _operate(evaluator: JavaScriptEvaluator, node: Node, operator: str, scope: Scope) -> object:
    right = node.child_by_field_name("right")
    first = evaluator.evaluate(node.child_by_field_name("left"), scope)
    if operator in {"||", "??", "&&"}:
        known = truth(first) if operator != "??" else None if first is UNKNOWN else first is not None
        if known is not None and known is (operator != "&&"):
            return first
        second = evaluator.evaluate(right, scope)
        if known is None and operator != "&&":
            # If the value is unknown, use its default. A name of a package keeps its meaning.
            return first if second is UNKNOWN or isinstance(first, External) else second
        # `isMain && app.listen()` was evaluated. Its value counts only if it is certain.
        return second if known is not None else False if second is False else UNKNOWN
    return binary(operator, first, evaluator.evaluate(right, scope))


def _unary(evaluator: JavaScriptEvaluator, node: Node, scope: Scope) -> object:
    operator = text(node.child_by_field_name("operator"))
    value = evaluator.evaluate(node.child_by_field_name("argument"), scope)
    if operator == "!":
        known = truth(value)
        return UNKNOWN if known is None else not known
    if operator == "typeof":
        return type_of(value)
    if operator in {"-", "+"} and isinstance(value, (int, float)):
        return -value if operator == "-" else value
    return None if operator == "void" else UNKNOWN


def _update(evaluator: JavaScriptEvaluator, node: Node, scope: Scope) -> object:
    argument = node.child_by_field_name("argument")
    value = evaluator.evaluate(argument, scope)
    step = 1 if text(node.child_by_field_name("operator")) == "++" else -1
    bind(evaluator, argument, binary("+", value, step), scope, declares=False)
    return value


def _ternary(evaluator: JavaScriptEvaluator, node: Node, scope: Scope) -> object:
    known = truth(evaluator.evaluate(node.child_by_field_name("condition"), scope))
    sides = ("consequence", "alternative") if known is None else ("consequence",) if known else ("alternative",)
    values = [evaluator.evaluate(node.child_by_field_name(side), scope) for side in sides]
    return next((value for value in values if value is not UNKNOWN and value is not None), UNKNOWN)


def _inner(evaluator: JavaScriptEvaluator, node: Node, scope: Scope) -> object:
    """Evaluate parentheses, sequences, ``await`` (the last part's value) and casts (the first part's value)."""
    is_cast = node.type in {"as_expression", "satisfies_expression", "non_null_expression"}
    found: object = UNKNOWN
    for part in children(node)[: 1 if is_cast else None]:
        found = evaluator.evaluate(part, scope)
    return found


def _meta(_evaluator: JavaScriptEvaluator, _node: Node, scope: Scope) -> object:
    path = f"{ROOT}/{scope.file}"
    return JSObject({"url": f"file://{path}", "filename": path, "dirname": path.rpartition("/")[0]})


EXPRESSIONS: Final[dict[str, Callable[[JavaScriptEvaluator, Node, Scope], object]]] = {
    "identifier": _identifier,
    "shorthand_property_identifier": _identifier,
    "this": lambda _evaluator, _node, scope: scope.find("this"),
    "string": lambda _evaluator, node, _scope: string_value(node),
    "number": _number,
    "template_string": _template,
    "true": _constant(True),
    "false": _constant(False),
    "null": _constant(None),
    "undefined": _constant(None),
    "regex": lambda _evaluator, node, _scope: Regex(
        text(node.child_by_field_name("pattern")), text(node.child_by_field_name("flags"))
    ),
    "array": _array,
    "object": _object,
    **dict.fromkeys(
        ("arrow_function", "function_expression", "generator_function"),
        lambda _evaluator, node, scope: Function(node, scope),
    ),
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
    **dict.fromkeys(("parenthesized_expression", "sequence_expression", "await_expression", "type_assertion"), _inner),
    **dict.fromkeys(("as_expression", "satisfies_expression", "non_null_expression"), _inner),
    "meta_property": _meta,
}
