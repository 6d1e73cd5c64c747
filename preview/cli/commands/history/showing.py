"""Parts that the commands of versions and launches share."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

from preview.cli.exits import UsageMistake
from preview.core.quoting import quoted


class ListByDefault(TyperGroup):
    """A group whose command ``ls`` is meant if none is named: ``preview versions GEN``."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Resolve like the base class, with ``ls`` before anything that is no command."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["ls", *args]
        return super().resolve_command(ctx, args)


def version_of(text: str) -> int:
    """Return the number of a version.

    Raises:
        UsageMistake: It is none.
    """
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) == 0:
        raise UsageMistake(f"{quoted(text)} is not a version's number; `preview versions GEN` lists them.")
    return int(text)


def split_version(text: str) -> tuple[str, int | None]:
    """Return the generation and the version of ``GEN@7``; None without a version.

    Raises:
        UsageMistake: The part after ``@`` is no number.
    """
    generation, at, version = text.partition("@")
    return generation, version_of(version) if at else None


def duration(milliseconds: int | None) -> str:
    """Return a duration for people; a dash for None."""
    if milliseconds is None:
        return "-"
    seconds = milliseconds / 1000
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"
