"""The program's entry, before any slow import."""

import atexit
import gc
import os
import sys
import threading
from contextlib import suppress
from typing import NoReturn

# Imports make many objects (those of the service 330,000) and no garbage. After each 700 objects, the default,
# collections take 0.4 s of the 2 s of processor time that the service's imports take.
_COLLECT_OBJECTS = 1_000_000


def main() -> None:
    """Run the console script. Never returns: ends the process with the command's exit code."""
    gc.set_threshold(_COLLECT_OBJECTS)
    try:
        # Imported here so that Ctrl-C during imports exits without a traceback.
        from preview.cli.entry import main as run_command_line  # noqa: PLC0415
    except KeyboardInterrupt:
        sys.exit(130)
    try:
        run_command_line()
    except SystemExit as end:
        if isinstance(end.code, int | None):
            _end(end.code or 0)
        raise


def _end(code: int) -> NoReturn:
    """End the process as Python does, but leave its memory to the kernel.

    Python would take all modules and their objects apart first: a quarter of the processor time of a command that asks
    a service. (The service itself has them frozen, and gains nothing.)
    """
    # Ends the idle threads of pools, and waits for those that are at work.
    with suppress(KeyboardInterrupt):
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001
    atexit._run_exitfuncs()  # noqa: SLF001  the only way to run them before `os._exit`
    # The command has flushed its output, and has told what went wrong with it.
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
