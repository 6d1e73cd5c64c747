"""Room: the command line. Parse, print, exit codes; what the commands do stands in the packages below."""

from preview.cli.start import main

__all__ = ["main"]
