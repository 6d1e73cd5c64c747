"""A preview's row while it lives: brought up to date, whatever the database does."""

from __future__ import annotations

import structlog
import trio

from preview.errors import PreviewError
from preview.supervisor.launch.start_queue import SupervisorContext
from preview.supervisor.preview.live_preview import LivePreview

log = structlog.get_logger(__name__)

# Last lines to the database, then the row: two short transactions. A flood's last lines may still be on their way then:
# they are written all the same, and a reader of the log waits for them.
FLUSH_S = 0.3
STORE_S = 2.0


async def save(preview: LivePreview, context: SupervisorContext) -> None:
    """Bring the row up to date; a database that is away is no reason to end a preview that runs.

    Cancellation: the row may be one change behind; the end brings it up to date.
    """
    try:
        await context.store.update(preview.record)
    except PreviewError as error:
        log.warning("row not updated", preview_id=preview.id, code=error.code, error=error.message)


async def save_stopping(preview: LivePreview, context: SupervisorContext) -> None:
    """Beside the stop itself: a service killed in the middle of it finds ``stopping`` in the row, not ``running``.

    Cancellation: shielded from it, within bounds.
    """
    with trio.move_on_after(STORE_S, shield=True):
        await save(preview, context)


async def store_end(preview: LivePreview, context: SupervisorContext) -> None:
    """Last lines, then the row; what the database does not take in time is kept for the cleanup.

    Cancellation: as if the time were over.
    """
    context.pending[preview.id] = preview.record
    with trio.move_on_after(FLUSH_S):
        await context.writer.flush(preview.id)
    with trio.move_on_after(STORE_S):
        try:
            await context.store.update(preview.record)
        except PreviewError as error:
            log.warning("end not stored yet", preview_id=preview.id, code=error.code, error=error.message)
        except Exception:
            # A mistake here would leave this task for the nursery that all previews share.
            log.exception("end not stored yet", preview_id=preview.id)
        else:
            # The cleanup may have stored it meanwhile.
            context.pending.pop(preview.id, None)
