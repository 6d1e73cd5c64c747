"""Classes, and functions used as classes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tree_sitter import Node

from preview.endpoints.javascript.patterns import key_of
from preview.endpoints.javascript.syntax import children, fields
from preview.endpoints.javascript.values import Class, Function, Getter, JSObject, Scope
from preview.endpoints.names import UNKNOWN, External

if TYPE_CHECKING:
    from preview.endpoints.javascript.evaluator import JavaScriptEvaluator

# Depth limits for classes that extend each other, and for containers that inject each other.
_MAX_LINEAGE = 20
_MAX_NESTED = 8


def read_class(evaluator: JavaScriptEvaluator, node: Node, scope: Scope, decorators: list[Node]) -> Class:
    """Return the class of a declaration or an expression; ``decorators`` precede the class."""
    cls = Class(node, scope)
    heritage = next((child for child in node.named_children if child.type == "class_heritage"), None)
    cls.base = _base(evaluator, heritage, scope) if heritage is not None else None
    inner = Scope(scope.file, {"this": cls}, parent=scope, is_block=True)
    if cls.name:
        inner.names[cls.name] = cls
    cls.scope = inner
    cls.decorators = [evaluator.evaluate(item, inner) for part in decorators for item in children(part)]
    pending: list[Node] = []
    for member in children(node.child_by_field_name("body")):
        if member.type == "decorator":
            pending.append(member)
            continue
        _read_member(evaluator, cls, member, [*pending, *fields(member, "decorator")], inner)
        pending = []
    if cls.decorators or cls.member_decorators:
        evaluator.framework.declare(cls)
    return cls


def _base(evaluator: JavaScriptEvaluator, heritage: Node, scope: Scope) -> object:
    # TypeScript wraps the value in an `extends_clause`; JavaScript does not.
    clause = next((child for child in heritage.named_children if child.type == "extends_clause"), None)
    value = clause.child_by_field_name("value") if clause is not None else None
    if clause is None:
        value = next((child for child in heritage.named_children if child.type != "implements_clause"), None)
    return evaluator.evaluate(value, scope) if value is not None else None


def _read_member(
    evaluator: JavaScriptEvaluator, cls: Class, member: Node, decorators: list[Node], scope: Scope
) -> None:
    is_static = any(child.type == "static" for child in member.children)
    key = member.child_by_field_name("name") or member.child_by_field_name("property")
    name = key_of(evaluator, key, scope)
    if member.type == "class_static_block":
        evaluator.run(children(member.child_by_field_name("body")), Scope(scope.file, parent=scope))
    elif name is None:
        return
    elif member.type == "method_definition":
        function = Function(member, scope, owner=cls)
        is_getter = any(child.type == "get" for child in member.children)
        (cls.names if is_static else cls.members)[name] = Getter(function) if is_getter else function
    elif member.type in {"field_definition", "public_field_definition"}:
        value = member.child_by_field_name("value")
        if value is None:
            return
        if is_static:
            cls.names[name] = evaluator.evaluate(value, scope)
        else:
            cls.fields.append((name, value))
    if decorators and name is not None:
        values = [evaluator.evaluate(item, scope) for part in decorators for item in children(part)]
        cls.member_decorators.setdefault(name, []).extend(values)


def lineage(evaluator: JavaScriptEvaluator, cls: object) -> Iterator[Class | External]:
    """Yield a class and its base classes, nearest first."""
    for _ in range(_MAX_LINEAGE):
        cls = evaluator.settle(cls)
        if isinstance(cls, (Class, External)):
            yield cls
        if not isinstance(cls, Class):
            return
        cls = cls.base


def member_of_class(evaluator: JavaScriptEvaluator, cls: Class | Function, name: str, *, static: bool) -> object:
    """Return a static property, or a property that instances get from their class."""
    if isinstance(cls, Function):
        prototype = cls.names.get("prototype")
        return prototype.names.get(name, UNKNOWN) if isinstance(prototype, JSObject) else UNKNOWN
    for ancestor in lineage(evaluator, cls):
        if isinstance(ancestor, Class):
            names = ancestor.names if static else ancestor.members
            if name in names:
                return names[name]
    if static and name == "prototype":
        return JSObject(cls.members)
    return cls.name if static and name == "name" else UNKNOWN


def construct(evaluator: JavaScriptEvaluator, cls: Class | Function, arguments: list[object]) -> object:
    """Evaluate ``new cls(…)``."""
    instance = JSObject(cls=cls)
    if isinstance(cls, Function):
        returned = evaluator.call(cls, arguments, instance)
        return returned if isinstance(returned, (JSObject, Function)) else instance
    nested = sum(item.owner is cls and item.name == "constructor" for item in evaluator.active)
    if nested or len([item for item in evaluator.active if item.name == "constructor"]) > _MAX_NESTED:
        return instance
    family = list(lineage(evaluator, cls))
    if family and isinstance(family[-1], External):
        instance.native = evaluator.framework.inherit(family[-1])
    initialise(evaluator, cls, instance, arguments)
    return instance


def initialise(evaluator: JavaScriptEvaluator, cls: object, instance: JSObject, arguments: list[object]) -> None:
    """Set the fields of a class on an instance and run its constructor; ``super(…)`` does so for the base class."""
    cls = evaluator.settle(cls)
    if not isinstance(cls, Class):
        return
    constructor = cls.members.get("constructor")
    if not isinstance(constructor, Function):
        initialise(evaluator, cls.base, instance, arguments)
        _set_fields(evaluator, cls, instance)
        return
    # In a class with a base, the fields are set when `super` returns.
    if not isinstance(evaluator.settle(cls.base), Class):
        _set_fields(evaluator, cls, instance)
    evaluator.call(constructor, arguments, instance)


def call_super(evaluator: JavaScriptEvaluator, arguments: list[object], scope: Scope) -> None:
    """Evaluate ``super(…)`` in a constructor."""
    cls = owner_of(evaluator)
    instance = scope.find("this")
    if cls is None or not isinstance(instance, JSObject):
        return
    base = evaluator.settle(cls.base)
    if isinstance(base, Class):
        initialise(evaluator, base, instance, arguments)
        _set_fields(evaluator, cls, instance)


def owner_of(evaluator: JavaScriptEvaluator) -> Class | None:
    """Return the class whose method is being evaluated."""
    return next((item.owner for item in reversed(evaluator.active) if item.owner is not None), None)


def _set_fields(evaluator: JavaScriptEvaluator, cls: Class, instance: JSObject) -> None:
    scope = Scope(cls.scope.file, {"this": instance}, parent=cls.scope)
    for name, value in cls.fields:
        instance.names[name] = evaluator.evaluate(value, scope)
