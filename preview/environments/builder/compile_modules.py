"""Compile the modules in the folders that are given as arguments, on all processors, at the lowest priority.

An environment's interpreter runs this without ``site``, so no code of a package runs. Skips compiled modules and files
that cannot be compiled (such as templates named like modules). Compiled modules are renamed into place, so other
processes never see an incomplete one.
"""

from __future__ import annotations

import importlib.util
import os
import py_compile
import sys

# nice(2): every other process has priority.
_LEAST = 19


def main(folders: list[str]) -> None:
    """Fork one worker for each processor and wait for them."""
    os.nice(_LEAST)
    files = sorted(
        folder + "/" + name
        for top in folders
        for folder, _, names in os.walk(top)
        for name in names
        if name.endswith(".py")
    )
    count = len(os.sched_getaffinity(0))
    workers = []
    for number in range(count):
        worker = os.fork()
        if worker == 0:
            _compile(files[number::count])
            os._exit(0)
        workers.append(worker)
    for worker in workers:
        os.waitpid(worker, 0)


def _compile(files: list[str]) -> None:
    for file in files:
        try:
            if not os.path.exists(importlib.util.cache_from_source(file)):  # noqa: PTH110  thousands
                py_compile.compile(file, quiet=2)
        except (OSError, ValueError, RecursionError, MemoryError):
            continue


if __name__ == "__main__":
    main(sys.argv[1:])
