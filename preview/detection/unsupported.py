"""Name what a project is written in, if that is not supported."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import Final

from preview.detection.project_imports import Nodes, imported_files
from preview.errors import InvalidGeneration
from preview.sources import Sources

# Files by which a project of the language is recognized, the surest first.
_MARKS: Final = (
    ("Go", r"go\.mod|main\.go"),
    ("Rust", r"Cargo\.toml"),
    ("Ruby", r"Gemfile|config\.ru"),
    ("PHP", r"composer\.json|artisan|index\.php"),
    ("Elixir", r"mix\.exs"),
    (".NET", r".*\.(?:csproj|fsproj|vbproj|sln)"),
    ("Scala", r"build\.sbt"),
    ("Clojure", r"project\.clj|deps\.edn"),
    ("Java", r"pom\.xml|build\.gradle(?:\.kts)?|settings\.gradle(?:\.kts)?"),
    ("Swift", r"Package\.swift"),
    ("Dart", r"pubspec\.yaml"),
    ("Haskell", r"stack\.yaml|.*\.cabal"),
    ("Deno", r"deno\.jsonc?|deno\.lock"),
    ("Bun", r"bunfig\.toml|bun\.lockb?"),
)  # fmt: skip
_MOST_FOLDERS: Final = 2
_MOST_FILES: Final = 200
# What Python 3 says of Python 2's statements. `except Error, e:` with two classes is Python 3.14's.
_PYTHON_2_SAID: Final = ("Missing parentheses in call to", "leading zeros in decimal integer literals")
_PYTHON_2_EXCEPT: Final = re.compile(r"^\s{0,40}except \S{1,100}, ?(?:e|ex|err|error|exc|exception|msg)\s{0,5}:")


def find_language(sources: Sources) -> tuple[str, str] | None:
    """Return the language of a project that is neither Python nor Node, and the file that shows it; else None."""
    near = [name for name in sources.all_names if name.count("/") <= _MOST_FOLDERS]
    found = [
        (name.count("/"), order, language, name)
        for name in near
        for order, (language, pattern) in enumerate(_MARKS)
        if re.fullmatch(pattern, name.rpartition("/")[2])
    ]
    return min(found)[2:] if found else None


def refuse_language(language: str, file: str) -> InvalidGeneration:
    """Return the error for a project in a language that is not supported."""
    return InvalidGeneration(
        f"Cannot launch: this is a {language} project ({file}), which is not supported; Python and Node projects are. "
        "If its programs are installed on this machine, say in preview.toml how it starts: "
        '[start] command = "…".',
        reason="unsupported_language",
        language=language,
        path=file,
    )


def is_python_2(said: str, code: str) -> bool:
    """Return whether a line that Python 3 cannot read is written in Python 2.

    Args:
        said: Python's message.
        code: The line.
    """
    return said.startswith(_PYTHON_2_SAID) or _PYTHON_2_EXCEPT.match(code) is not None


def refuse_python_2(nodes: Nodes, entry: str, roots: Sequence[str]) -> None:
    """Refuse an application that certainly loads a file in Python 2, before minutes go into its packages.

    Only imports at the top of modules count: others may never run.

    Raises:
        InvalidGeneration: A file is written in Python 2; ``details`` has its path and line.
    """
    sources, seen, todo = nodes.sources, set[str](), [entry]
    while todo and len(seen) < _MOST_FILES:
        file = todo.pop()
        if file in seen:
            continue
        seen.add(file)
        tree = sources.tree(file)
        if file in sources.skipped:
            _refuse_file(sources, file)
        if tree is None:
            continue
        tops = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        todo += imported_files(sources, file, tops, roots)


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
