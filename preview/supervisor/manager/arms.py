"""Flags applied to one launch: the runtime and the settings that it gets."""

from __future__ import annotations

from dataclasses import dataclass, replace

from preview.rollout import NO_CHOICES, Choices, FlagName, Subject
from preview.supervisor.launch.start_queue import SupervisorContext


@dataclass(frozen=True, slots=True)
class LaunchArm:
    """Result of the flags for one launch, for its whole life.

    Attributes:
        context: The shared state, with the launch's runtime and settings.
        choices: The values of the flags.
    """

    context: SupervisorContext
    choices: Choices = NO_CHOICES


def choose_arm(context: SupervisorContext, subject: Subject) -> LaunchArm:
    """Return what a launch of this subject gets. Synchronous, so that it can be part of a claim.

    Raises:
        LaunchesStopped: The kill switch refuses it.
        IsolationBelowMinimum: The service lacks the least isolation level of its tier.
    """
    if context.rollout is None:
        return LaunchArm(context)
    choices = context.rollout.choose(subject)
    level = choices.changed(FlagName.ISOLATION)
    # The flag offers only levels of the opened runtimes.
    runtime = context.runtime if level is None else context.runtimes[level]
    changed = replace(context, runtime=runtime, settings=choices.applied(context.settings))
    return LaunchArm(changed, choices)
