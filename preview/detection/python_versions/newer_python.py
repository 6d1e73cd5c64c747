"""Make source of Python 3.14 run on an older Python: annotations that name what follows, and bare exception lists.

Python 3.14 evaluates an annotation when something asks for it (PEP 649), and allows ``except A, B:`` (PEP 758). In the
preview's own copy, a future import and parentheses mean the same to an older Python. Lines keep their numbers, unless a
file begins with a class or a function.
"""

from __future__ import annotations

import ast
import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

from preview.detection.plan import StartPlan, Step, Toolchain
from preview.sources import Sources

OLDER_PYTHON: Final = "older Python"
"""Name of the step."""

_MOST_FILES: Final = 300
_MOST_EDITS: Final = 1_000
# Of all arguments: the kernel takes two million bytes.
_MOST_CHARACTERS: Final = 200_000
_FUTURE: Final = "from __future__ import annotations"
_BARE_EXCEPT: Final = re.compile(rb"^[ \t]*except[ \t]+(?P<list>[\w.]+(?:[ \t]*,[ \t]*[\w.]+)+)[ \t]*:", re.MULTILINE)
_NO_PREFIX: Final = (
    ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.If, ast.For, ast.While, ast.With, ast.Try, ast.Match
)  # fmt: skip
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


def with_older_python(plan: StartPlan, sources: Sources) -> StartPlan:
    """Return the plan with a step that edits the preview's copy; unchanged if nothing needs Python 3.14."""
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
    if tree is not None and (place := _place(tree)) is not None and _names_what_follows(tree):
        line, column, added = place
        mark = codecs.BOM_UTF8 if line == 1 and text.startswith(codecs.BOM_UTF8) else b""
        yield line, column + len(mark), added


def _place(tree: ast.Module) -> Edit | None:
    """Return the insertion of the future import; None if the file has it, or has no line for it."""
    body: Sequence[ast.stmt] = tree.body
    if any(isinstance(one, ast.ImportFrom) and one.module == "__future__" and _imports(one) for one in body):
        return None
    docstring = body[0] if ast.get_docstring(tree, clean=False) is not None else None
    if not body[docstring is not None :]:
        return None
    first = body[docstring is not None]
    if not isinstance(first, _NO_PREFIX):
        return first.lineno, 0, f"{_FUTURE}; "
    if docstring is not None and docstring.end_lineno is not None and docstring.end_col_offset is not None:
        return docstring.end_lineno, docstring.end_col_offset, f"; {_FUTURE}"
    line = min([first.lineno, *(one.lineno for one in getattr(first, "decorator_list", ()))])
    return line, 0, f"{_FUTURE}\n"


def _imports(node: ast.ImportFrom) -> bool:
    return any(alias.name == "annotations" for alias in node.names)


def _names_what_follows(tree: ast.Module) -> bool:
    """Return whether an annotation that is evaluated at import names a class that the file defines or imports later.

    So does one that names its own class, or what is only imported for type checkers.
    """
    made = {one.name: one.end_lineno or one.lineno for one in tree.body if isinstance(one, ast.ClassDef)}
    for one in tree.body:
        if isinstance(one, ast.If) and _is_type_checking(one.test):
            made |= {
                alias.asname or alias.name: 1 << 30
                for node in one.body
                if isinstance(node, ast.Import | ast.ImportFrom)
                for alias in node.names
            }
    return any(
        isinstance(name, ast.Name) and made.get(name.id, 0) >= name.lineno
        for annotation in _annotations(tree.body)
        for name in _evaluated(annotation)
    )


def _is_type_checking(test: ast.expr) -> bool:
    return getattr(test, "id", getattr(test, "attr", None)) == "TYPE_CHECKING"


def _annotations(body: Sequence[ast.stmt]) -> Iterator[ast.expr]:
    """Yield the annotations that Python before 3.14 evaluates at import: none inside of functions."""
    for one in body:
        if isinstance(one, ast.AnnAssign):
            yield one.annotation
        elif isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef):
            given = one.args
            every = (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg)
            yield from (arg.annotation for arg in every if arg is not None and arg.annotation is not None)
            if one.returns is not None:
                yield one.returns
        elif isinstance(one, ast.ClassDef):
            yield from _annotations(one.body)


def _evaluated(annotation: ast.expr) -> Iterator[ast.AST]:
    """Yield the names of an annotation; text in quotes is none."""
    return ast.walk(annotation)
