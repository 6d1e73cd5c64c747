"""The safety net behind exact deadlines: at an interval, look for what should not be there.

After a crash of the service: make processes, folders and rows agree before anything is answered.

A service that was killed leaves rows that say ``running``, folders, and at worst processes (its leaders die with it,
their helpers may not). Nothing of that is live when the service starts, because it holds the data folder's lock.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import structlog
import trio

from preview.core.clock import now_ms, utc_now
from preview.core.launch_steps import StepState, end_steps
from preview.core.lifecycle import Health, State
from preview.errors import PreviewError
from preview.runtime import ProcessIdentity, end_tree
from preview.settings import Settings
from preview.storage import PreviewRecord, PreviewStore
from preview.supervisor.launch.start_queue import SupervisorContext
from preview.supervisor.launch.workspace import make_roots, remove_tree, workspace_root
from preview.supervisor.manager.manager import PreviewManager
from preview.supervisor.preview.service_log import log_transition

log = structlog.get_logger(__name__)

# Killing takes milliseconds; a process stuck in the kernel must not keep the service from starting.
_KILL_BUDGET_S = 5.0
_REASON = "failed: the service ended unexpectedly while this preview was live"


@dataclass(frozen=True, slots=True)
class Reconciled:
    """Result of the clean-up at a start.

    Attributes:
        rows: Previews that were live for the database, and are ``failed`` or ``stopped`` now.
        processes: Processes that were killed.
        folders: Folders that were removed.
    """

    rows: int
    processes: int
    folders: int


async def reconcile(settings: Settings, store: PreviewStore) -> Reconciled:
    """Make machine and database agree.

    Only rows whose folder lies in this service's data folder are touched: another service may share the database.

    Raises:
        DatabaseUnavailable: The rows cannot be read or written.

    Cancellation: what was put right stays so; the next start does the rest.
    """
    root = workspace_root(settings)
    rows = [one for one in await store.unfinished() if one.directory and Path(one.directory).parent == root]
    folders = await trio.to_thread.run_sync(_folder_names, settings)
    processes = 0
    with trio.move_on_after(_KILL_BUDGET_S) as scope:
        leaders = [_identity(one) for one in rows]
        processes = await end_tree(
            {one.id for one in rows} | folders, [identity for identity in leaders if identity is not None]
        )
    if scope.cancelled_caught:
        log.error("earlier processes survived SIGKILL")
    for row in rows:
        ended = _ended(row)
        await store.update(ended)
        # How long it was up is not known: it ended before this start.
        log_transition(ended)
    removed = await remove_leftover_folders(settings, is_live=lambda _: False)
    make_roots(workspace_root(settings), settings.resolved_db_path)
    found = Reconciled(len(rows), processes, removed)
    if found != Reconciled(0, 0, 0):
        log.warning("reconciled after crash", rows=found.rows, processes=found.processes, folders=found.folders)
    return found


def _identity(record: PreviewRecord) -> ProcessIdentity | None:
    if record.pid is None or record.pid_start_ticks is None or record.boot_id is None:
        return None
    return ProcessIdentity(record.pid, record.pid_start_ticks, record.boot_id)


def _ended(record: PreviewRecord) -> PreviewRecord:
    """Return a live row's end: a stopping one has stopped, any other has failed."""
    state = State.STOPPED if record.state is State.STOPPING else State.FAILED
    reason = record.reason if state is State.STOPPED else _REASON
    how = StepState.STOPPED if state is State.STOPPED else StepState.FAILED
    steps = end_steps(record.steps, how, None, reason)
    return replace(record, state=state, health=Health.UNKNOWN, reason=reason, stopped_at=utc_now(), steps=steps)


def _folder_names(settings: Settings) -> frozenset[str]:
    """Ids of previews that have a folder."""
    names: set[str] = set()
    for parent in (workspace_root(settings), settings.resolved_db_path):
        if parent.is_dir():
            names.update(path.name for path in parent.iterdir() if path.name.startswith("preview_"))
    return frozenset(names)


async def remove_leftover_folders(settings: Settings, *, is_live: Callable[[str], bool]) -> int:
    """Remove the folders of all previews but the live ones; how many previews had one.

    Args:
        settings: Where they are.
        is_live: Whether the preview of this id lives. Asked when the folders are listed: a preview is known before it
            has a folder, and one may be launched while they are.

    Cancellation: the folder under way is removed in the background.
    """
    found = await trio.to_thread.run_sync(_folder_names, settings)
    leftovers = [name for name in sorted(found) if not is_live(name)]
    for name in leftovers:
        for parent in (workspace_root(settings), settings.resolved_db_path):
            await remove_tree(parent / name)
    return len(leftovers)


# Out of the way of the first launches.
_FIRST_S = 20.0
_ENDS_S = 1.0


async def run_cleanup(
    manager: PreviewManager,
    context: SupervisorContext,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Clean each ``cleanup_interval_s`` seconds, until cancelled. One task, in the service's nursery.

    Cancellation: the step under way may be half done; the next run does the rest.
    """
    task_status.started()
    # The first soon: a killed service left things half done, and a short run would never see the end of the interval.
    pause_s = min(_FIRST_S, context.settings.cleanup_interval_s)
    while True:
        with trio.move_on_after(pause_s):
            await _follow_up(manager, context)
        await clean_once(manager, context)
        pause_s = context.settings.cleanup_interval_s


async def _follow_up(manager: PreviewManager, context: SupervisorContext) -> None:
    """Do soon what nobody waits for: rows that the database did not take, previews whose generation was deleted."""
    while True:
        await trio.sleep(_ENDS_S)
        if context.pending:
            await _try("ends of previews", manager.store_pending)
        await _try("previews of deleted generations", manager.delete_disowned)


async def _try(what: str, step: Callable[[], Awaitable[int]]) -> None:
    try:
        await step()
    except PreviewError as error:
        log.info("follow-up failed", what=what, error=error.message)
    except Exception:
        # A mistake here would leave this task for the nursery that all previews share.
        log.exception("follow-up failed", what=what)


async def clean_once(manager: PreviewManager, context: SupervisorContext) -> None:
    """Take each step; one that fails is logged and does not keep the others from being taken.

    Cancellation: as ``run_cleanup``.
    """
    steps: tuple[Callable[[], Awaitable[int]], ...] = (
        manager.store_pending,
        context.store.delete_disowned,
        lambda: remove_leftover_folders(context.settings, is_live=manager.is_held),
        lambda: context.store.delete_ended_before(now_ms() - int(context.settings.log_retention_s * 1000)),
        context.environments.evict,
    )
    for name, step in zip(
        ("rows", "deleted generations' previews", "folders", "ended previews", "environments"), steps, strict=True
    ):
        try:
            count = await step()
        except (PreviewError, OSError) as error:
            log.warning("cleanup step failed", step=name, error=str(error))
        except Exception:
            # A mistake here would leave this task for the nursery that all previews share.
            log.exception("cleanup step failed", step=name)
        else:
            if count:
                log.info("cleaned up", what=name, count=count)
