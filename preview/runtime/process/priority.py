"""Who goes first where processor time is short: the service, when all that it runs ends at the same moment."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress

from preview.runtime.interface import ProcessIdentity
from preview.runtime.kernel import proctree

# A thirtieth of the usual weight (sched(7)): the last ones of many still get on beside another program's work.
_NICE = 15


def give_way(leaders: Iterable[ProcessIdentity]) -> None:
    """Let the leaders, and what is in their groups, have processor time only after others that want it.

    A hundred servers that are told to end all compute at once, and would leave a process beside them a fiftieth of a
    core each second: then nobody is killed when the time is over. It cannot be taken back but by root.
    """
    for leader in leaders:
        with suppress(OSError):
            if proctree.is_alive(leader):
                os.setpriority(os.PRIO_PGRP, leader.pid, _NICE)
