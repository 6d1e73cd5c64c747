"""Make source of Python 3.13 and 3.14 run on an older Python.

Python 3.14 evaluates an annotation when something asks for it (PEP 649), and allows ``except A, B:`` (PEP 758). Python
3.13 has ``typing.Generator[int]`` (PEP 696), and names that ``typing_extensions`` has for older ones. In the preview's
own copy, edits mean the same to an older Python. Lines keep their numbers. Only names are quoted. A future import would
make text of all annotations; SQLModel reads ``list["Team"]``, but no ``"list[Team]"``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

from preview.detection.plan import StartPlan, Step, Toolchain
from preview.sources import Sources

OLDER_PYTHON: Final = "older Python"
"""Name of the step."""

_MOST_FILES: Final = 2_000
_MOST_EDITS: Final = 2_000
# Of all arguments: the kernel takes two million bytes.
_MOST_CHARACTERS: Final = 200_000
_BARE_EXCEPT: Final = re.compile(rb"^[ \t]*except[ \t]+(?P<list>[\w.]+(?:[ \t]*,[ \t]*[\w.]+)+)[ \t]*:", re.MULTILINE)
# What PEP 696 leaves out, and what is new in Python 3.13; `typing_extensions` has all of `typing`, too.
_LEFT_OUT: Final = {"Generator": (", None, None", ", None"), "AsyncGenerator": (", None",)}
_NEW_NAMES: Final = frozenset({"TypeIs", "ReadOnly", "NoDefault", "get_protocol_members", "is_protocol"})
# `Later | None` with text in its place is an error, and with this is none.
_IN_UNION: Final = '__import__("typing").Union["', '"]'
_QUOTES: Final = '"', '"'
_WHOLE: Final = 'r"""(', ')"""'
# Each argument is an insertion: file, line, column in bytes, text. The last one of a file comes first.
_EDIT: Final = """
import sys
for one in sys.argv[1:]:
    name, line, column, text = one.split("\\t")
    at, to = int(line) - 1, int(column)
    with open(name, "rb") as file:
        lines = file.read().splitlines(True)
    lines[at] = lines[at][:to] + text.encode() + lines[at][to:]
    with open(name, "wb") as file:
        file.write(b"".join(lines))
"""

Edit = tuple[int, int, str]
Mark = tuple[ast.expr, tuple[str, str]]


def with_older_python(plan: StartPlan, sources: Sources) -> StartPlan:
    """Return the plan with a step that edits the preview's copy; unchanged if nothing needs a newer Python."""
    if plan.toolchain is not Toolchain.PYTHON:
        return plan
    edits = list(islice(_all_edits(sources), _MOST_EDITS + 1))
    if not edits or len(edits) > _MOST_EDITS or sum(map(len, edits)) > _MOST_CHARACTERS:
        return plan
    files = sorted({one.partition("\t")[0] for one in edits})
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    why = f"{files[0]}{more} written for Python 3.14; only the preview's copy is changed"
    step = Step(OLDER_PYTHON, ("python", "-c", _EDIT, *edits), ".", why)
    return replace(plan, steps=(step, *plan.steps))


def _all_edits(sources: Sources) -> Iterator[str]:
    """Yield the step's arguments."""
    for name in sorted(sources.names)[:_MOST_FILES]:
        if name.endswith(".py") and "\t" not in name and not name.startswith("-"):
            # Already too many, if there are more.
            edits = islice(_edits(sources, name), _MOST_EDITS + 1)
            yield from ("\t".join((name, str(line), str(at), text)) for line, at, text in sorted(edits, reverse=True))


def _edits(sources: Sources, name: str) -> Iterator[Edit]:
    """Yield line, column and text of each insertion into a file."""
    text = sources.text(name)
    line, counted = 1, 0
    for match in _BARE_EXCEPT.finditer(text):
        line += text.count(b"\n", counted, match.start("list"))
        counted = match.start("list")
        begin = text.rfind(b"\n", 0, counted) + 1
        yield line, match.end("list") - begin, ")"
        yield line, match.start("list") - begin, "("
    tree = sources.tree(name)
    if tree is None:
        return
    yield from _newer_types(tree)
    if not any(map(_postpones, tree.body)):
        yield from _quotes(tree)


