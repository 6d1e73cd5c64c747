"""Packages that scripts load, for a project without ``package.json``. Parses files and never runs them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import Final

from tree_sitter import Node

from preview.sources.files import Sources
from preview.sources.javascript import SCRIPT_SUFFIXES, JavaScriptTrees
from preview.sources.node_files import existing_script

# https://nodejs.org/api/module.html#modulebuiltinmodules, which has further names with the prefix `node:` only.
BUILT_IN_MODULES: Final = frozenset(
    """assert async_hooks buffer child_process cluster console constants crypto dgram diagnostics_channel dns domain
    events fs http http2 https inspector module net os path perf_hooks process punycode querystring readline repl stream
    string_decoder sys timers tls trace_events tty url util v8 vm wasi worker_threads zlib""".split()  # noqa: SIM905
)
# Names as the registry accepts them today; the rest of a specifier is a path in the package.
_PACKAGE: Final = re.compile(r"(?P<name>(?:@[a-z0-9][a-z0-9._-]{0,100}/)?[a-z0-9][a-z0-9._-]{0,100})(?:/.*)?")
_TOOLS: Final = re.compile(r"\.(?:config|test|spec|stories)\.\w+$|\.d\.\w+$")
_MAX_FILES: Final = 500
_MAX_PACKAGES: Final = 200
_QUOTES: Final = "\"'`"


def find_imported_packages(sources: Sources) -> tuple[str, ...]:
    """Return the packages that the scripts in the upper folder load, directly and through the project's files.

    Packages that a ``try`` loads are optional and left out, as are Node's own modules.
    """
    trees = JavaScriptTrees(sources)
    pending = [name for name in sources.all_names if _may_start(name)]
    seen: set[str] = set()
    found: dict[str, None] = {}
    while pending and len(seen) < _MAX_FILES:
        file = pending.pop()
        if file in seen:
            continue
        seen.add(file)
        root = trees.tree(file)
        for specifier in _specifiers(root) if root is not None else ():
            if specifier.startswith("."):
                path = posixpath.normpath(posixpath.join(posixpath.dirname(file), specifier))
                other = None if path.startswith("..") else existing_script(sources, path)
                pending += [other] if other is not None and other.endswith(SCRIPT_SUFFIXES) else []
            elif package := package_of(specifier):
                found[package] = None
    return tuple(sorted(found)[:_MAX_PACKAGES])


def package_of(specifier: str) -> str | None:
    """Return the package of ``express``, ``lodash/fp`` or ``@scope/name/part``; None for anything else."""
    match = _PACKAGE.fullmatch(specifier)
    return None if match is None or specifier.partition("/")[0] in BUILT_IN_MODULES else match["name"]


def _may_start(name: str) -> bool:
    return "/" not in name and name.endswith(SCRIPT_SUFFIXES) and not _TOOLS.search(name)


def _specifiers(root: Node) -> Iterator[str]:
    """Yield what a file loads: by ``import``, ``export … from``, ``require(…)`` and ``import(…)``."""
    pending = [root]
    while pending:
        node = pending.pop()
        if node.type in {"import_statement", "export_statement"}:
            source = node.child_by_field_name("source")
            is_type = node.type == "import_statement" and any(child.type == "type" for child in node.children)
            if source is not None and not is_type:
                yield _text(source)
        elif node.type == "call_expression" and _calls_loader(node):
            arguments = node.child_by_field_name("arguments")
            first = arguments.named_children[:1] if arguments is not None else []
            yield from (_text(one) for one in first if one.type == "string")
        # What a `try` loads may be missing.
        pending += [child for child in node.named_children if node.type != "try_statement"]


def _calls_loader(node: Node) -> bool:
    function = node.child_by_field_name("function")
    return function is not None and (function.type == "import" or function.text == b"require")


def _text(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace").strip(_QUOTES)
