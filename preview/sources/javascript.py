"""Syntax trees of JavaScript and TypeScript, parsed by tree-sitter; nothing is run."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Final

import tree_sitter_javascript
import tree_sitter_typescript
from tree_sitter import Language, Node, Parser

from preview.sources.files import Sources

JAVASCRIPT: Final = Language(tree_sitter_javascript.language())
TYPESCRIPT: Final = Language(tree_sitter_typescript.language_typescript())
TSX: Final = Language(tree_sitter_typescript.language_tsx())

SCRIPT_SUFFIXES: Final = (".ts", ".js", ".mts", ".mjs", ".cts", ".cjs", ".tsx", ".jsx")

# A source file of this size is a bundle; parsing it would take a second.
_MAX_BYTES: Final = 512 * 1024
# Limit on this thread's CPU time: real source takes a tenth, random bytes a minute. The trial gets text in pieces.
_MAX_PARSE_S: Final = 1.5
_PIECE_BYTES: Final = 4096
# No real source is nested deeper. The functions that walk a tree are recursive.
_MAX_LITERAL_DEPTH: Final = 40
# A part that was not parsed matters only if it may have registered something.
_TELLING: Final = re.compile(rb"\.(?:use|get|post|put|patch|delete|all|route)\s*\(|[Rr]outer|express")


class JavaScriptTrees:
    """The parsed JavaScript and TypeScript files of a project; each file is parsed at most once.

    Args:
        sources: The project's files. Its ``skipped`` names each file that could not be parsed.
    """

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self._trees: dict[str, Node | None] = {}

    def tree(self, name: str) -> Node | None:
        """Return the file's syntax tree, or None if there is no useful one."""
        if name not in self._trees:
            self._trees[name] = self._parse(name)
        return self._trees[name]

    def _parse(self, name: str) -> Node | None:
        text = self.sources.text(name)
        if not text:
            return None
        if len(text) > _MAX_BYTES:
            self.sources.skipped[name] = f"larger than {_MAX_BYTES // 1024} KiB: made by a bundler"
            return None
        try:
            root = parse_script(text, name)
        except ValueError:
            self.sources.skipped[name] = "cannot be parsed in time: it is not a script"
            return None
        line = _lost(root)
        if line is not None:
            self.sources.skipped[name] = f"line {line}: not understood, the rest was read"
        return root


def parse_script(text: bytes, name: str) -> Node:
    """Return the syntax tree of a file; parts with syntax errors are ``ERROR`` nodes.

    Args:
        text: The source in UTF-8.
        name: The file name; its suffix selects the grammar.

    Raises:
        ValueError: Parsing takes too long, which happens only if the text is not a script.
    """
    language = TYPESCRIPT if name.endswith((".ts", ".mts", ".cts")) else TSX if name.endswith(".tsx") else JAVASCRIPT
    root = _parse_in_time(text, language)
    # Flow's annotations and decorators in .js files parse as TypeScript.
    if language is JAVASCRIPT and root.has_error:
        second = _parse_in_time(text, TSX)
        return root if second.has_error else second
    return root


def _parse_in_time(text: bytes, language: Language) -> Node:
    if not _is_text(text):
        _try_in_time(text, language)
    # Never return the trial's tree: its nodes call back for their text, which crashes deep in the stack.
    return Parser(language).parse(text).root_node


def _is_text(text: bytes) -> bool:
    try:
        return "\0" not in text.decode()
    except UnicodeDecodeError:
        return False


def _try_in_time(text: bytes, language: Language) -> None:
    end = time.thread_time() + _MAX_PARSE_S

    def piece(offset: int, _: object) -> bytes:
        return text[offset : offset + _PIECE_BYTES]

    Parser(language).parse(piece, progress_callback=lambda _, __: time.thread_time() > end)


def _lost(root: Node) -> int | None:
    """Return the first line that was not parsed and may contain routes."""
    todo = [root] if root.has_error else []
    while todo:
        node = todo.pop()
        if node.is_error and _TELLING.search(node.text or b""):
            return node.start_point.row + 1
        todo += [child for child in reversed(node.children) if child.has_error]
    return None


def read_literal(text: bytes) -> object:
    """Parse JSON with comments and trailing commas, as in ``tsconfig.json``; return None for anything else."""
    root = Parser(JAVASCRIPT).parse(b"(" + text.removeprefix(b"\xef\xbb\xbf") + b"\n)").root_node
    return next((_literal(child, 0) for child in root.named_children if child.type == "expression_statement"), None)


def _literal(node: Node | None, depth: int) -> object:
    if node is None or depth > _MAX_LITERAL_DEPTH:
        return None
    match node.type:
        case "expression_statement" | "parenthesized_expression":
            inner = [child for child in node.named_children if child.type != "comment"]
            return _literal(inner[0], depth + 1) if inner else None
        case "string":
            return source_of(node)[1:-1].replace("\\/", "/")
        case "true" | "false":
            return node.type == "true"
        case "number":
            digits = source_of(node)
            return int(digits) if digits.isdecimal() and len(digits) < 16 else None
        case "array":
            return [_literal(child, depth + 1) for child in node.named_children if child.type != "comment"]
        case "object":
            pairs = [child for child in node.named_children if child.type == "pair"]
            return {
                source_of(pair.child_by_field_name("key")).strip("\"'"): _literal(
                    pair.child_by_field_name("value"), depth + 1
                )
                for pair in pairs
            }
        case _:
            return None


def source_of(node: Node | None) -> str:
    """Return the source of a node; empty for none."""
    return (node.text or b"").decode("utf-8", "replace") if node is not None else ""


def all_nodes(root: Node) -> Iterator[Node]:
    """Yield a node and all named nodes below it, in the order of the source."""
    todo = [root]
    while todo:
        node = todo.pop()
        yield node
        todo += reversed(node.named_children)
