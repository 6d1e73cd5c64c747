"""The command line: parsing, output and exit codes. Other packages do the work."""

from preview.cli.start import main

__all__ = ["main"]
