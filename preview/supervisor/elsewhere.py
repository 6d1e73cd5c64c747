"""A program that listens, but not where it is asked: found by looking at its sockets."""

from __future__ import annotations

import psutil
import trio

from preview.supervisor.active import ActivePreview
from preview.supervisor.diagnosis import Diagnosis

__all__ = ["find_elsewhere"]


async def find_elsewhere(preview: ActivePreview) -> Diagnosis | None:
    """What is said of a program that listens on other ports only; None where it listens as it should, or nowhere.

    Cancellation: nothing changes; the look goes on in its thread for some milliseconds.
    """
    pid, port = preview.record.pid, preview.record.port
    if pid is None or port is None:
        return None
    ports = await trio.to_thread.run_sync(_ports, pid, abandon_on_cancel=True)
    if not ports or port in ports:
        return None
    shown = ", ".join(map(str, sorted(ports)))
    return Diagnosis(
        "port_in_use",
        f"It listens on port {shown} and is asked on {port}. Let it listen on the port in the environment variable "
        "PORT.",
        {"port": min(ports)},
    )


def _ports(pid: int) -> set[int]:
    """TCP ports that the process and what it started listen on, as far as this process may see them."""
    found: set[int] = set()
    try:
        leader = psutil.Process(pid)
        for process in (leader, *leader.children(recursive=True)):
            found |= {one.laddr.port for one in process.net_connections("tcp") if one.status == psutil.CONN_LISTEN}
    except (psutil.Error, OSError):
        return found
    return found
