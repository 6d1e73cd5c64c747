"""The safety net behind exact deadlines: at an interval, look for what should not be there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
import trio

from preview.core.clock import now_ms
from preview.errors import PreviewError
from preview.supervisor.launch.context import SupervisorContext
from preview.supervisor.manager.manager import PreviewManager
from preview.supervisor.manager.reconcile import remove_leftover_folders

log = structlog.get_logger(__name__)


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
            await _try("ends not stored yet", manager.store_pending)
        await _try("previews of deleted generations not deleted yet", manager.delete_disowned)


async def _try(what: str, step: Callable[[], Awaitable[int]]) -> None:
    try:
        await step()
    except PreviewError as error:
        log.info(what, error=error.message)
    except Exception:
        # A mistake here would leave this task for the nursery that all previews share.
        log.exception(what)


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
