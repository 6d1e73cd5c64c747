"""List the sentences that a person reads: of the page, the command line, and the service's errors and log messages.

    uv run python scripts/sentences.py [page | cli | service …] > sentences.txt

One line each: file, line number, text. Values are shown as ``{}``. Texts of one word are left out unless they are
labels of the page. For a native reader, who marks what reads badly; and for a search of words.
"""

from __future__ import annotations

import argparse
import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tree_sitter import Node, Parser

from preview.sources.javascript import TSX

ROOT = Path(__file__).resolve().parent.parent
_PAGE = ROOT / "frontend" / "src"
_CLI = ROOT / "preview" / "cli"
# Calls whose texts are not for people.
_CODE_CALLS = {"getattr", "compile", "re.compile", "startswith", "endswith", "removeprefix", "replace", "split", "join"}
# Helpers of tests; the API's types, which are generated.
_NO_TEXTS = {"testing.ts", "schema.ts"}
# Values, selectors and media queries of CSS; lists of colours; statements of SQL without SELECT; programs of a shell.
_STYLES_SQL_SHELL = re.compile(
    r"light-dark\(|var\(--|\.cm-|\[data-|^:scope\b|^\([a-z-]+: |^light dark$|^(?:[0-9a-f]{6} )+"
    r"|^(?:PRAGMA|SET LOCAL|SET TRANSACTION|DELETE FROM|INSERT INTO|UPDATE \w+ SET|CREATE|DROP|BEGIN)\b|^COPY \{\}"
    r"|^import \w+[,;]|^\s*for \w+; do "
)
# Attributes of JSX whose values are shown or read aloud.
_SHOWN = {"label", "title", "placeholder", "alt", "aria-label", "name", "word", "example", "heading"}


def python_sentences(file: Path, *, with_help: bool) -> Iterator[tuple[int, str]]:
    """Yield texts with a space in them; docstrings only of commands (``with_help``)."""
    tree = ast.parse(file.read_text("utf-8"))
    skipped = set(_docstrings(tree, with_help=with_help))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name_of(node.func) in _CODE_CALLS:
            skipped.update(id(one) for one in ast.walk(node))
        if isinstance(node, ast.JoinedStr):
            skipped.update(id(one) for one in node.values)
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.JoinedStr):
            text = "".join(str(one.value) if isinstance(one, ast.Constant) else "{}" for one in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        else:
            continue
        if _is_prose(text):
            yield node.lineno, text


def _docstrings(tree: ast.Module, *, with_help: bool) -> Iterator[int]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if with_help and isinstance(node, ast.FunctionDef) and any(_is_command(one) for one in node.decorator_list):
            continue
        first = node.body[0] if node.body else None
        if isinstance(first, ast.Expr):
            yield id(first.value)


def _is_command(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(called, ast.Attribute) and called.attr in {"command", "callback"}


def _name_of(called: ast.expr) -> str:
    return called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")


def page_sentences(file: Path) -> Iterator[tuple[int, str]]:
    """Yield the text of elements, of attributes that are shown, and strings with a space."""
    source = file.read_bytes()
    for node in _nodes(Parser(TSX).parse(source).root_node):
        text = source[node.start_byte : node.end_byte].decode()
        if node.type == "jsx_text" and re.search(r"[A-Za-z]{2}", text):
            yield node.start_point[0] + 1, text
        elif node.type in {"string", "template_string"}:
            inner = re.sub(r"\$\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}", "{}", text[1:-1])
            is_label = _attribute_of(node) in _SHOWN and re.search(r"[A-Za-z]{2}", inner)
            if is_label or (_is_prose(inner) and not _is_import(node)):
                yield node.start_point[0] + 1, inner


def _nodes(root: Node) -> Iterator[Node]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += reversed(node.children)


def _attribute_of(node: Node) -> str:
    parent = node.parent
    while parent is not None and parent.type in {"jsx_expression", "ternary_expression"}:
        parent = parent.parent
    if parent is None or parent.type != "jsx_attribute":
        return ""
    return (parent.children[0].text or b"").decode()


def _is_import(node: Node) -> bool:
    return node.parent is not None and node.parent.type in {"import_statement", "export_statement"}


def _is_prose(text: str) -> bool:
    """Return True for at least two words of letters; code, patterns and SQL are left out."""
    words = re.findall(r"[A-Za-z]{2,}", text)
    # A rule of CSS has a colon in its braces; a value of a sentence is shown as {}. A lone $ or ^ is no pattern.
    is_code = re.search(r"\\[a-zA-Z.(\[]|\(\?|=>|;\n|SELECT |^\^|\$$|^\s*[.#]?[\w-]+\s*\{[^{}]*:", text)
    return len(words) >= 2 and " " in text.strip() and not is_code and not _STYLES_SQL_SHELL.search(text)


def listed(kinds: set[str]) -> Iterator[str]:
    """Yield a line for each sentence; the same text of one file once."""
    found: list[tuple[Path, Iterator[tuple[int, str]]]] = []
    if "page" in kinds:
        files = sorted(one for one in _PAGE.rglob("*.ts*") if ".test." not in one.name and one.name not in _NO_TEXTS)
        found += [(file, page_sentences(file)) for file in files]
    if "cli" in kinds:
        found += [(file, python_sentences(file, with_help=True)) for file in sorted(_CLI.rglob("*.py"))]
    if "service" in kinds:
        files = sorted(one for one in (ROOT / "preview").rglob("*.py") if not one.is_relative_to(_CLI))
        found += [(file, python_sentences(file, with_help=False)) for file in files]
    for file, sentences in found:
        seen: set[str] = set()
        for line, text in sorted(sentences):
            flat = " ".join(text.split())
            if flat and flat not in seen:
                seen.add(flat)
                yield f"{file.relative_to(ROOT)}:{line}: {flat}"


def main() -> None:
    """Print the list, and nothing else."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("kinds", nargs="*", metavar="page | cli | service", default=["page", "cli"])
    for line in listed(set(parser.parse_args().kinds)):
        print(line)


if __name__ == "__main__":
    main()
