"""Refuse an application that certainly loads a file in Python 2.

A refusal by mistake costs more than a launch that fails later. So an import counts only if nothing else can answer it:
not the standard library, no other folder of the import path, and no name that a package's ``__init__.py`` has.
"""

from __future__ import annotations

import ast
import posixpath
import re
import sys
from collections.abc import Iterator
from typing import Final

from preview.errors import InvalidGeneration
from preview.sources import Sources

_MOST_FILES: Final = 200
# What Python 3 says of Python 2's statements. `except Error, e:` with two classes is Python 3.14's.
_PYTHON_2_SAID: Final = ("Missing parentheses in call to", "leading zeros in decimal integer literals")
_PYTHON_2_EXCEPT: Final = re.compile(r"^\s{0,40}except \S{1,100}, ?(?:e|ex|err|error|exc|exception|msg)\s{0,5}:")
# A file that has one of them may import from other folders afterwards, or what it has put there itself.
_MOVES_IMPORTS: Final = re.compile(rb"sys\.(?:path|modules|meta_path)|addsitedir|\bfrom sys import\b")
# With one of them, a package may have names that are not seen.
_HIDES_NAMES: Final = re.compile(rb"import\s*\(?\s*\*|__getattr__|__path__|globals\(|setattr\(|\bexec\b")


def is_python_2(said: str, code: str) -> bool:
    """Return whether a line that Python 3 cannot read is written in Python 2.

    Args:
        said: Python's message.
        code: The line.
    """
    return said.startswith(_PYTHON_2_SAID) or _PYTHON_2_EXCEPT.match(code) is not None


def refuse_python_2(sources: Sources, entry: str, app_dir: str) -> None:
    """Refuse an application that certainly loads a file in Python 2, before minutes go into its packages.

    Only imports at the top of modules count: others may never run.

    Args:
        sources: The project's files.
        entry: The file that is loaded first.
        app_dir: The first folder of the import path.

    Raises:
        InvalidGeneration: A file is written in Python 2; ``details`` has its path and line.
    """
    seen, moved = set[str](), False
    # In the order in which Python loads them; the flag says that the import path has found it.
    todo = [(entry, False)]
    while todo and len(seen) < _MOST_FILES:
        file, is_absolute = todo.pop()
        if file in seen or (is_absolute and moved):
            continue
        seen.add(file)
        tree = sources.tree(file)
        if file in sources.skipped:
            _refuse_file(sources, file)
        if tree is None:
            continue
        moved = moved or _MOVES_IMPORTS.search(sources.text(file)) is not None
        todo += reversed(list(_loaded(sources, file, tree, app_dir)))


def _loaded(sources: Sources, file: str, tree: ast.Module, app_dir: str) -> Iterator[tuple[str, bool]]:
    """Yield the project's files that the imports at the top of a file load."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] not in sys.stdlib_module_names:
                    yield from ((one, True) for one in _files_of(sources, app_dir, alias.name.split(".")))
        elif isinstance(node, ast.ImportFrom):
            parts = node.module.split(".") if node.module else []
            folder = posixpath.normpath(app_dir)
            if node.level:
                folder = posixpath.normpath(posixpath.join(file, *[".."] * node.level))
            elif parts[0] in sys.stdlib_module_names:
                continue
            found = _files_of(sources, folder, parts)
            yield from ((one, not node.level) for one in found)
            package = posixpath.normpath(posixpath.join(folder, *parts))
            if not parts or found[-1:] == [f"{package}/__init__.py"]:
                free = (alias.name for alias in node.names if not _has_name(sources, package, alias.name, app_dir))
                yield from ((one, not node.level) for name in free for one in _files_of(sources, package, [name]))


def _files_of(sources: Sources, folder: str, parts: list[str]) -> list[str]:
    """Return the files that loading a module reads; none if it may be another's.

    Of a package and a module with the same name, the package is loaded. A folder without ``__init__.py`` is hidden by
    an installed package with its name.
    """
    found: list[str] = []
    path = posixpath.normpath(folder)
    for at, part in enumerate(parts):
        path = posixpath.normpath(f"{path}/{part}")
        if sources.has_file(f"{path}/__init__.py"):
            found.append(f"{path}/__init__.py")
        elif at == len(parts) - 1 and sources.has_file(f"{path}.py") and not sources.has_folder(path):
            found.append(f"{path}.py")
        else:
            break
    return found


def _has_name(sources: Sources, package: str, name: str, app_dir: str) -> bool:
    """Return whether a package may have the name without its submodule."""
    file = f"{package}/__init__.py"
    tree = sources.tree(file) if sources.has_file(file) else None
    if tree is None or _HIDES_NAMES.search(sources.text(file)):
        return True
    own = posixpath.relpath(package, posixpath.normpath(app_dir)).replace("/", ".")
    return any(name in _bound(node, own) for node in sources.nodes(file))


def _bound(node: ast.AST, own: str) -> set[str]:
    """Return the names that a node of a package's ``__init__.py`` binds; not those of its own submodules."""
    if isinstance(node, ast.Name):
        return set() if isinstance(node.ctx, ast.Load) else {node.id}
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.ImportFrom):
        is_own = not node.module if node.level == 1 else not node.level and node.module == own
        return {alias.asname or alias.name for alias in node.names if alias.asname or not is_own}
    if isinstance(node, ast.Import):
        return {alias.asname or alias.name.partition(".")[0] for alias in node.names}
    return set()


def _refuse_file(sources: Sources, file: str) -> None:
    text = sources.text(file).decode("utf-8", "replace")
    try:
        ast.parse(text)
    except SyntaxError as error:
        line = error.lineno or 1
        code = (text.splitlines()[line - 1 : line] or [""])[0]
        if is_python_2(error.msg, code):
            raise InvalidGeneration(
                f"Cannot launch: {file}, line {line}, is written in Python 2. Previews run Python 3: port it first.",
                reason="unsupported_language",
                language="Python 2",
                path=file,
                line=line,
            ) from None
    except (ValueError, RecursionError, MemoryError):
        return
