"""Decisions of detection for one generation, as a person sees them beside the launch settings."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field

from preview.detection import Origin, Server, StartPlan, shown_value
from preview.http.core.answers import Answer

_SENTENCES = {
    Origin.MADE_UP: "is not set; using a placeholder",
    Origin.EXAMPLE: "has the value of the project's example file",
    Origin.SUPPLIED: "is supplied by the service",
}


class DetectedEntry(Answer):
    """One decision of detection."""

    kind: Literal["framework", "app", "command", "directory", "network", "health", "port", "database", "variable"] = (
        Field(description="`database`: also a broker; `name` is then the variable with its address, if there is one.")
    )
    name: str
    value: str | None = Field(description="Null if it may be a secret, or is generated for each preview.")
    source: str = Field(description="`made up`, `example file`, `supplied`, `preview.toml` or `detected`.")
    where: str = Field(description="File and line that decided it, if known.")
    made_up: bool = Field(description="Whether it is a placeholder that should be set.")
    text: str = Field(description="One sentence.")


class Detected(Answer):
    """Decisions of detection for one generation, before the settings apply."""

    generation_id: str
    problem: str | None = Field(description="The reason why the files cannot be read; null if they can.")
    entries: list[DetectedEntry]

    @classmethod
    def of(cls, generation_id: str, plan: StartPlan, *, has_sqlite: bool) -> Self:
        """Return the decisions of a start plan.

        Args:
            generation_id: The generation.
            plan: The plan.
            has_sqlite: The service gives each preview a SQLite file in ``DATABASE_URL``.
        """
        return cls(generation_id=generation_id, problem=None, entries=_entries(plan, has_sqlite=has_sqlite))


def _decisions(plan: StartPlan) -> list[DetectedEntry]:
    file = "" if plan.target is None else plan.target.file or ""
    program = (str(plan.server),) if plan.server in (Server.NODE, Server.BUN) and plan.command else ()
    command = " ".join((*program, *plan.command))
    values: dict[Literal["framework", "app", "command", "directory", "network", "health"], tuple[str | None, str]] = {
        "framework": (plan.framework, f"framework: {plan.framework}"),
        "app": (None if plan.target is None else str(plan.target), f"application: {plan.target}"),
        "command": (command or None, f"command: {command}"),
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


def _supplied(plan: StartPlan, *, has_sqlite: bool) -> list[DetectedEntry]:
    """Return what the service supplies, or what is missing: the port, databases and brokers."""
    port = DetectedEntry(
        kind="port",
        name="PORT",
        value=None,
        source=str(Origin.SUPPLIED),
        where="",
        made_up=False,
        text="port: the service chooses a free one for each launch, in PORT; it cannot be set",
    )
    found = [
        DetectedEntry(
            kind="database",
            name=need.setting or str(need.kind),
            value=None,
            source=str(Origin.SUPPLIED if need.supplied else Origin.MADE_UP),
            where=need.where,
            made_up=not need.supplied,
            text=f"{need.kind}: {_server(need.setting)}"
            if need.supplied
            else f"{need.kind}: the service has none for this preview; set the address of yours",
        )
        for need in plan.services
    ]
    if not found and has_sqlite and "DATABASE_URL" not in plan.variables:
        found.append(
            DetectedEntry(
                kind="database",
                name="DATABASE_URL",
                value=None,
                source=str(Origin.SUPPLIED),
                where="",
                made_up=False,
                text="database: a SQLite file for each preview, in DATABASE_URL",
            )
        )
    return [port, *found]


def _server(setting: str | None) -> str:
    return "the service supplies one for each preview" + ("" if setting is None else f", in {setting}")


def _entries(plan: StartPlan, *, has_sqlite: bool) -> list[DetectedEntry]:
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
    return [
        *made,
        *_decisions(plan),
        *_supplied(plan, has_sqlite=has_sqlite),
        *(one for one in variables if not one.made_up),
    ]
