"""Execution of statements, as far as routes need it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from tree_sitter import Node

from preview.endpoints.javascript.classes import read_class
from preview.endpoints.javascript.modules import bind_import, export
from preview.endpoints.javascript.natives import JSMap
from preview.endpoints.javascript.operators import truth
from preview.endpoints.javascript.patterns import bind, key_of
from preview.endpoints.javascript.syntax import children, fields, first_child, may_register, text
from preview.endpoints.javascript.values import Function, JSObject, Scope
from preview.endpoints.names import UNKNOWN

if TYPE_CHECKING:
    from preview.endpoints.javascript.evaluator import JavaScriptEvaluator

_FUNCTIONS: Final = frozenset({"function_declaration", "generator_function_declaration"})
_CLASSES: Final = frozenset({"class_declaration", "abstract_class_declaration"})
_MAX_LOOP: Final = 200
# A loop that registers nothing fills a table of some library; no path depends on its result.
_MAX_SILENT_LOOP: Final = 10


def hoist(evaluator: JavaScriptEvaluator, body: Sequence[Node], scope: Scope) -> None:  # noqa: ARG001  as its siblings
    """Bind the functions that a body declares: code above the declaration may call them."""
    for node in body:
        inner = node.child_by_field_name("declaration") if node.type == "export_statement" else node
        if inner is not None and inner.type in _FUNCTIONS:
            scope.names[text(inner.child_by_field_name("name"))] = Function(inner, scope)


def declare(evaluator: JavaScriptEvaluator, node: Node, scope: Scope) -> list[str]:
    """Execute a declaration; return the names that it binds."""
    if node.type in _FUNCTIONS:
        return [text(node.child_by_field_name("name"))]  # already bound before the body is run
    if node.type in _CLASSES:
        return _declare_class(evaluator, node, scope, fields(node, "decorator"))
    if node.type == "enum_declaration":
        return _declare_enum(evaluator, node, scope)
    if node.type in {"internal_module", "module"}:
        return _declare_namespace(evaluator, node, scope)
    if node.type not in {"lexical_declaration", "variable_declaration"}:
        return []
    target = scope.function() if node.type == "variable_declaration" else scope
    names: list[str] = []
    for item in children(node):
        name, value = item.child_by_field_name("name"), item.child_by_field_name("value")
        if name is None:
            continue
        names.append(text(name))
        if value is not None:
            bind(evaluator, name, evaluator.evaluate(value, scope), target, declares=True)
        else:
            target.names.setdefault(text(name), UNKNOWN)
    return names


def _declare_class(evaluator: JavaScriptEvaluator, node: Node, scope: Scope, decorators: list[Node]) -> list[str]:
    name = text(node.child_by_field_name("name"))
    scope.names[name] = read_class(evaluator, node, scope, decorators)
    return [name]


def _declare_enum(evaluator: JavaScriptEvaluator, node: Node, scope: Scope) -> list[str]:
    name = text(node.child_by_field_name("name"))
    members = JSObject()
    scope.names[name] = members
    for position, item in enumerate(children(node.child_by_field_name("body"))):
        key = item.child_by_field_name("name") or item
        value = item.child_by_field_name("value")
        known = key_of(evaluator, key, scope)
        if known is not None:
            members.names[known] = evaluator.evaluate(value, scope) if value is not None else position
    return [name]


def _declare_namespace(evaluator: JavaScriptEvaluator, node: Node, scope: Scope) -> list[str]:
    name, inner = text(node.child_by_field_name("name")), Scope(scope.file, parent=scope)
    evaluator.run(children(node.child_by_field_name("body")), inner)
    scope.names[name] = JSObject(inner.names)
    return [name]


def run_statement(evaluator: JavaScriptEvaluator, node: Node, scope: Scope) -> bool:
    """Run one statement; return whether the function certainly returns there."""
    runner = _STATEMENTS.get(node.type)
    if runner is not None:
        return runner(evaluator, node, scope)
    declare(evaluator, node, scope)
    return False


def _expression(evaluator: JavaScriptEvaluator, node: Node, scope: Scope) -> bool:
    for part in children(node):
        if part.type == "internal_module":
            declare(evaluator, part, scope)
        else:
            evaluator.evaluate(part, scope)
    return False


def _import(evaluator: JavaScriptEvaluator, node: Node, scope: Scope) -> bool:
    bind_import(evaluator, node, scope)
    return False


def _export(evaluator: JavaScriptEvaluator, node: Node, scope: Scope) -> bool:
    module = evaluator.modules.get(scope.file)
    exports = module.exports if module is not None and scope is module.scope else UNKNOWN
    declaration = node.child_by_field_name("declaration")
    decorators = fields(node, "decorator")
    if declaration is not None and declaration.type in _CLASSES:
        # Decorators before `export` belong to the class.
        names = _declare_class(evaluator, declaration, scope, [*decorators, *fields(declaration, "decorator")])
        is_default = any(child.type == "default" for child in node.children)
        if isinstance(exports, JSObject):
            exports.names["default" if is_default else names[0]] = scope.names[names[0]]
    elif module is not None and isinstance(exports, JSObject):
        export(evaluator, node, scope, exports, module.holder)
    elif declaration is not None:
        declare(evaluator, declaration, scope)
    return False


def _return(evaluator: JavaScriptEvaluator, node: Node, scope: Scope) -> bool:
    function = scope.function()
    value = next((evaluator.evaluate(part, scope) for part in children(node)), None)
    if function.returned is UNKNOWN:
        function.returned = value
    return True


def _block(evaluator: JavaScriptEvaluator, node: Node, scope: Scope) -> bool:
    return evaluator.run(children(node), Scope(scope.file, parent=scope, is_block=True))


def _body(evaluator: JavaScriptEvaluator, node: Node | None, scope: Scope) -> bool:
    if node is None:
        return False
    ended = False
    for part in children(node) if node.type == "else_clause" else [node]:
        ended = run_statement(evaluator, part, scope) or ended
    return ended


def _if(evaluator: JavaScriptEvaluator, node: Node, scope: Scope) -> bool:
    known = truth(evaluator.evaluate(node.child_by_field_name("condition"), scope))
    then, otherwise = node.child_by_field_name("consequence"), node.child_by_field_name("alternative")
    if known is not None:
        return _body(evaluator, then if known else otherwise, scope)
    # It is unknown which branch runs: show the routes of both.
    ends = [_body(evaluator, then, scope), _body(evaluator, otherwise, scope)]
    return otherwise is not None and all(ends)


def _try(evaluator: JavaScriptEvaluator, node: Node, scope: Scope) -> bool:
    ended = _body(evaluator, node.child_by_field_name("body"), scope)
    finalizer = node.child_by_field_name("finalizer")
    body = finalizer.child_by_field_name("body") if finalizer is not None else None
    return _body(evaluator, body, scope) or ended


def _for_in(evaluator: JavaScriptEvaluator, node: Node, scope: Scope) -> bool:
    body = node.child_by_field_name("body")
    value = evaluator.evaluate(node.child_by_field_name("right"), scope)
    is_of = any(child.type == "of" for child in node.children)
    items = _walked(value, is_of=is_of)[: _limit(body)]
    if value is UNKNOWN and body is not None and may_register(body):
        items = [UNKNOWN]  # What the loop registers is not known; the framework notes it.
    for item in items:
        inner = Scope(scope.file, parent=scope, is_block=True)
        bind(evaluator, node.child_by_field_name("left"), item, inner, declares=True)
        _body(evaluator, body, inner)
    return False


def _limit(body: Node | None) -> int:
    return _MAX_LOOP if body is not None and may_register(body) else _MAX_SILENT_LOOP


def _walked(value: object, *, is_of: bool) -> list[object]:
    if isinstance(value, JSMap):
        return list(value.pairs)
    if is_of:
        return list(value) if isinstance(value, (list, str)) else []
    if isinstance(value, list):
        return [str(position) for position in range(len(value))]
    return list(value.names) if isinstance(value, JSObject) else []


def _for(evaluator: JavaScriptEvaluator, node: Node, scope: Scope) -> bool:
    inner = Scope(scope.file, parent=scope, is_block=True)
    _body(evaluator, node.child_by_field_name("initializer"), inner)
    return _loop(evaluator, node, inner)


def _loop(evaluator: JavaScriptEvaluator, node: Node, scope: Scope) -> bool:
    condition, increment = node.child_by_field_name("condition"), node.child_by_field_name("increment")
    body = node.child_by_field_name("body")
    for _ in range(_limit(body)):
        is_statement = condition is not None and condition.type == "expression_statement"
        known = truth(evaluator.evaluate(first_child(condition) if condition and is_statement else condition, scope))
        if known is False:
            break
        _body(evaluator, body, scope)
        if known is None:  # unknown number of iterations: run the body once
            break
        evaluator.evaluate(increment, scope)
    return False


def _switch(evaluator: JavaScriptEvaluator, node: Node, scope: Scope) -> bool:
    inner = Scope(scope.file, parent=scope, is_block=True)
    for case in children(node.child_by_field_name("body")):
        evaluator.run(fields(case, "body"), inner)
    return False


def _labeled(evaluator: JavaScriptEvaluator, node: Node, scope: Scope) -> bool:
    return _body(evaluator, node.child_by_field_name("body"), scope)


_STATEMENTS: Final[dict[str, Callable[[JavaScriptEvaluator, Node, Scope], bool]]] = {
    "expression_statement": _expression,
    "import_statement": _import,
    "export_statement": _export,
    "return_statement": _return,
    "throw_statement": lambda _evaluator, _node, _scope: True,
    "statement_block": _block,
    "if_statement": _if,
    "try_statement": _try,
    "for_in_statement": _for_in,
    "for_statement": _for,
    "while_statement": _loop,
    "do_statement": _loop,
    "switch_statement": _switch,
    "labeled_statement": _labeled,
}
