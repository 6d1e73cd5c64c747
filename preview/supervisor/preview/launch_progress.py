"""Progress of a launch: all changes to its steps are made and published here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import trio

from preview.core.clock import now_ms
from preview.core.launch_steps import (
    PROCESS,
    FirstAnswer,
    LaunchStep,
    StepState,
    end_steps,
    shortened,
    waiting_steps,
)

# Maximum number of shown steps of a plan; a project may define any number.
_MAX_PLANNED = 20
_MAX_DETAIL_CHARACTERS = 300


class LaunchProgress:
    """The steps of one preview's launch. A reload that repeats a step of the plan updates that step.

    Args:
        publish: Called with all steps after each change.

    Attributes:
        parts: Parts of the launch that are only in its trace, each as the last attempt has done it.
    """

    def __init__(self, publish: Callable[[tuple[LaunchStep, ...]], None]) -> None:
        self._publish = publish
        self._steps = waiting_steps()
        self.parts: tuple[LaunchStep, ...] = ()
        # Start times by trio's clock, which never jumps.
        self._started: dict[str, float] = {}

    @property
    def steps(self) -> tuple[LaunchStep, ...]:
        """All steps, in order."""
        return self._steps

    def plan(self, names: Sequence[str]) -> None:
        """Insert the plan's steps before the process step, as waiting; existing ones stay unchanged."""
        known = {one.name for one in self._steps}
        left = _MAX_PLANNED - (len(self._steps) - len(waiting_steps()))
        new = [LaunchStep(name) for name in dict.fromkeys(names) if name not in known][: max(0, left)]
        if new:
            at = next(index for index, one in enumerate(self._steps) if one.name == PROCESS)
            self._set((*self._steps[:at], *new, *self._steps[at:]))

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Note the context as a part of the launch; failed if it raises."""
        at_ms, began, state = now_ms(), trio.current_time(), StepState.FAILED
        try:
            yield
            state = StepState.DONE
        finally:
            made = LaunchStep(name, state, at_ms, round((trio.current_time() - began) * 1000))
            self.parts = (*(one for one in self.parts if one.name != name), made)

    def start(self, name: str) -> None:
        """Mark the step as running."""
        self._started[name] = trio.current_time()
        self._change(LaunchStep(name, StepState.RUNNING, started_at_ms=now_ms()))

    def finish(
        self, name: str, detail: str | None = None, *, reused: bool = False, answer: FirstAnswer | None = None
    ) -> None:
        """Mark the step as done."""
        self._end(name, StepState.DONE, detail, reused=reused, answer=answer)

    def fail(self, name: str, detail: str) -> None:
        """Mark the step as failed, with the reason."""
        self._end(name, StepState.FAILED, detail)

    def leave(self, name: str) -> None:
        """Mark the step as stopped if it still runs."""
        if any(one.name == name and one.state is StepState.RUNNING for one in self._steps):
            self._end(name, StepState.STOPPED, None)
        self._started.pop(name, None)

    def again(self) -> None:
        """Mark all steps after the first as waiting: the launch makes another attempt."""
        self._started.clear()
        self._set((self._steps[0], *(LaunchStep(one.name) for one in self._steps[1:])))

    def end(self, state: StepState, detail: str) -> None:
        """End all steps with the preview. The state change publishes them, not this method."""
        self._steps = end_steps(self._steps, state, now_ms(), shortened(detail, _MAX_DETAIL_CHARACTERS))

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
                detail=None if detail is None else shortened(detail, _MAX_DETAIL_CHARACTERS),
                reused=reused,
                answer=answer,
            )
        )

    def _change(self, step: LaunchStep) -> None:
        """Update and publish the step, unless it exceeded the plan's limit and is not shown."""
        if any(one.name == step.name for one in self._steps):
            self._set(tuple(step if one.name == step.name else one for one in self._steps))

    def _set(self, steps: tuple[LaunchStep, ...]) -> None:
        self._steps = steps
        self._publish(steps)
