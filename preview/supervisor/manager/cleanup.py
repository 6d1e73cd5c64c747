"""Reconciliation after a crash, and a periodic cleanup as a safety net for exact deadlines.

A killed service leaves rows with the state ``running``, folders, and at worst processes: its leaders die with it, but
their helpers may not. All of these are leftovers when the service starts, because it holds the data folder's lock.
Reconciliation removes them before the first request is served.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import structlog
import trio

from preview.cluster import node_name
from preview.core.clock import now_ms, utc_now
from preview.core.launch_steps import StepState, end_steps
from preview.core.lifecycle import Health, State
from preview.errors import PreviewError
from preview.runtime import ProcessIdentity, boot_id, end_tree
from preview.settings import Settings
from preview.storage import PreviewRecord, PreviewStore
from preview.supervisor.launch.start_queue import SupervisorContext
from preview.supervisor.launch.workspace import make_roots, preview_folders, remove_tree, workspace_root
from preview.supervisor.manager.manager import PreviewManager
from preview.supervisor.preview.service_log import log_transition

log = structlog.get_logger(__name__)

# Killing takes milliseconds; a process stuck in the kernel must not block the service's start.
_KILL_BUDGET_S = 5.0
_MOST_TOLD = 10
_AS_ROOT_OF_RANGE = ("unshare", "--map-root-user", "--map-auto", "--")
_REASON = "failed: the service ended unexpectedly while this preview was live"


@dataclass(frozen=True, slots=True)
class Reconciled:
    """Result of the reconciliation.

    Attributes:
        rows: Number of previews with a live state in the database, now ``failed`` or ``stopped``.
        processes: Number of killed processes.
        folders: Number of previews whose folders were removed.
    """

    rows: int
    processes: int
    folders: int


async def reconcile(settings: Settings, store: PreviewStore) -> Reconciled:
    """Reconcile processes, folders and rows after a crash.

    Changes only rows whose folder is in this service's data folder, because another service may share the database.

    Raises:
        DatabaseUnavailable: The rows cannot be read or written.

    Cancellation: completed changes stay; the next start does the rest.
    """
    root = workspace_root(settings)
    unfinished = await store.unfinished()
    rows = [one for one in unfinished if one.directory and Path(one.directory).parent == root]
    folders = await trio.to_thread.run_sync(_folder_names, settings)
    processes = 0
    running, own = await store.owners() if settings.cluster else {}, node_name(settings)
    # Other nodes of a cluster may run on this machine, and its marked processes may be theirs.
    theirs = {
        one.id
        for one in unfinished
        if (owner := running.get(one.id)) and owner.node not in {None, own} and one.boot_id in {None, boot_id()}
    }
    with trio.move_on_after(_KILL_BUDGET_S) as scope:
        leaders = [_identity(one) for one in rows]
        processes = await end_tree(
            ({one.id for one in rows} | folders) - theirs, [identity for identity in leaders if identity is not None]
        )
    if scope.cancelled_caught:
        log.error("earlier processes survived SIGKILL")
    for row in rows:
        owner = running.get(row.id)
        if owner is not None and (not owner.is_trial or owner.node != own):
            # Any node of the cluster restarts it. Another node's trial runs there, whose folders may have equal names.
            continue
        ended = _ended(row)
        await store.update(ended)
        # The uptime is unknown: the preview ended before this start.
        log_transition(ended)
    removed = await remove_leftover_folders(settings, is_live=lambda _: False)
    await trio.to_thread.run_sync(_tell_foreign, settings)
    make_roots(*preview_folders(settings))
    found = Reconciled(len(rows), processes, removed)
    if found != Reconciled(0, 0, 0):
        log.warning("reconciled after crash", rows=found.rows, processes=found.processes, folders=found.folders)
    return found


def _identity(record: PreviewRecord) -> ProcessIdentity | None:
    if record.pid is None or record.pid_start_ticks is None or record.boot_id is None:
        return None
    return ProcessIdentity(record.pid, record.pid_start_ticks, record.boot_id)


def _ended(record: PreviewRecord) -> PreviewRecord:
    """Return the final record of a live row: a stopping preview has stopped, any other has failed."""
    state = State.STOPPED if record.state is State.STOPPING else State.FAILED
    reason = record.reason if state is State.STOPPED else _REASON
    how = StepState.STOPPED if state is State.STOPPED else StepState.FAILED
    steps = end_steps(record.steps, how, None, reason)
    return replace(record, state=state, health=Health.UNKNOWN, reason=reason, stopped_at=utc_now(), steps=steps)


def _folder_names(settings: Settings) -> frozenset[str]:
    """Return the ids of previews that have a folder."""
    names: set[str] = set()
    for parent in preview_folders(settings):
        if parent.is_dir():
            names.update(path.name for path in parent.iterdir() if path.name.startswith("preview_"))
    return frozenset(names)


async def remove_leftover_folders(settings: Settings, *, is_live: Callable[[str], bool]) -> int:
    """Remove the folders of all previews that are not live; return how many previews had one.

    Folders that only root of a range of ids may remove stay; they are not counted.

    Args:
        settings: Location of the folders.
        is_live: Returns True for the id of a live preview. Called after the folders are listed: a preview is registered
            before its folder exists, so a preview launched meanwhile is safe.

    Cancellation: the current folder is removed in the background.
    """
    found = await trio.to_thread.run_sync(_folder_names, settings)
    foreign = await trio.to_thread.run_sync(_foreign_folders, settings, found)
    leftovers = [name for name in sorted(found) if not is_live(name) and name not in foreign]
    for name in leftovers:
        for parent in preview_folders(settings):
            await remove_tree(parent / name)
    return len(leftovers)


def _foreign_folders(settings: Settings, names: Iterable[str]) -> Mapping[str, list[Path]]:
    """Return the folders that an ordinary user may not empty, by preview.

    A killed service that ran as root of a range of ids leaves them to a service that does not.
    """
    if os.geteuid() == 0:
        return {}
    parents = preview_folders(settings)
    found = {name: [parent / name for parent in parents if _is_foreign(parent / name)] for name in names}
    return {name: folders for name, folders in found.items() if folders}


def _is_foreign(folder: Path) -> bool:
    """Return whether the folder, or a folder directly in it, belongs to another user."""
    own = os.geteuid()
    with suppress(FileNotFoundError):
        # In this order: another user's folder cannot be listed.
        return folder.lstat().st_uid != own or any(one.lstat().st_uid != own for one in folder.iterdir())
    return False


def _tell_foreign(settings: Settings) -> None:
    foreign = _foreign_folders(settings, _folder_names(settings))
    if foreign:
        folders = [str(folder) for one in list(foreign.values())[:_MOST_TOLD] for folder in one]
        log.warning(
            "folders of other users left",
            previews=len(foreign),
            advice="These were left by a service that was killed while it ran each preview as a separate user. Start "
            "the service without --one-user, or run "
            f"`{shlex.join([*_AS_ROOT_OF_RANGE, 'rm', '-rf', *folders])}`",
        )


# Late enough not to slow down the first launches.
_FIRST_S = 20.0
_ENDS_S = 1.0


async def run_cleanup(
    manager: PreviewManager,
    context: SupervisorContext,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Clean up every ``cleanup_interval_s`` seconds, until cancelled. One task, in the service's nursery.

    Cancellation: the current step may be incomplete; the next run does the rest.
    """
    task_status.started()
    # Run soon after the start: a killed service has left work, and a short run would not reach the end of an interval.
    pause_s = min(_FIRST_S, context.settings.cleanup_interval_s)
    while True:
        with trio.move_on_after(pause_s):
            await _follow_up(manager, context)
        await clean_once(manager, context)
        pause_s = context.settings.cleanup_interval_s


