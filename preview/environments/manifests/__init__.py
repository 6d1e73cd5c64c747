"""The files in which Python projects say what they require, each as it is written in practice."""

__all__: list[str] = []
