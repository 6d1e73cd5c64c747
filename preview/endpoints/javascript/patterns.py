"""Binding of values to names: assignments, destructuring, parameters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tree_sitter import Node

from preview.endpoints.javascript.natives import Native
from preview.endpoints.javascript.syntax import children, fields, first_child, string_value, text
from preview.endpoints.javascript.values import Class, Function, JSObject, Made, Scope
from preview.endpoints.names import UNKNOWN

if TYPE_CHECKING:
    from preview.endpoints.javascript.evaluator import JavaScriptEvaluator

_PARAMETERS = frozenset({"required_parameter", "optional_parameter"})


def bind(evaluator: JavaScriptEvaluator, target: Node | None, value: object, scope: Scope, *, declares: bool) -> None:
    """Bind a value to a name, a property or a pattern; ``declares``: names are new in the scope (``const``)."""
    if target is None:
        return
    match target.type:
        case "identifier" | "shorthand_property_identifier_pattern":
            if declares:
                scope.names[text(target)] = value
            else:
                scope.assign(text(target), value)
        case "member_expression" | "subscript_expression":
            _set_property(evaluator, target, value, scope)
        case "assignment_pattern":
            _bind_default(evaluator, target, value, scope, declares=declares)
        case "array_pattern":
            values = value if isinstance(value, list) else []
            for position, element in enumerate(children(target)):
                if element.type == "rest_pattern":
                    bind(evaluator, element.named_children[0], values[position:], scope, declares=declares)
                else:
                    given = values[position] if position < len(values) else UNKNOWN
                    bind(evaluator, element, given, scope, declares=declares)
        case "object_pattern":
            _bind_object(evaluator, target, value, scope, declares=declares)
        case "non_null_expression" | "parenthesized_expression" | "as_expression":
            bind(evaluator, target.named_children[0], value, scope, declares=declares)
        case _:
            pass


def _bind_default(evaluator: JavaScriptEvaluator, target: Node, value: object, scope: Scope, *, declares: bool) -> None:
    if value is None or value is UNKNOWN or isinstance(value, Made):
        value = evaluator.evaluate(target.child_by_field_name("right"), scope)
    bind(evaluator, target.child_by_field_name("left"), value, scope, declares=declares)


def _bind_object(evaluator: JavaScriptEvaluator, target: Node, value: object, scope: Scope, *, declares: bool) -> None:
    taken = set()
    for part in children(target):
        if part.type == "pair_pattern":
            name = key_of(evaluator, part.child_by_field_name("key"), scope)
            if name is not None:
                taken.add(name)
                bind(
                    evaluator,
                    part.child_by_field_name("value"),
                    evaluator.member(value, name),
                    scope,
                    declares=declares,
                )
        elif part.type == "object_assignment_pattern":
            left = part.child_by_field_name("left")
            taken.add(text(left))
            _bind_default(evaluator, part, evaluator.member(value, text(left)), scope, declares=declares)
        elif part.type == "rest_pattern":
            names = value.names if isinstance(value, JSObject) else {}
            rest = JSObject({name: item for name, item in names.items() if name not in taken})
            bind(evaluator, part.named_children[0], rest, scope, declares=declares)
        else:
            taken.add(text(part))
            bind(evaluator, part, evaluator.member(value, text(part)), scope, declares=declares)


def _set_property(evaluator: JavaScriptEvaluator, target: Node, value: object, scope: Scope) -> None:
    owner = evaluator.evaluate(target.child_by_field_name("object"), scope)
    key = target.child_by_field_name("property")
    name = evaluator.evaluate(target.child_by_field_name("index"), scope) if key is None else text(key)
    if isinstance(name, int) and not isinstance(name, bool):
        name = str(name)
    if not isinstance(name, str):
        return
    if isinstance(owner, (JSObject, Function, Class)):
        owner.names[name] = value
    elif isinstance(owner, Native):
        owner.set_attribute(name, value)


def key_of(evaluator: JavaScriptEvaluator, key: Node | None, scope: Scope) -> str | None:
    """Return a property's name as written in an object, a class or a pattern; None if missing or not known."""
    if key is None:
        return None
    if key.type == "string":
        return string_value(key)
    if key.type == "computed_property_name":
        value = evaluator.evaluate(first_child(key), scope)
        return str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else None
    return text(key)


def parameters(function: Node) -> Iterator[Node]:
    """Yield the nodes of a function's parameters, in order."""
    single = function.child_by_field_name("parameter")
    if single is not None:
        yield single
    for node in children(function.child_by_field_name("parameters")):
        if not (node.type in _PARAMETERS and text(node.child_by_field_name("pattern")) == "this"):
            yield node


def bind_parameters(evaluator: JavaScriptEvaluator, function: Node, arguments: list[object], scope: Scope) -> None:
    """Bind a call's arguments to the parameters."""
    for position, node in enumerate(parameters(function)):
        value = arguments[position] if position < len(arguments) else UNKNOWN
        if node.type in _PARAMETERS:
            _bind_typed(evaluator, node, value, arguments[position:], scope)
        elif node.type == "rest_pattern":
            bind(evaluator, node.named_children[0], arguments[position:], scope, declares=True)
        else:
            bind(evaluator, node, value, scope, declares=True)


def _bind_typed(evaluator: JavaScriptEvaluator, node: Node, value: object, rest: list[object], scope: Scope) -> None:
    pattern, default = node.child_by_field_name("pattern"), node.child_by_field_name("value")
    if pattern is None:
        return
    if pattern.type == "rest_pattern":
        bind(evaluator, pattern.named_children[0], rest, scope, declares=True)
        return
    if value is None or value is UNKNOWN:
        value = evaluator.evaluate(default, scope) if default is not None else _injected(evaluator, node, scope)
    bind(evaluator, pattern, value, scope, declares=True)
    # `constructor(private readonly app: Application)` also declares a property.
    if any(child.type in {"accessibility_modifier", "readonly", "override_modifier"} for child in node.children):
        this = scope.find("this")
        if isinstance(this, JSObject):
            this.names[text(pattern)] = value


def _injected(evaluator: JavaScriptEvaluator, node: Node, scope: Scope) -> object:
    """Return the object that a container would inject: an instance of the parameter's declared class."""
    function = evaluator.active[-1] if evaluator.active else None
    if function is None or text(function.node.child_by_field_name("name")) != "constructor":
        return UNKNOWN
    for decorator in fields(node, "decorator"):
        made = evaluator.evaluate(first_child(decorator), scope)
        if isinstance(made, Made) and made.name.rpartition(".")[2].lower() == "inject" and made.arguments:
            return evaluator.framework.provide(made.arguments[0], evaluator)
    annotation = node.child_by_field_name("type")
    cls = evaluator.settle(scope.find(text(first_child(annotation)))) if annotation is not None else UNKNOWN
    return evaluator.framework.provide(cls, evaluator) if isinstance(cls, Class) else UNKNOWN
