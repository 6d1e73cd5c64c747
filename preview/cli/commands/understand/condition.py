"""Options that describe an alert's condition."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from preview.cli.exits import UsageMistake

FilterOption = Annotated[
    str | None,
    typer.Option("--filter", metavar="FILTER", help="Filter for the lines or requests that count (docs/filter.md)."),
]
OnOption = Annotated[
    Literal["lines", "requests"], typer.Option("--on", help="Where the filter looks: lines, or recorded requests.")
]
CountOption = Annotated[int, typer.Option("--count", metavar="N", min=1, help="Number of matches.")]
WithinOption = Annotated[
    float, typer.Option("--within", metavar="SECONDS", min=1, help="Time window of --count and of --error-rate.")
]
AbsentOption = Annotated[
    float | None, typer.Option("--absent", metavar="SECONDS", min=1, help="Fire when nothing matches for this long.")
]
EventOption = Annotated[
    Literal["ended", "failed", "exited", "crashed", "unhealthy", "restarted"] | None,
    typer.Option("--event", help="Fire when this happens to the preview."),
]
ExitCodeOption = Annotated[
    int | None, typer.Option("--exit-code", metavar="N", help="With --event exited: only this exit code.")
]
ErrorRateOption = Annotated[
    float | None,
    typer.Option("--error-rate", metavar="SHARE", min=0, max=1, help="Fire when this share of the requests fails."),
]
MemoryOption = Annotated[
    float | None,
    typer.Option("--memory", metavar="SHARE", min=0, max=1, help="Fire at this share of the memory limit."),
]
CooldownOption = Annotated[
    float, typer.Option("--cooldown", metavar="SECONDS", min=1, help="Cool-down after a firing, per generation.")
]


def condition_of(
    chosen: str | None,
    on: str,
    count: int,
    within: float,
    absent: float | None,
    event: str | None,
    exit_code: int | None,
    error_rate: float | None,
    memory: float | None,
) -> dict[str, object]:
    """Return the options as a condition of the API.

    Raises:
        UsageMistake: There is none, or more than one.
    """
    kinds = {"--filter": chosen, "--event": event, "--error-rate": error_rate, "--memory": memory}
    given = [name for name, value in kinds.items() if value is not None]
    if len(given) != 1:
        raise UsageMistake(f"Give one of {', '.join(kinds)}, to say when the rule fires.")
    if absent is not None and chosen is None:
        raise UsageMistake("--absent needs --filter, to say what is missing.")
    if event is not None:
        return {"kind": "event", "event": event, "exit_code": exit_code}
    if error_rate is not None:
        return {"kind": "error_rate", "share": error_rate, "within_s": within}
    if memory is not None:
        return {"kind": "memory", "share": memory}
    if absent is not None:
        return {"kind": "absent", "filter": chosen, "on": on, "for_s": absent}
    return {"kind": "matches", "filter": chosen, "on": on, "count": count, "within_s": within}
