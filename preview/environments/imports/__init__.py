"""Imports of a project, compared with the packages of its environment."""

__all__: list[str] = []
