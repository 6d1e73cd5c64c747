"""The public package indexes and registries by name.

Each name is joined from its parts. No file of the project contains the address of a package registry, so a search
for one finds only a configuration that leaked (``tests/test_house.py``).
"""

from __future__ import annotations

from typing import Final

PYTHON_INDEX: Final = ".".join(("pypi", "org"))
PYTHON_INDEX_BEFORE: Final = ".".join(("pypi", "python", "org"))
"""Its name until 2018, in old lock files."""
PYTHON_FILES: Final = ".".join(("files", "python" + "hosted", "org"))
NODE_REGISTRY: Final = ".".join(("registry", "npmjs", "org"))
NODE_REGISTRIES: Final = (
    NODE_REGISTRY,
    ".".join(("registry", "yarnpkg", "com")),
    ".".join(("registry", "npmmirror", "com")),
    ".".join(("registry", "npm", "taobao", "org")),
    ".".join(("registry", "cnpmjs", "org")),
)
"""The npm registry, its second name, and its mirrors. All serve the same packages."""
