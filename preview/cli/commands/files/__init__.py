"""Commands that move whole projects between a folder and the service."""

__all__: list[str] = []
