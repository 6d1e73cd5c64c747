"""Flags applied to one launch: the runtime and the settings that it gets; and the preview made with them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from preview.launch_settings import ResolvedSettings
from preview.logs import LogStore, PreviewLog
from preview.rollout import NO_CHOICES, Choices, FlagName, Subject
from preview.settings import Tier
from preview.storage.tables import PreviewRecord
from preview.supervisor.launch.launch_options import LaunchOptions
from preview.supervisor.launch.start_queue import SupervisorContext
from preview.supervisor.life.preview_slot import PreviewSlot
from preview.supervisor.preview.live_preview import LivePreview
from preview.traffic import Capture


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


def make_preview(
    arm: LaunchArm,
    slot: PreviewSlot,
    record: PreviewRecord,
    tier: Tier,
    log_store: LogStore,
    options: LaunchOptions,
    launch_settings: ResolvedSettings,
) -> LivePreview:
    """Return a preview for a slot. The caller registers it, and then assigns the slot to it."""
    context, settings = arm.context, arm.context.settings
    lines = PreviewLog(record.id, settings=settings, writer=context.writer, store=log_store)
    return LivePreview(
        record,
        settings=settings,
        tier=tier,
        log=lines,
        listener=slot.listener,
        scope=slot.scope,
        startup_timeout_s=options.startup_timeout_s or settings.startup_timeout_s,
        overrides=options.overrides,
        launch_settings=launch_settings,
        traffic=None if context.traffic is None else context.traffic.open(record.id, lines, Capture(settings.capture)),
        traces=None if context.traces is None else context.traces.open(record.id),
        flags=arm.choices,
    )
