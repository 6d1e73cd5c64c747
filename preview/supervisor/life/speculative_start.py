"""A start that is started like the last one of its project, while the files are read that decide how it goes.

From one generation to the next a project's code changes, and how it starts mostly does not. Where it does, what has
started is ended, and the start begins again in empty folders: nothing of what it did or printed is the preview's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace

import structlog

from preview.core.isolation import Network
from preview.detection import Origin
from preview.environments import Environment
from preview.errors import PreviewError
from preview.runtime import SpeculativeProcess
from preview.supervisor.launch.planning import environment_key
from preview.supervisor.launch.preparation import prepare_launch
from preview.supervisor.launch.project_analysis import ProjectAnalysis
from preview.supervisor.launch.start_history import StartRecord
from preview.supervisor.launch.start_queue import StartSlot, SupervisorContext
from preview.supervisor.launch.steps import PreparedLaunch
from preview.supervisor.launch.variables import keep_made_up
from preview.supervisor.launch.workspace import Workspace
from preview.supervisor.preview.control import open_control
from preview.supervisor.preview.live_preview import LivePreview
from preview.supervisor.preview.network import choose_network
from preview.supervisor.process.server_process import StartedProcess, serving_spec

log = structlog.get_logger(__name__)

# What a project's files or its launch give is that generation's own.
_GIVEN = frozenset({Origin.PROJECT, Origin.REQUEST})
# Which process of the preview it is: nothing has run before it.
_FIRST = 1


class SpeculativeStart:
    """A process that runs as the last start of its project did. Made by ``open_speculative_start`` alone.

    Attributes:
        stage: What it was started from; what its own files say, once ``differs`` has found that to be the same.
        turn: Its turn to start, which it has.
        under_way: The process, for the launch that adopts it.
        runs: Whether there is one.
    """

    def __init__(
        self,
        preview: LivePreview,
        context: SupervisorContext,
        begun: SpeculativeProcess,
        prepared: PreparedLaunch,
        under_way: StartedProcess,
        turn: StartSlot,
    ) -> None:
        self._preview = preview
        self._context = context
        self._begun = begun
        self.prepared = prepared
        self.turn = turn
        self.under_way = under_way
        self.runs = True

    async def differs(self, study: ProjectAnalysis) -> str | None:
        """Return how these files differ, as half a sentence; None for the same start, or if nothing has run.

        Raises:
            EnvironmentFailed: A manifest cannot be read.
            LaunchFailed: A folder or a program is not there.

        Cancellation: nothing changes.
        """
        if not await self._begun.wait():
            return self._give_up()
        before, workspace = self.prepared, self.prepared.workspace
        if study.plan.steps:
            return "something runs before it"
        if await environment_key(self._context, study, workspace.project) != before.environment.key:
            return "its environment is another one"
        prepared = prepare_launch(self._preview, self._context, workspace, study, before.environment)
        variables = keep_made_up(study.plan, prepared.variables, before.plan, before.variables)
        prepared = replace(prepared, variables=variables)
        spec = serving_spec(self._preview, prepared, self.under_way.control, number=_FIRST)
        if not self._begun.is_for(spec):
            return "its command, its variables, its network or its modules are others"
        self.prepared, self.under_way = prepared, replace(self.under_way, spec=spec)
        return None

    def _give_up(self) -> str | None:
        """Discard the process: if none of its code has run, start as usual."""
        if self._begun.has_run:
            return "it could not be started"
        self.runs = False
        self.turn.give_back()
        self.under_way.held.close()
        return None

    def go_on(self, environment: Environment) -> str | None:
        """Adopt the process in this environment, now leased; a string says how it differs."""
        if environment.key != self.prepared.environment.key or environment.how == "built":
            return "its environment was made again"
        if not self._begun.is_for(self.under_way.spec):
            return "its template was replaced"
        # Only now it is one of the preview's processes.
        self._preview.next_number()
        self.prepared = replace(self.prepared, environment=environment)
        return None


@asynccontextmanager
async def open_speculative_start(
    preview: LivePreview, context: SupervisorContext, workspace: Workspace, known: StartRecord | None
) -> AsyncIterator[SpeculativeStart | None]:
    """Begin the start with what it is likely to be; the files are in their place.

    Args:
        preview: Whose.
        context: For what all previews share.
        workspace: The preview's.
        known: What a fork was reserved for.

    Yields:
        None where nothing is known, nothing is ready for it, or it is not its turn: then nothing runs.

    Cancellation: what has started is gone, unless the preview has gone on with it.
    """
    with ExitStack() as held:
        if known is not None and not _is_possible(preview, context, known):
            known = None
        turn = None if known is None else held.enter_context(context.starting.open_turn_now())
        begins = None if known is None or turn is None else _prepare(preview, context, workspace, known, held)
        if turn is None or begins is None:
            held.close()
            yield None
            return
        prepared, under_way = begins
        async with context.runtime.begin(under_way.spec) as begun:
            if begun is None:
                held.close()
                yield None
            else:
                yield SpeculativeStart(preview, context, begun, prepared, under_way, turn)


def _prepare(
    preview: LivePreview, context: SupervisorContext, workspace: Workspace, known: StartRecord, held: ExitStack
) -> tuple[PreparedLaunch, StartedProcess] | None:
    """Prepare the process; None if that is impossible."""
    try:
        prepared = prepare_launch(preview, context, workspace, known.study, known.environment)
        channel = held.enter_context(ExitStack())
        control = channel.enter_context(open_control())
        return prepared, StartedProcess(serving_spec(preview, prepared, control, number=_FIRST), control, channel)
    except (PreviewError, OSError) as error:
        log.debug("speculative start skipped", preview_id=preview.id, why=str(error))
        return None


def _is_possible(preview: LivePreview, context: SupervisorContext, known: StartRecord) -> bool:
    """Return whether it can be started, regardless of its files, and may be visible to this code."""
    plan = known.study.plan
    if plan.steps or choose_network(context.settings, plan) is not Network.NONE:
        return False
    origins = frozenset(one.origin for one in plan.variables.values())
    # What a launch is given decides over all else: another one's is not this one's.
    has_overrides = preview.overrides is not None and not preview.overrides.is_empty
    if has_overrides != (Origin.REQUEST in origins):
        return False
    return _may_see(preview, known, origins)


def _may_see(preview: LivePreview, known: StartRecord, origins: frozenset[Origin]) -> bool:
    """Return whether it reveals nothing of another project, or of one generation's own overrides.

    What is known is of the same user (``StartHistory.find``): ids say nothing beyond that.
    """
    if known.generation_id == preview.record.generation_id:
        return True
    if known.project_id == preview.record.project_id:
        return origins.isdisjoint(_GIVEN)
    return origins <= {Origin.SUPPLIED}
