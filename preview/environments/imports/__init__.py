"""What a project imports, compared with what its environment offers."""

__all__: list[str] = []
