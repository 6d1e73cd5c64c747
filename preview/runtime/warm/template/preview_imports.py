"""Imports of a template, and the check that the template can still be forked."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import preview_warmups  # type: ignore[import-not-found]

_MISSING_SHOWN = 200
_PROCESS = "a process"
_SHARING = frozenset({"_multiprocessing", "mmap", "_posixshmem", "_ctypes"})


def import_all(modules: Sequence[str], launchers: str, warm_ups: bool, notes: int) -> dict[str, Any]:
    """Import as many of ``modules`` as possible; the project handles those that fail.

    Args:
        modules: Dotted names. Of a name that is no module (``sqlalchemy.orm.Session``), the module part is imported.
        launchers: The folder of the launchers, which are imported too.
        warm_ups: Whether packages are also used once.
        notes: Descriptor of the file that receives the name of each import first, to explain an exit of this process.

    Returns:
        The template's first message; see ``preview_template``.
    """
    started = time.monotonic()
    missing: dict[str, str] = {}
    with _recorded_reads() as reads:
        held = descriptors()
        _read_launchers(launchers)
        for name in modules:
            _note(notes, name)
            why = _import(name)
            if why is not None:
                missing[name] = why[:_MISSING_SHOWN]
            reason = unsafe(held)
            if reason is not None:
                return {"unsafe": name, "why": f"{name} {reason} when it is imported"}
        if warm_ups:
            _note(notes, f"{preview_warmups.PREFIX}packages")
            for name in preview_warmups.warm_up():
                reason = unsafe(held)
                if reason is not None:
                    return {"unsafe": f"{preview_warmups.PREFIX}{name}", "why": f"{name} {reason} when it is used"}
    return {
        "ready": True,
        "imported": len(sys.modules),
        "loaded": sorted({name.partition(".")[0] for name in sys.modules}),
        "missing": missing,
        "reads": dict(reads),
        "elapsed_s": time.monotonic() - started,
        "rss": resident_bytes(),
    }


def _note(notes: int, text: str) -> None:
    data = text.encode("utf-8", "replace")
    os.ftruncate(notes, len(data))
    os.pwrite(notes, data, 0)


def _read_launchers(folder: str) -> None:
    """Import the launchers and their shared modules; importing them has no side effects."""
    sys.path.insert(0, folder)
    for file in sorted(os.listdir(folder)):  # noqa: PTH208
        name, dot, _ = file.partition(".py")
        if dot and name.startswith(("preview_", "serve_")):
            importlib.import_module(name)
    sys.path.remove(folder)


def _import(name: str) -> str | None:
    """Import a module, or a name in a module; return the error text, or None."""
    module, _, attribute = name.partition(":")
    try:
        if module not in sys.modules:
            importlib.import_module(module)
        found = sys.modules[module]
        if attribute and not hasattr(found, attribute) and hasattr(found, "__path__"):
            importlib.import_module(f"{module}.{attribute}")
    except BaseException as error:  # noqa: BLE001  packages raise what they like, SystemExit too
        return f"{type(error).__name__}: {error}"
    return None


def unsafe(held: set[str]) -> str | None:
    """Return why this process cannot be forked safely, or None."""
    if len(os.listdir("/proc/self/task")) > 1:  # noqa: PTH208
        return "starts a thread"
    further = descriptors() - held
    if _PROCESS in further:
        return "starts a process"
    if further:
        return f"keeps {min(further)} open"
    if _shares_memory():
        return "shares memory with whatever it forks"
    return None


def _has_company() -> bool:
    """Return whether there are processes that this one, or its children, may have started."""
    # Processes that started this one are older, and have lower numbers.
    return any(int(name) > os.getpid() for name in os.listdir("/proc") if name.isdecimal())  # noqa: PTH208


def _shares_memory() -> bool:
    """Return whether forks would share memory, such as locks of ``multiprocessing``."""
    # Only these modules share memory. Reading hundreds of mappings after each import would take most of the time.
    if not _SHARING.intersection(sys.modules):
        return False
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
        return any(line.split(" ", 2)[1].startswith("rw") and line.split(" ", 2)[1][3] == "s" for line in file)


def descriptors() -> set[str]:
    """Return the targets of open descriptors, plus a marker if other processes exist."""
    found = {_PROCESS} if _has_company() else set()
    for one in os.listdir("/proc/self/fd"):  # noqa: PTH208
        try:
            target = os.readlink(f"/proc/self/fd/{one}")  # noqa: PTH115
        except OSError:
            continue
        # All processes can share random numbers and the null device.
        if target not in ("/dev/urandom", "/dev/random", "/dev/null") and not target.startswith("/proc/"):
            found.add(target)
    return found


@contextmanager
def _recorded_reads() -> Iterator[dict[str, str | None]]:
    """Record which environment variables are read inside the block, with their values."""
    reads: dict[str, str | None] = {}
    kind = type(os.environ)
    ask = kind.__getitem__

    def asked(environ: Any, name: str) -> str:
        try:
            value: str = ask(environ, name)
        except KeyError:
            if isinstance(name, str):
                reads[name] = None
            raise
        reads[name] = value
        return value

    kind.__getitem__ = asked  # type: ignore[method-assign]
    try:
        yield reads
    finally:
        kind.__getitem__ = ask  # type: ignore[method-assign]


def resident_bytes() -> int:
    """Return this process's resident memory."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
