"""State of a service of a compose file beside the previewed one."""

from __future__ import annotations

from dataclasses import dataclass, field

import trio

from preview.runtime import RunningProcess, Usage


@dataclass(eq=False, slots=True)
class RunningBeside:
    """A service beside: its process while it runs, and its last measured usage.

    Attributes:
        tried: Set once it has been started, or could not be, for the first time.
        met: Conditions of a compose file that it meets, or never will; with the reason, if it never will.
        moved: Set when ``met`` has changed; then there is a new event.
    """

    process: RunningProcess | None = None
    usage: Usage | None = None
    tried: trio.Event = field(default_factory=trio.Event)
    met: dict[str, str] = field(default_factory=dict)
    moved: trio.Event = field(default_factory=trio.Event)

    def meet(self, condition: str, fault: str = "") -> None:
        """Note that a condition is met, or why it never will be. Only the first note counts."""
        if condition not in self.met:
            self.met[condition] = fault
            self.moved.set()
            self.moved = trio.Event()
