"""Name what a project is written in, if that is not supported."""

from __future__ import annotations

import re
from typing import Final

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
)  # fmt: skip
_MOST_FOLDERS: Final = 2


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
