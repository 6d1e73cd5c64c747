"""Updates of a live preview's row that tolerate an unavailable database."""

from __future__ import annotations

import structlog
import trio

from preview.errors import PreviewError
from preview.supervisor.launch.start_queue import SupervisorContext
from preview.supervisor.preview.live_preview import LivePreview

log = structlog.get_logger(__name__)

# Deadlines for flushing the last lines and for the row, two short transactions. Lines that are still queued after that
# are stored later, and readers of the log wait for them.
FLUSH_S = 0.3
STORE_S = 2.0


async def save(preview: LivePreview, context: SupervisorContext) -> None:
    """Update the row; a database failure does not end a running preview.

    Cancellation: the row may be one change behind; the final update corrects that.
    """
    try:
        await context.store.update(preview.record)
    except PreviewError as error:
        log.warning("row not updated", preview_id=preview.id, code=error.code, error=error.message)


async def save_stopping(preview: LivePreview, context: SupervisorContext) -> None:
    """Update the row during a stop, so that a service killed in the middle leaves ``stopping``, not ``running``.

    Cancellation: shielded, with a deadline.
    """
    with trio.move_on_after(STORE_S, shield=True):
        await save(preview, context)


async def store_end(preview: LivePreview, context: SupervisorContext) -> None:
    """Flush the last lines, then store the final row; a row that cannot be stored in time stays pending.

    Cancellation: as at the deadline.
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
            # An error that leaves this task would cancel the nursery of all previews.
            log.exception("end not stored yet", preview_id=preview.id)
        else:
            # The cleanup may already have stored and removed it.
            context.pending.pop(preview.id, None)