async def _follow_up(manager: PreviewManager, context: SupervisorContext) -> None:
    """Retry pending rows and delete disowned previews, every second."""
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
        # An error that leaves this task would cancel the nursery of all previews.
        log.exception("follow-up failed", what=what)


async def clean_once(manager: PreviewManager, context: SupervisorContext) -> None:
    """Run all cleanup steps; a step that fails is logged, and the others still run.

    Cancellation: see ``run_cleanup``.
    """
    steps: tuple[Callable[[], Awaitable[int]], ...] = (
        manager.store_pending,
        context.store.delete_disowned,
        lambda: remove_leftover_folders(context.settings, is_live=manager.is_held),
        lambda: context.store.delete_ended_before(now_ms() - int(context.settings.log_retention_s * 1000)),
        context.environments.evict,
        *([] if context.snapshots is None else [context.snapshots.remove_deleted]),
    )
    names = ("rows", "deleted generations' previews", "folders", "ended previews", "environments", "deleted snapshots")
    for name, step in zip(names, steps, strict=False):
        try:
            count = await step()
        except (PreviewError, OSError) as error:
            log.warning("cleanup step failed", step=name, error=str(error))
        except Exception:
            # An error that leaves this task would cancel the nursery of all previews.
            log.exception("cleanup step failed", step=name)
        else:
            if count:
                log.info("cleaned up", what=name, count=count)
