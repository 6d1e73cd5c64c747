"""What calls and ``new`` give."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tree_sitter import Node

from preview.endpoints.javascript.classes import call_super, member_of_class, owner_of
from preview.endpoints.javascript.native import Call
from preview.endpoints.javascript.operators import as_text
from preview.endpoints.javascript.syntax import text
from preview.endpoints.javascript.values import UNKNOWN, Class, Module, Scope

if TYPE_CHECKING:
    from preview.endpoints.javascript.interpreter import Interpreter

__all__ = ["evaluate_call", "evaluate_new"]


def evaluate_call(interpreter: Interpreter, node: Node, scope: Scope) -> object:
    """A call of anything; a promise counts as what it will hold."""
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
    """An instance."""
    constructor = node.child_by_field_name("constructor")
    if constructor is None:
        return UNKNOWN
    return interpreter.construct(interpreter.evaluate(constructor, scope), Call(node, scope, interpreter))
