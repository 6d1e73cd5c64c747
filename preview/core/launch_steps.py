"""The steps of a launch as facts: what is done, what runs, what failed, and how long each took.

A launch has four steps, and between the environment and the process those of its plan: migrations, builds, generators.
The log tells of each in a sentence for people; programs read these.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum

from pydantic import TypeAdapter

from preview.core.clock import rfc3339_ms

FILES = "files"
"""The project's files are copied to the preview's folder, and read."""
ENVIRONMENT = "environment"
"""The packages are installed, or found in the cache."""
PROCESS = "process"
"""The application's process is started."""
ANSWERS = "answers"
"""The application answers its first request."""
MAX_NAME_CHARACTERS = 100
"""Of the name of a plan's step: a project may choose any."""
_EACH = (FILES, ENVIRONMENT, PROCESS, ANSWERS)


class StepState(StrEnum):
    """State of a step."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"
    """The preview was stopped while the step ran."""


@dataclass(frozen=True, slots=True)
class FirstAnswer:
    """The first request to the application, and its answer."""

    path: str
    status: int


@dataclass(frozen=True, slots=True)
class LaunchStep:
    """One step of a launch.

    Attributes:
        name: ``files``, ``environment``, ``process``, ``answers``, or that of a step in the plan.
        state: How far it is.
        started_at_ms: Milliseconds since the epoch; None while it waits.
        elapsed_ms: Milliseconds that it took; None until it has ended.
        detail: A few words for people: ``cached, Python 3.12.1``; why it failed.
        reused: Whether it took over what an earlier launch had made.
        answer: Of the step ``answers`` alone.
    """

    name: str
    state: StepState = StepState.WAITING
    started_at_ms: int | None = None
    elapsed_ms: int | None = None
    detail: str | None = None
    reused: bool = False
    answer: FirstAnswer | None = None


_STEPS: TypeAdapter[tuple[LaunchStep, ...]] = TypeAdapter(tuple[LaunchStep, ...])


def planned_name(name: str) -> str:
    """Return the name of a plan's step among a launch's steps: its own, unless each launch has that name."""
    return shortened(f"step {name}" if name in _EACH else name, MAX_NAME_CHARACTERS)


def shortened(text: str, most: int) -> str:
    """Text that a row and a stream can hold, whatever a project has in it: valid Unicode, and not longer."""
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= most else f"{text[: most - 1]}…"


def waiting_steps() -> tuple[LaunchStep, ...]:
    """Return the steps that each launch has; none has started."""
    return tuple(map(LaunchStep, _EACH))


def end_steps(
    steps: Sequence[LaunchStep], state: StepState, now_ms: int | None, detail: str | None = None
) -> tuple[LaunchStep, ...]:
    """Return the steps of an ended preview: none runs.

    Args:
        steps: As they were.
        state: Of those that ran: ``failed`` or ``stopped``.
        now_ms: Milliseconds since the epoch; None where the end was not seen.
        detail: Why.
    """
    return tuple(
        replace(
            one,
            state=state,
            detail=detail,
            elapsed_ms=None if now_ms is None else max(0, now_ms - (one.started_at_ms or now_ms)),
        )
        if one.state is StepState.RUNNING
        else one
        for one in steps
    )


def store_steps(steps: Sequence[LaunchStep]) -> str | None:
    """Return the steps as JSON for a row; None if there are none."""
    return json.dumps([asdict(one) for one in steps]) if steps else None


def load_steps(text: str | None) -> tuple[LaunchStep, ...]:
    """Parse the text of ``store_steps``; empty for a row from before there were steps."""
    return _STEPS.validate_json(text) if text else ()


def step_fields(step: LaunchStep, *, camel: bool) -> dict[str, object]:
    """Return the step as JSON has it in every answer and every stream; ``answer`` only where there is one.

    Args:
        step: The step.
        camel: Whether the keys are in camelCase, as contract ``plan`` writes them.
    """
    fields: dict[str, object] = {
        "name": step.name,
        "state": step.state.value,
        "startedAt" if camel else "started_at": None if step.started_at_ms is None else rfc3339_ms(step.started_at_ms),
        "elapsedMs" if camel else "elapsed_ms": step.elapsed_ms,
        "detail": step.detail,
        "reused": step.reused,
    }
    if step.answer is not None:
        fields["answer"] = {"path": step.answer.path, "status": step.answer.status}
    return fields
