"""Health checks of an image: commands beside the program, whose exit status is the preview's health."""

from __future__ import annotations

import structlog
import trio

from preview.core.lifecycle import CheckFault
from preview.environments import HealthCheck
from preview.runtime import Checked, ChecksInside
from preview.supervisor.preview.live_preview import LivePreview

log = structlog.get_logger(__name__)


async def run_health_checks(preview: LivePreview, process: ChecksInside, health: HealthCheck, directory: str) -> None:
    """Run the check again and again, and note failures. Runs until cancelled.

    The next probe of the preview's address takes them into account, logs them and stores them.

    Args:
        preview: The preview; its process serves.
        process: The process.
        health: The check.
        directory: Its working folder.

    Cancellation: a running check is killed when its time is over, or with the process.
    """
    started, failures, fault = trio.current_time(), 0, None
    try:
        while True:
            try:
                found = await process.check(health.argv, directory, health.timeout_s)
            except OSError as error:
                # The service lacks a resource, which is not the preview's fault.
                log.warning("health check not run", preview_id=preview.id, error=str(error))
                await trio.sleep(health.interval_s)
                continue
            if found.code == 0:
                failures = 0
                _clear(preview, fault)
                fault = None
            elif trio.current_time() - started >= health.start_s:
                failures += 1
                if failures >= health.retries:
                    preview.check_fault = fault = CheckFault(_reason(found, health))
            await trio.sleep(health.interval_s)
    finally:
        _clear(preview, fault)


def _clear(preview: LivePreview, fault: CheckFault | None) -> None:
    """Forget a fault; one that another process of the preview has noted meanwhile stays."""
    if fault is not None and preview.check_fault is fault:
        preview.check_fault = None


def _reason(found: Checked, health: HealthCheck) -> str:
    ended = f"did not end within {health.timeout_s:g} s" if found.code is None else f"ended with {found.code}"
    return f"the image's health check {ended}{f': {found.said}' if found.said else ''}"
