"""Compile the modules in the folders that are named as arguments, on all processors, at the lowest priority.

Run by an environment's interpreter without ``site``: so no code of a package runs. What cannot be compiled (a template
that only looks like a module) is left as it is; so is what is compiled already. Each compiled module is written beside
its place and put there whole: a process in the environment sees it or does not.
"""

from __future__ import annotations

import importlib.util
import os
import py_compile
import sys

# nice(2): all else on this machine comes first.
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
