"""How far a launch is: its steps, changed in one place and published with each change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import trio

from preview.core.clock import now_ms
from preview.core.launch_steps import PROCESS, FirstAnswer, LaunchStep, StepState, end_steps, waiting_steps

__all__ = ["LaunchProgress"]

# Of a plan; a project may name any number of them.
_MAX_PLANNED = 20
_MAX_DETAIL_CHARACTERS = 300


class LaunchProgress:
    """The steps of one preview's launch. Steps of its plan that a reload repeats are shown as they are then.

    Args:
        publish: Called after each change, with the steps.
    """

    def __init__(self, publish: Callable[[tuple[LaunchStep, ...]], None]) -> None:
        self._publish = publish
        self._steps = waiting_steps()
        # By trio's clock, which never jumps.
        self._started: dict[str, float] = {}

    @property
    def steps(self) -> tuple[LaunchStep, ...]:
        """In their order."""
        return self._steps

    def plan(self, names: Sequence[str]) -> None:
        """Add the steps that the plan wants, as waiting, before the process; those that are there already stay."""
        known = {one.name for one in self._steps}
        new = [LaunchStep(name) for name in dict.fromkeys(names) if name not in known][:_MAX_PLANNED]
        if new:
            at = next(index for index, one in enumerate(self._steps) if one.name == PROCESS)
            self._set((*self._steps[:at], *new, *self._steps[at:]))

    def start(self, name: str) -> None:
        """The step runs from now on."""
        self._started[name] = trio.current_time()
        self._change(LaunchStep(name, StepState.RUNNING, started_at_ms=now_ms()))

    def finish(
        self, name: str, detail: str | None = None, *, reused: bool = False, answer: FirstAnswer | None = None
    ) -> None:
        """The step is done."""
        self._end(name, StepState.DONE, detail, reused=reused, answer=answer)

    def fail(self, name: str, detail: str) -> None:
        """The step has failed; says why."""
        self._end(name, StepState.FAILED, detail)

    def end(self, state: StepState, detail: str) -> None:
        """The preview is over: what runs ends so, and nobody is told separately."""
        self._steps = end_steps(self._steps, state, now_ms(), _short(detail))

    def _end(
        self,
        name: str,
        state: StepState,
        detail: str | None,
        *,
        reused: bool = False,
        answer: FirstAnswer | None = None,
    ) -> None:
        before = next((one for one in self._steps if one.name == name), LaunchStep(name))
        took_s = trio.current_time() - self._started.pop(name, trio.current_time())
        self._change(
            replace(
                before,
                state=state,
                elapsed_ms=round(took_s * 1000),
                detail=None if detail is None else _short(detail),
                reused=reused,
                answer=answer,
            )
        )

    def _change(self, step: LaunchStep) -> None:
        """Steps beyond those of a plan that are kept are nobody's news."""
        if any(one.name == step.name for one in self._steps):
            self._set(tuple(step if one.name == step.name else one for one in self._steps))

    def _set(self, steps: tuple[LaunchStep, ...]) -> None:
        self._steps = steps
        self._publish(steps)


def _short(detail: str) -> str:
    """Text that a row and a stream can hold, whatever a project has in it."""
    text = detail.encode("utf-8", "replace").decode()
    return text if len(text) <= _MAX_DETAIL_CHARACTERS else f"{text[: _MAX_DETAIL_CHARACTERS - 1]}…"
