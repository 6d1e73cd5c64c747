"""History of starts and environments, so that the next one can start before its files are read."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import structlog
import trio

from preview.core.bounded_dict import BoundedDict
from preview.environments import Environment
from preview.runtime import ProcessSpec
from preview.settings import Settings
from preview.supervisor.launch.project_analysis import ProjectAnalysis
from preview.supervisor.launch.warming import Whose, template_spec, warm_start
from preview.supervisor.launch.workspace import Workspace, workspace_root

log = structlog.get_logger(__name__)

_MOST_KNOWN: Final = 1000


@dataclass(frozen=True, slots=True)
class StartRecord:
    """Record of a generation's start or preparation.

    Attributes:
        generation_id: Which.
        project_id: Its project, an id that its user has chosen: another user may have the same.
        user_id: Its user.
        environment: Where it runs.
        study: What its files say.
    """

    generation_id: str
    project_id: str
    user_id: str
    environment: Environment
    study: ProjectAnalysis

    @property
    def whose(self) -> Whose:
        """Owner of its project."""
        return Whose(self.user_id, self.project_id)


class StartHistory:
    """The last thousand generations' starts or preparations, and the last one of each user.

    Their next start begins with that, and may find that it is something else by now. A generation that nothing is known
    of is likely to be the next state of what its user has had before, with the same packages.
    """

    def __init__(self) -> None:
        # By user and generation, and by user.
        self._known: BoundedDict[tuple[str, ...], StartRecord] = BoundedDict(_MOST_KNOWN)
        self._of_users: BoundedDict[tuple[str, ...], StartRecord] = BoundedDict(_MOST_KNOWN)
        self._last: StartRecord | None = None
        self._noted = trio.Event()

    def note(self, start: StartRecord) -> None:
        """Note a start that is imminent or expected."""
        self._known[start.user_id, start.generation_id] = start
        self._of_users[start.user_id,] = start
        self.expect(start)

    def find(self, generation_id: str, whose: Whose) -> StartRecord | None:
        """Find this user's likely next start of the generation; None if nothing is known.

        It never says what another user has started, whatever ids the two have chosen.

        Args:
            generation_id: Which.
            whose: Whose project it is of. What has imported another project's own packages is nothing for it.
        """
        start = self._known.get((whose.user_id, generation_id)) or self._of_users.get((whose.user_id,))
        return None if start is None or (start.environment.is_own and start.whose != whose) else start

    def expect(self, start: StartRecord) -> None:
        """Another start like this is likely."""
        self._last = start
        self._noted.set()

    async def wait_noted(self) -> StartRecord:
        """Wait until a start was noted that nobody has waited for; the last of them. For one task.

        Cancellation: it is the next one's.
        """
        await self._noted.wait()
        self._noted = trio.Event()
        assert self._last is not None, "it was noted"  # noqa: S101
        return self._last


def early_spec(
    settings: Settings,
    start: StartRecord,
    workspace: Workspace,
    *,
    preview_id: str,
    listener: socket.socket,
    tell: Callable[[str], None] = log.debug,
) -> ProcessSpec | None:
    """Return the spec for ``Runtime.reserve``; None if this kind has no templates.

    Args:
        settings: The service's.
        start: What it is likely to be.
        workspace: The preview's.
        preview_id: Its id.
        listener: Of its port.
        tell: See ``WarmStart``.
    """
    warm = warm_start(settings, start.study, start.environment, start.whose, tell)
    if warm is None:
        return None
    return replace(
        template_spec(settings, start.environment, workspace.project, warm),
        preview_id=preview_id,
        listener=listener,
        writable=workspace.folders,
        slot=listener.getsockname()[1],
    )


def prepared_spec(settings: Settings, start: StartRecord) -> ProcessSpec | None:
    """Return the spec for ``Runtime.wait_prepared``; None if this kind has no templates."""
    warm = warm_start(settings, start.study, start.environment, start.whose, log.debug)
    return None if warm is None else template_spec(settings, start.environment, workspace_root(settings), warm)
