"""History of starts and environments, so that the next launch can start before its files are read."""

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
from preview.storage import PreviewRecord
from preview.supervisor.launch.project_analysis import ProjectAnalysis
from preview.supervisor.launch.warming import Whose, template_spec, warm_start
from preview.supervisor.launch.workspace import Workspace, workspace_root
from preview.supervisor.preview.mends import Mends

log = structlog.get_logger(__name__)

_MOST_KNOWN: Final = 1000


@dataclass(frozen=True, slots=True)
class StartRecord:
    """Record of a generation's start or preparation.

    Attributes:
        generation_id: The generation.
        project_id: Its project. The user chooses this id, so another user may have the same.
        user_id: Its user.
        environment: The environment used.
        analysis: Analysis of its files.
    """

    generation_id: str
    project_id: str
    user_id: str
    environment: Environment
    analysis: ProjectAnalysis

    @property
    def whose(self) -> Whose:
        """Owner and project."""
        return Whose(self.user_id, self.project_id)


class StartHistory:
    """Starts and preparations of the last thousand generations, and the last one of each project and each user.

    The next start of a generation assumes the same, and checks that later. An unknown generation is likely to be the
    next version of its project, with the same packages; a new project is likely to have those of its user's last one.
    """

    def __init__(self) -> None:
        # Keys: user and generation; user and project; user alone.
        self._known: BoundedDict[tuple[str, ...], StartRecord] = BoundedDict(_MOST_KNOWN)
        self._of_projects: BoundedDict[tuple[str, ...], StartRecord] = BoundedDict(_MOST_KNOWN)
        self._of_users: BoundedDict[tuple[str, ...], StartRecord] = BoundedDict(_MOST_KNOWN)
        # What attempts of a launch have added: the next launch of the same files begins with it.
        self._mends: BoundedDict[tuple[str, str, int | None], Mends] = BoundedDict(_MOST_KNOWN)
        self._last: StartRecord | None = None
        self._noted = trio.Event()

    def note(self, start: StartRecord) -> None:
        """Record a start that is imminent or expected."""
        self._known[start.user_id, start.generation_id] = start
        self._of_projects[start.user_id, start.project_id] = start
        self._of_users[start.user_id,] = start
        self.expect(start)

    def note_mends(self, record: PreviewRecord, mends: Mends) -> None:
        """Record what a launch has added, now that it runs."""
        if record.revision is None and mends.overrides.is_own_start:
            # Changed files would have no other key, and could have mended the application.
            return
        self._mends[record.user_id, record.generation_id, record.revision] = replace(mends, offer=None)

    def mends_of(self, record: PreviewRecord) -> Mends:
        """Return what the last launch of the same files has added; nothing, if that is not known."""
        known = self._mends.get((record.user_id, record.generation_id, record.revision))
        return Mends() if known is None else replace(known, tried=frozenset(), before=Mends())

    def find(self, generation_id: str, whose: Whose) -> StartRecord | None:
        """Return the likely start of the generation, from this user's history; None if nothing is known.

        Starts of other users are never returned, whatever ids they have chosen.

        Args:
            generation_id: The generation.
            whose: Its owner and project. A start in an environment with another project's own packages is not returned.
        """
        user_id = whose.user_id
        start = (
            self._known.get((user_id, generation_id))
            or self._of_projects.get((user_id, whose.project_id))
            or self._of_users.get((user_id,))
        )
        return None if start is None or (start.environment.is_own and start.whose != whose) else start

    def expect(self, start: StartRecord) -> None:
        """Record that another start like this is likely."""
        self._last = start
        self._noted.set()

    async def wait_noted(self) -> StartRecord:
        """Wait until a start is recorded that no earlier call has returned; return the last one. For one task.

        Cancellation: the next call returns it.
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
    """Return the spec for ``Runtime.reserve``; None if this kind of application has no templates.

    Args:
        settings: The service's settings.
        start: The expected start.
        workspace: The preview's folders.
        preview_id: The preview's id.
        listener: The preview's listening socket.
        tell: See ``WarmStart``.
    """
    warm = warm_start(settings, start.analysis, start.environment, start.whose, tell)
    if warm is None:
        return None
    return replace(
        template_spec(settings, start.environment, workspace.project, warm),
        preview_id=preview_id,
        listener=listener,
        writable=workspace.folders,
        around=workspace.root,
        slot=listener.getsockname()[1],
    )


def prepared_spec(settings: Settings, start: StartRecord) -> ProcessSpec | None:
    """Return the spec for ``Runtime.wait_prepared``; None if this kind of application has no templates."""
    warm = warm_start(settings, start.analysis, start.environment, start.whose, log.debug)
    return None if warm is None else template_spec(settings, start.environment, workspace_root(settings), warm)
