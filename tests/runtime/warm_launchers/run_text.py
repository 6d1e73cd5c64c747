"""Runs a program that is given as text, as ``python -c`` does: what templates of these tests fork."""

from __future__ import annotations

import sys

__all__ = ["load", "main"]


def load(arguments: list[str]) -> None:
    """What a snapshot is made of: the program may find that it was here."""
    sys.modules["loaded_before"] = type(sys)("loaded_before")


def main(arguments: list[str]) -> None:
    """Run the first argument; the others are the program's own."""
    text, *rest = arguments
    sys.argv = ["-c", *rest]
    exec(compile(text, "<string>", "exec"), {"__name__": "__main__"})


if __name__ == "__main__":
    main(sys.argv[1:])
