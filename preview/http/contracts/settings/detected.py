"""Decisions of detection for one generation, as a person sees them beside the launch settings."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field

from preview.detection import Origin, StartPlan, shown_value
from preview.http.core.answers import Answer

_SENTENCES = {
    Origin.MADE_UP: "is not set; using a placeholder",
    Origin.EXAMPLE: "has the value of the project's example file",
    Origin.SUPPLIED: "is supplied by the service",
}


class DetectedEntry(Answer):
    """One decision of detection."""

    kind: Literal["framework", "app", "command", "directory", "network", "health", "variable"]
    name: str
    value: str | None = Field(description="Null if it may be a secret, or is generated for each preview.")
    source: str = Field(description="`made up`, `example file`, `supplied`, `preview.toml` or `detected`.")
    where: str = Field(description="File and line that decided it, if known.")
    made_up: bool = Field(description="Whether it is a placeholder that should be set.")
    text: str = Field(description="One sentence.")


class Detected(Answer):
    """Decisions of detection for one generation, before the settings apply."""

    generation_id: str
    problem: str | None = Field(description="One sentence why the files cannot be read; null if they can.")
    entries: list[DetectedEntry]

    @classmethod
    def of(cls, generation_id: str, plan: StartPlan) -> Self:
        """Return the decisions of a start plan."""
        return cls(generation_id=generation_id, problem=None, entries=_entries(plan))


def _decisions(plan: StartPlan) -> list[DetectedEntry]:
    file = "" if plan.target is None else plan.target.file or ""
    values: dict[Literal["framework", "app", "command", "directory", "network", "health"], tuple[str | None, str]] = {
        "framework": (plan.framework, f"framework: {plan.framework}"),
        "app": (None if plan.target is None else str(plan.target), f"application: {plan.target}"),
        "command": (" ".join(plan.command) or None, f"command: {' '.join(plan.command)}"),
        "directory": (None if plan.directory == "." else plan.directory, f"working folder: {plan.directory}"),
        "network": (None if plan.network is None else str(plan.network), f"network: {plan.network}"),
        "health": (plan.health_path, f"health path: {plan.health_path}"),
    }
    return [
        DetectedEntry(
            kind=kind, name=kind, value=value, source="detected", where=file if kind == "app" else "", made_up=False,
            text=text,
        )
        for kind, (value, text) in values.items()
        if value is not None
    ]  # fmt: skip


def _entries(plan: StartPlan) -> list[DetectedEntry]:
    """Return placeholders first, which a person may want to set; then decisions, then the other variables."""
    variables = [
        DetectedEntry(
            kind="variable",
            name=one.name,
            value=shown_value(one),
            source=str(one.origin),
            where=one.where,
            made_up=one.origin is Origin.MADE_UP,
            text=f"{one.name} {_SENTENCES.get(one.origin, f'is set in the {one.origin}')}",
        )
        for one in plan.variables.values()
    ]
    made = [one for one in variables if one.made_up]
    return [*made, *_decisions(plan), *(one for one in variables if not one.made_up)]
