"""Readers of manifests: the files in which Python projects list their requirements, in all common forms."""

__all__: list[str] = []
