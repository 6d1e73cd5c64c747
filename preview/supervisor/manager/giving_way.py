"""When the service ends, all previews end at the same moment, and the service has to get on beside them."""

from __future__ import annotations

from collections.abc import Iterable

from preview.runtime import ProcessIdentity
from preview.runtime.process.priority import give_way
from preview.supervisor.preview.live_preview import LivePreview


def lower_preview_priority(previews: Iterable[LivePreview]) -> None:
    """Let previews that are about to end have processor time after the service.

    Where control groups divide it, the service has its share already.
    """
    give_way(leader for one in previews if (leader := _leader_without_group(one)) is not None)


def _leader_without_group(preview: LivePreview) -> ProcessIdentity | None:
    record, confinement = preview.record, preview.confinement
    if preview.exit is not None or confinement is None or "cpu" in confinement.held:
        return None
    if record.pid is None or record.pid_start_ticks is None or record.boot_id is None:
        return None
    return ProcessIdentity(record.pid, record.pid_start_ticks, record.boot_id)
