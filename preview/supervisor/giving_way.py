"""When the service ends, all previews end at the same moment, and the service has to get on beside them."""

from __future__ import annotations

from collections.abc import Iterable

from preview.runtime import ProcessIdentity
from preview.runtime.priority import give_way
from preview.supervisor.active import ActivePreview

__all__ = ["let_service_go_first"]


def let_service_go_first(previews: Iterable[ActivePreview]) -> None:
    """Let previews that are about to end have processor time after the service.

    Where control groups divide it, the service has its share already.
    """
    give_way(leader for one in previews if (leader := _leader_without_group(one)) is not None)


def _leader_without_group(preview: ActivePreview) -> ProcessIdentity | None:
    record, holding = preview.record, preview.holding
    if preview.exit is not None or holding is None or "cpu" in holding.held:
        return None
    if record.pid is None or record.pid_start_ticks is None or record.boot_id is None:
        return None
    return ProcessIdentity(record.pid, record.pid_start_ticks, record.boot_id)
