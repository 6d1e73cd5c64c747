"""The program's entry, before any slow import."""

import gc
import sys

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
    run_command_line()
