"""A start that is begun like the last one of its project, while the files are read that decide how it goes.

From one generation to the next a project's code changes, and how it starts mostly does not. Where it does, what has
begun is ended, and the start begins anew in empty folders: nothing of what it did or printed is the preview's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace

import structlog

from preview.detection import Origin
from preview.environments import Environment
from preview.errors import PreviewError
from preview.isolation import Network
from preview.runtime import Begun
from preview.supervisor.active import ActivePreview
from preview.supervisor.control import open_control
from preview.supervisor.house import House
from preview.supervisor.known_starts import Start
from preview.supervisor.network import choose_network
from preview.supervisor.planning import environment_key
from preview.supervisor.serving import UnderWay, serving_spec
from preview.supervisor.staging import make_stage
from preview.supervisor.steps import Stage
from preview.supervisor.study import Study
from preview.supervisor.turns import Turn
from preview.supervisor.variables import keep_made_up
from preview.supervisor.workspace import Workspace

__all__ = ["Early", "open_early"]

log = structlog.get_logger(__name__)

# What a project's files or its launch give is that generation's own.
_GIVEN = frozenset({Origin.PROJECT, Origin.REQUEST})
# Which process of the preview it is: nothing has run before it.
_FIRST = 1


class Early:
    """A process that runs as the last start of its project did. Made by ``open_early`` alone.

    Attributes:
        stage: What it was started from; what its own files say, once ``differs`` has found that to be the same.
        turn: Its turn to start, which it has.
        under_way: The process, for whoever goes on with it.
        runs: Whether there is one.
    """

    def __init__(
        self, preview: ActivePreview, house: House, begun: Begun, stage: Stage, under_way: UnderWay, turn: Turn
    ) -> None:
        self._preview = preview
        self._house = house
        self._begun = begun
        self.stage = stage
        self.turn = turn
        self.under_way = under_way
        self.runs = True

    async def differs(self, study: Study) -> str | None:
        """What these files want otherwise, as half a sentence; None where they start just so, or nothing has run.

        Raises:
            EnvironmentFailed: A manifest cannot be read.
            LaunchFailed: A folder or a program is not there.

        Cancellation: nothing changes.
        """
        if not await self._begun.wait():
            return self._give_up()
        before, workspace = self.stage, self.stage.workspace
        if study.plan.steps:
            return "something runs ahead of it"
        if await environment_key(self._house, study, workspace.project) != before.environment.key:
            return "its environment is another one"
        stage = make_stage(self._preview, self._house, workspace, study, before.environment)
        variables = keep_made_up(study.plan, stage.variables, before.plan, before.variables)
        stage = replace(stage, variables=variables)
        spec = serving_spec(self._preview, stage, self.under_way.control, number=_FIRST)
        if not self._begun.is_for(spec):
            return "its command, its variables, its network or its modules are others"
        self.stage, self.under_way = stage, replace(self.under_way, spec=spec)
        return None

    def _give_up(self) -> str | None:
        """It did not come to it: where none of its code has run, the start is as any other."""
        if self._begun.has_run:
            return "it could not be begun"
        self.runs = False
        self.turn.give_back()
        self.under_way.held.close()
        return None

    def go_on(self, environment: Environment) -> str | None:
        """It is the preview's in this environment, which is held now; or why that was another when it began."""
        if environment.key != self.stage.environment.key or environment.how == "built":
            return "its environment was made anew"
        if not self._begun.is_for(self.under_way.spec):
            return "its template was replaced"
        # Only now it is one of the preview's processes.
        self._preview.next_number()
        self.stage = replace(self.stage, environment=environment)
        return None


@asynccontextmanager
async def open_early(
    preview: ActivePreview, house: House, workspace: Workspace, known: Start | None
) -> AsyncIterator[Early | None]:
    """Begin the start with what it is likely to be; the files are in their place.

    Args:
        preview: Whose.
        house: For what all previews share.
        workspace: The preview's.
        known: What a fork was reserved for.

    Yields:
        None where nothing is known, nothing is ready for it, or it is not its turn: then nothing runs.

    Cancellation: what has begun is gone, unless the preview has gone on with it.
    """
    with ExitStack() as held:
        if known is not None and not _is_possible(preview, house, known):
            known = None
        turn = None if known is None else held.enter_context(house.starting.open_turn_now())
        begins = None if known is None or turn is None else _prepare(preview, house, workspace, known, held)
        if turn is None or begins is None:
            held.close()
            yield None
            return
        stage, under_way = begins
        async with house.runtime.begin(under_way.spec) as begun:
            if begun is None:
                held.close()
                yield None
            else:
                yield Early(preview, house, begun, stage, under_way, turn)


def _prepare(
    preview: ActivePreview, house: House, workspace: Workspace, known: Start, held: ExitStack
) -> tuple[Stage, UnderWay] | None:
    """What is to run; None where that cannot be."""
    try:
        stage = make_stage(preview, house, workspace, known.study, known.environment)
        channel = held.enter_context(ExitStack())
        control = channel.enter_context(open_control())
        return stage, UnderWay(serving_spec(preview, stage, control, number=_FIRST), control, channel)
    except (PreviewError, OSError) as error:
        log.debug("a start is not begun early", preview_id=preview.id, why=str(error))
        return None


def _is_possible(preview: ActivePreview, house: House, known: Start) -> bool:
    """Whether it can be begun, as far as its files do not count, and is for this code to see."""
    plan = known.study.plan
    if plan.steps or choose_network(house.settings, plan) is not Network.NONE:
        return False
    origins = frozenset(one.origin for one in plan.variables.values())
    # What a launch is given decides over all else: another one's is not this one's.
    has_overrides = preview.overrides is not None and not preview.overrides.is_empty
    if has_overrides != (Origin.REQUEST in origins):
        return False
    return _may_see(preview, known, origins)


def _may_see(preview: ActivePreview, known: Start, origins: frozenset[Origin]) -> bool:
    """Whether nothing of another project, or that a generation was given for itself, reaches this one by it.

    What is known is of the same user (``KnownStarts.find``): ids say nothing beyond that.
    """
    if known.generation_id == preview.record.generation_id:
        return True
    if known.project_id == preview.record.project_id:
        return origins.isdisjoint(_GIVEN)
    return origins <= {Origin.SUPPLIED}
