"""What a built environment offers, read from the records of what is installed there. Runs nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

# `google.cloud.storage`: deeper names tell no packages apart.
_DEPTH = 3


@dataclass(frozen=True, slots=True)
class Offered:
    """What is there.

    Attributes:
        modules: Dotted names that can be imported, three parts deep.
        distributions: Normalised names of packages.
    """

    modules: frozenset[str]
    distributions: frozenset[str]

    def has(self, module: str, distribution: str) -> bool:
        """Whether the module is there, or, without one, the package."""
        if module:
            return module in self.modules
        return canonicalize_name(re.split(r"[\[<>=!~ ]", distribution)[0]) in self.distributions


def read_offered(environment: Path) -> Offered:
    """What the environment in this folder offers; call it in a thread."""
    modules: set[str] = set()
    distributions: set[str] = set()
    for folder in _site_packages(environment):
        for info in folder.glob("*.dist-info"):
            distributions.add(canonicalize_name(info.name.removesuffix(".dist-info").rpartition("-")[0]))
            try:
                record = (info / "RECORD").read_text("utf-8", "replace")
            except OSError:
                continue
            for line in record.splitlines():
                modules.update(_modules(line.partition(",")[0].strip('"')))
    return Offered(frozenset(modules), frozenset(distributions))


def _site_packages(environment: Path) -> list[Path]:
    return sorted(environment.glob("lib/python*/site-packages"))


def _modules(path: str) -> Iterator[str]:
    parts = path.split("/")
    if parts[0].endswith((".dist-info", ".data")) or parts[0] in {"..", "__pycache__", "bin"}:
        return
    *folders, name = parts
    for count in range(1, min(len(folders), _DEPTH) + 1):
        yield ".".join(folders[:count])
    if name.endswith((".py", ".so", ".pyd")) and len(folders) < _DEPTH:
        yield ".".join([*folders, name.partition(".")[0]])
