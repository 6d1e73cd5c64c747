"""Why a process that was to serve has ended, in one sentence."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from preview.detection import ServiceNeed
from preview.errors import LaunchFailed
from preview.runtime import Exit
from preview.supervisor.diagnosis.diagnose import is_own_mistake, last_error
from preview.supervisor.diagnosis.needs import as_launch_error, explain, explain_missing_service, find_unreached
from preview.supervisor.diagnosis.own_modules import name_own_module
from preview.supervisor.preview.live_preview import LivePreview


async def explain_exit(
    preview: LivePreview, ended: Exit, needs: Sequence[ServiceNeed], lines: Sequence[str], *, served: bool
) -> LaunchFailed:
    """The failure.

    Args:
        preview: Whose process it was.
        ended: How it ended.
        needs: The servers that its source speaks of.
        lines: What it printed last, oldest first.
        served: Whether it had served before.

    Cancellation: connections are closed.
    """
    exit_facts = {"exit_code": ended.code, "exit_signal": ended.signal}
    found = await explain(preview, lines, needs)
    if found is not None:
        if preview.directory is not None:
            found = await trio.to_thread.run_sync(name_own_module, found, lines, preview.directory)
        return as_launch_error(found, **exit_facts)
    error = last_error(lines)
    said = f": {error}" if error else "."
    if served:
        return LaunchFailed(f"The process ended with {ended} while it ran{said}", **exit_facts)
    missing = [need for need in await find_unreached(preview, needs) if need.at_startup]
    if missing and not is_own_mistake(error):
        return as_launch_error(await explain_missing_service(preview, missing[0], needs), **exit_facts)
    if ended.code == 0:
        sentence = f"The process ended with {ended} before it answered: it ran to its end and serves nothing."
        return LaunchFailed(sentence, **exit_facts)
    return LaunchFailed(f"The process ended with {ended} before it answered{said}", **exit_facts)