def _newer_types(tree: ast.Module) -> Iterator[Edit]:
    """Yield the types that ``typing.Generator[int]`` leaves out, and another module for names that are new there."""
    imports = [one for one in tree.body if isinstance(one, ast.ImportFrom)]
    generators: dict[str, tuple[str, ...]] = {}
    for node in imports:
        names = {one.name: one.asname or one.name for one in node.names}
        if node.module == "typing":
            generators |= {names[name]: _LEFT_OUT[name] for name in names.keys() & _LEFT_OUT.keys()}
            if not _NEW_NAMES.isdisjoint(names):
                yield node.lineno, node.col_offset + len("from typing"), "_extensions"
        elif node.module == "warnings" and names.keys() == {"deprecated"} and node.lineno == node.end_lineno:
            # Edits only add: what follows becomes a comment.
            text = f"typing_extensions import deprecated as {names['deprecated']}  # "
            yield node.lineno, node.col_offset + len("from "), text
    for one in ast.walk(tree) if generators else ():
        if isinstance(one, ast.Subscript) and isinstance(one.value, ast.Name) and one.value.id in generators:
            given = len(one.slice.elts) if isinstance(one.slice, ast.Tuple) else 1
            missing = generators[one.value.id][given - 1 : given]
            if missing and one.slice.end_lineno is not None and one.slice.end_col_offset is not None:
                yield one.slice.end_lineno, one.slice.end_col_offset, missing[0]


def _postpones(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.ImportFrom)
        and node.module == "__future__"
        and any(alias.name == "annotations" for alias in node.names)
    )


def _quotes(tree: ast.Module) -> Iterator[Edit]:
    """Yield quotes around the names, in annotations that are evaluated at import, of what the file makes later.

    So are those of an own class, and of what is only imported for type checkers.
    """
    made = _made(tree)
    for annotation in _annotations(tree.body):
        if _names_later(annotation, made):
            types = list(_types(annotation, made))
            marks = types if all(types) else [(annotation, _WHOLE)]
            for node, (opening, closing) in filter(None, marks):
                if node.end_lineno is not None and node.end_col_offset is not None:
                    yield node.end_lineno, node.end_col_offset, closing
                    yield node.lineno, node.col_offset, opening


def _made(tree: ast.Module) -> dict[str, int]:
    """Return the line from which on each name is there: of classes, and of imports for type checkers."""
    made = {one.name: one.end_lineno or one.lineno for one in tree.body if isinstance(one, ast.ClassDef)}
    for one in tree.body:
        if isinstance(one, ast.If) and _is_type_checking(one.test):
            made |= {
                alias.asname or alias.name: 1 << 30
                for node in one.body
                if isinstance(node, ast.Import | ast.ImportFrom)
                for alias in node.names
            }
    return made


def _is_type_checking(test: ast.expr) -> bool:
    return getattr(test, "id", getattr(test, "attr", None)) == "TYPE_CHECKING"


def _names_later(node: ast.AST, made: Mapping[str, int]) -> bool:
    return any(isinstance(one, ast.Name) and made.get(one.id, 0) >= one.lineno for one in ast.walk(node))


def _types(node: ast.expr, made: Mapping[str, int], *, in_union: bool = False) -> Iterator[Mark | None]:
    """Yield each type that names what follows, with its quotes; None where such a name is no type but a value."""
    match node:
        case _ if not _names_later(node, made):
            return
        case ast.Name():
            yield node, _IN_UNION if in_union else _QUOTES
        case ast.BinOp(op=ast.BitOr()):
            yield from _types(node.left, made, in_union=True)
            yield from _types(node.right, made, in_union=True)
        case ast.Subscript() if not _names_later(node.value, made):
            yield from _types(node.slice, made)
        case ast.Tuple() | ast.List():
            for one in node.elts:
                yield from _types(one, made)
        case _:
            yield None


def _annotations(body: Sequence[ast.stmt], *, in_function: bool = False) -> Iterator[ast.expr]:
    """Yield the annotations that Python before 3.14 evaluates when a statement runs: none of a function's variables."""
    for one in body:
        is_function = isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
        if isinstance(one, ast.AnnAssign) and not in_function:
            yield one.annotation
        elif isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef):
            given = one.args
            every = (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg)
            yield from (arg.annotation for arg in every if arg is not None and arg.annotation is not None)
            if one.returns is not None:
                yield one.returns
        is_inside = is_function or (in_function and not isinstance(one, ast.ClassDef))
        for name in ("body", "orelse", "finalbody"):
            yield from _annotations(getattr(one, name, ()), in_function=is_inside)
        for part in (*getattr(one, "handlers", ()), *getattr(one, "cases", ())):
            yield from _annotations(part.body, in_function=is_inside)
