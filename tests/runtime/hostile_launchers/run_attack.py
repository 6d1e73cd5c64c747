"""Runs a program that is given as text, when a snapshot imports it too: an application whose import attacks."""

from __future__ import annotations

import sys

__all__ = ["load", "main"]


def load(arguments: list[str]) -> None:
    """Run the second argument: the application's import."""
    exec(compile(arguments[1], "<attack>", "exec"), {"__name__": "attack"})


def main(arguments: list[str]) -> None:
    """Run the first argument."""
    exec(compile(arguments[0], "<string>", "exec"), {"__name__": "__main__"})


if __name__ == "__main__":
    main(sys.argv[1:])
