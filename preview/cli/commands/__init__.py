"""One module for each command, loaded when that command is called (see ``preview.cli.entry``)."""

__all__: list[str] = []
