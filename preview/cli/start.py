"""The program's entry, before any slow import."""

import sys


def main() -> None:
    """Run the console script. Never returns: ends the process with the command's exit code."""
    try:
        # Imported here: Ctrl-C while the modules are read is an end like any other, not a traceback.
        from preview.cli.entry import main as run_command_line  # noqa: PLC0415
    except KeyboardInterrupt:
        sys.exit(130)
    run_command_line()
