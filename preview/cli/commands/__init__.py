"""One module for each command, imported when the command is called (see ``preview.cli.entry``)."""

__all__: list[str] = []
