"""A look into uv's cache of packages."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def may_be_cached(cache: Path, names: Iterable[str]) -> bool:
    """Whether installing these packages without the network may work: of each there is something in the cache.

    Only a guess, which saves an attempt that must fail: where uv keeps its wheels is uv's own matter. With wheels in a
    folder of the operator's nothing is guessed. Blocks on the disk.

    Args:
        cache: Uv's.
        names: Normalised names.
    """
    if os.environ.get("UV_FIND_LINKS"):
        return True
    # wheels-v8/pypi/NAME, wheels-v8/index/HASH/NAME
    folders = [*cache.glob("wheels-v*/*"), *cache.glob("wheels-v*/index/*")]
    return all(any((folder / name).is_dir() for folder in folders) for name in names)
