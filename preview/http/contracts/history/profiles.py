"""Profiles: which functions of a preview the time goes to; only contract ``v1`` has them."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from preview.core.clock import from_ms
from preview.http.core.answers import Answer, Time
from preview.http.core.bodies import whole
from preview.tracing import LONGEST_S, FunctionTime, Profile, ProfileNode, ProfileState, functions_of

_MOST_FUNCTIONS = 50


class ProfileBody(BaseModel):
    """A measurement of a preview's functions."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    seconds: Annotated[int, Field(ge=1, le=LONGEST_S), BeforeValidator(whole)] = Field(
        default=10, description="Time to measure."
    )


class FunctionShape(Answer):
    """A function of the project, or one of a library that it has called."""

    name: str = Field(examples=["Shelf.books"])
    place: str | None = Field(description="File and line in the project; null for a library.", examples=["main.py:12"])
    calls: int | None = Field(description="Its calls from all places, up to 100,000; null if they were not counted.")
    own_ms: float = Field(description="Time in the function itself.")
    total_ms: float = Field(description="Time in it and in what it has called.")

    @classmethod
    def of_function(cls, function: FunctionTime) -> Self:
        """Return the function."""
        return cls(**_times(function))


class ProfileNodeShape(FunctionShape):
    """A function in the tree of calls."""

    parent: int | None = Field(description="Index of the node that has called it.")
    depth: int = Field(description="Number of its ancestors.")

    @classmethod
    def of(cls, node: ProfileNode) -> Self:
        """Return the node."""
        return cls(parent=None if node.parent < 0 else node.parent, depth=node.depth, **_times(node))


class ProfileShape(Answer):
    """A profile. The application's process has reported it; nothing in it is verified."""

    preview_id: str
    state: ProfileState
    seconds: int = Field(description="Time to measure.")
    started_at: Time
    elapsed_ms: float = Field(description="Time that was measured.")
    samples: int = Field(description="Number of looks at the process.")
    left_out: int = Field(description="Functions that did not fit in; their time is their callers'.")
    nodes: list[ProfileNodeShape] = Field(
        description="The tree of calls, at most 500 functions: depth first, the most costly ones first."
    )
    functions: list[FunctionShape] = Field(description="The 50 functions with the most time of their own.")

    @classmethod
    def of(cls, profile: Profile, preview_id: str) -> Self:
        """Return the profile."""
        return cls(
            preview_id=preview_id,
            state=profile.state,
            seconds=profile.seconds,
            started_at=from_ms(profile.started_ms),
            elapsed_ms=_ms(profile.elapsed_us),
            samples=profile.samples,
            left_out=profile.left_out,
            nodes=[ProfileNodeShape.of(node) for node in profile.nodes],
            functions=[FunctionShape.of_function(one) for one in functions_of(profile.nodes)[:_MOST_FUNCTIONS]],
        )


def _times(one: ProfileNode | FunctionTime) -> dict[str, object]:
    return {
        "name": one.name,
        "place": one.place or None,
        "calls": one.calls,
        "own_ms": _ms(one.own_us),
        "total_ms": _ms(one.total_us),
    }


def _ms(microseconds: int) -> float:
    return round(microseconds / 1000, 3)
