"""Commands about earlier states: versions of files, and launches."""

__all__: list[str] = []
