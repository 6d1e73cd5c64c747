"""Steps of a launch as data: their states, durations and failures.

Each launch has four steps. The plan's steps (migrations, builds, generators) run between environment and process. The
log describes each step in a sentence for people; programs read this data.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum

from pydantic import TypeAdapter

from preview.core.clock import rfc3339_ms

FILES = "files"
"""Copy the project's files to the preview's folder, and analyse them."""
CLAIM = "claim"
"""Store the preview's row, which claims its generation; only in traces."""
PLAN = "plan"
"""Make the start plan, or wait for the one that was started with the files; only in traces."""
ENVIRONMENT = "environment"
"""Install the packages, or find them in the cache."""
PROCESS = "process"
"""Start the application's process."""
ANSWERS = "answers"
"""Wait for the application's first response."""
MAX_NAME_CHARACTERS = 100
"""Maximum length of the name of a plan's step; a project may choose any name."""
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
    """The first request to the application, and the status of its response."""

    path: str
    status: int


@dataclass(frozen=True, slots=True)
class LaunchStep:
    """One step of a launch.

    Attributes:
        name: ``files``, ``environment``, ``process``, ``answers``, or the name of a step in the plan.
        state: State of the step.
        started_at_ms: Milliseconds since the epoch; None while the step waits.
        elapsed_ms: Duration in milliseconds; None until the step has ended.
        detail: A few words for people, such as ``cached, Python 3.12.1``, or the reason of a failure.
        reused: True if the step used a result of an earlier launch.
        answer: First request and response; only in the step ``answers``.
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
    """Return the display name of a plan's step: its own name, with a prefix if that is one of the four fixed names."""
    return shortened(f"step {name}" if name in _EACH else name, MAX_NAME_CHARACTERS)


def shortened(text: str, most: int) -> str:
    """Make text of a project storable in rows and streams: valid Unicode of at most ``most`` characters."""
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= most else f"{text[: most - 1]}…"


def waiting_steps() -> tuple[LaunchStep, ...]:
    """Return the four fixed steps, none started."""
    return tuple(map(LaunchStep, _EACH))


def end_steps(
    steps: Sequence[LaunchStep], state: StepState, now_ms: int | None, detail: str | None = None
) -> tuple[LaunchStep, ...]:
    """Return the steps of a preview that has ended; running steps get ``state``.

    Args:
        steps: The steps before the end.
        state: New state of running steps: ``failed`` or ``stopped``.
        now_ms: Milliseconds since the epoch; None if the time of the end is unknown.
        detail: Reason of the end.
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
    """Parse the text of ``store_steps``; empty for old rows without steps."""
    return _STEPS.validate_json(text) if text else ()


def step_fields(step: LaunchStep, *, camel: bool) -> dict[str, object]:
    """Return the step as a JSON object for responses and streams; ``answer`` only if the step has one.

    Args:
        step: The step.
        camel: Use camelCase keys, as in contract ``plan``.
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
