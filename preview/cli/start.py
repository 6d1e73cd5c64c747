"""The program's entry, before any slow import."""

import sys


def main() -> None:
    """Run the console script. Never returns: ends the process with the command's exit code."""
    try:
        # Imported here so that Ctrl-C during imports exits without a traceback.
        from preview.cli.entry import main as run_command_line  # noqa: PLC0415
    except KeyboardInterrupt:
        sys.exit(130)
    run_command_line()
