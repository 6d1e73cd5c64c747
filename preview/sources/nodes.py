"""The nodes of a parsed file: walked by every question that is asked of a project, so without queues and generators."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

# Texts, numbers and operators: nothing is below them.
_PLAIN: Final = frozenset(
    {"id", "ctx", "attr", "arg", "name", "asname", "module", "level", "kind", "op", "ops", "type_comment",
     "type_ignores"}
)  # fmt: skip
_KINDS = [kind for kind in vars(ast).values() if isinstance(kind, type) and issubclass(kind, ast.AST)]

FIELDS: Final[Mapping[type[ast.AST], tuple[str, ...]]] = MappingProxyType(
    {
        kind: () if kind is ast.Constant else tuple(name for name in kind._fields if name not in _PLAIN)
        for kind in _KINDS
    }
)
"""By kind of node: the fields in which it has others, or lists of others."""


def below(tree: ast.AST) -> list[ast.AST]:
    """The tree and all nodes below it, in no order that matters, but for operators and what an expression is for."""
    found = [tree]
    for node in found:  # grows while it is read
        for name in FIELDS[type(node)]:
            value = getattr(node, name, None)
            if isinstance(value, list):
                found += [item for item in value if isinstance(item, ast.AST)]
            elif isinstance(value, ast.AST):
                found.append(value)
    return found
