"""Module paths and output folders of the compiler, from ``tsconfig.json``."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice

from preview.sources.files import Sources
from preview.sources.javascript import read_literal

_FILES = ("tsconfig.json", "jsconfig.json", "tsconfig.app.json", "tsconfig.build.json", "tsconfig.base.json")
# Depth limit for chains of ``extends``; a file may name itself.
_MAX_EXTENDS = 5
# A file that lists itself several times is read that many times on each level.
_MAX_PARENTS = 3
# Each import is compared with all of them, and each target is looked for.
_MAX_PATHS = 300
_MAX_TARGETS = 10


@dataclass(frozen=True, slots=True)
class TsConfig:
    """Paths of ``tsconfig.json``; folders are relative to the project, and ``.`` is its root.

    Attributes:
        base_url: The folder for bare specifiers; None if the file sets none.
        paths: Maps a pattern to its targets, relative to the project: ``@/*`` to ``src/*``.
        out_dir: The folder for compiled files; None if the file sets none.
        root_dir: The source folder that ``out_dir`` mirrors; None if the file sets none.
    """

    base_url: str | None = None
    paths: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    out_dir: str | None = None
    root_dir: str | None = None

    def candidates(self, specifier: str) -> tuple[str, ...]:
        """Return the paths that a specifier without a leading dot may mean, the surest first.

        They are those of the longest matching pattern, and the one below the base folder.
        """
        found: tuple[str, ...] = ()
        longest = -1
        for pattern, targets in self.paths.items():
            before, star, after = pattern.partition("*")
            is_match = specifier == pattern
            if star and len(specifier) >= len(pattern) - 1:
                is_match = specifier.startswith(before) and specifier.endswith(after)
            if is_match and len(before) > longest:
                longest = len(before)
                middle = specifier[len(before) : len(specifier) - len(after)]
                found = tuple(posixpath.normpath(target.replace("*", middle, 1)) for target in targets)
        if self.base_url is not None:
            found = (*found, posixpath.normpath(posixpath.join(self.base_url, specifier)))
        return tuple(path for path in found if not path.startswith(("..", "/")))


def read_tsconfig(sources: Sources, folder: str) -> TsConfig:
    """Return the settings of the nearest file that has any, in ``folder`` or above it within the project."""
    while True:
        for name in _FILES:
            file = posixpath.normpath(posixpath.join(folder, name))
            if sources.has_file(file):
                found = _read(sources, file, 0)
                if found != TsConfig():
                    return found
        if folder in {"", "."}:
            return TsConfig()
        folder = posixpath.dirname(folder) or "."


def _read(sources: Sources, file: str, depth: int) -> TsConfig:
    content = read_literal(sources.text(file))
    content = content if isinstance(content, Mapping) else {}
    options = content.get("compilerOptions")
    options = options if isinstance(options, Mapping) else {}
    folder = posixpath.dirname(file)
    base = TsConfig()
    extended = content.get("extends")
    for name in extended[:_MAX_PARENTS] if isinstance(extended, list) else [extended]:
        if isinstance(name, str) and name.startswith(".") and depth < _MAX_EXTENDS:
            parent = posixpath.normpath(posixpath.join(folder, name if name.endswith(".json") else f"{name}.json"))
            if sources.has_file(parent):
                base = _read(sources, parent, depth + 1)
    base_url = _folder(folder, options.get("baseUrl"), base.base_url)
    return TsConfig(
        base_url=base_url,
        paths=_paths(options.get("paths"), base_url or folder or ".") or base.paths,
        out_dir=_folder(folder, options.get("outDir"), base.out_dir),
        root_dir=_folder(folder, options.get("rootDir"), base.root_dir),
    )


def _folder(folder: str, value: object, default: str | None) -> str | None:
    if not isinstance(value, str):
        return default
    return posixpath.normpath(posixpath.join(folder, value.replace("${configDir}", ".")))


def _paths(value: object, base: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for pattern, targets in islice(value.items(), _MAX_PATHS) if isinstance(value, Mapping) else ():
        texts = [item for item in targets[:_MAX_TARGETS] if isinstance(item, str)] if isinstance(targets, list) else []
        found[str(pattern)] = tuple(posixpath.normpath(posixpath.join(base, item)) for item in texts)
    return found
