"""What the rows say, as plain values for the packages above."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from preview.core.launch_steps import LaunchStep
from preview.core.lifecycle import ACTIVE, Health, State


@dataclass(frozen=True, slots=True)
class PreviewRecord:
    """A preview at one moment: what its row keeps and what the views show.

    Attributes:
        id: ``preview_…``.
        reason: One sentence why it stopped or failed; None while all is well.
        port: The port it holds, or held.
        base_url: Where a browser on this machine finds it, without a trailing slash.
        health_path: The path probed: the project's health route if it has one, else ``/``.
        runtime: Name of the runtime (``plain``…).
        pid: The leader's process id; with ``pid_start_ticks`` and ``boot_id`` it names one process for ever.
        token_hash: SHA-256 of the preview token, hex.
        token_expires_at: When the token ends unless it is used before; never after ``expires_at``.
        directory: Its working folder, while it has one.
        log_level: Handed to the preview as ``LOG_LEVEL``.
        last_seq: Number of its last line, whether that was stored or not; None while it lives, and after a crash.
        steps: Of its launch; empty for a preview of before they were kept.
    """

    id: str
    generation_id: str
    project_id: str
    user_id: str
    state: State
    health: Health
    created_at: datetime
    expires_at: datetime
    token_hash: str
    token_expires_at: datetime
    log_level: str
    port: int | None = None
    base_url: str | None = None
    health_path: str = "/"
    runtime: str = "plain"
    pid: int | None = None
    pid_start_ticks: int | None = None
    boot_id: str | None = None
    started_at: datetime | None = None
    stopped_at: datetime | None = None
    last_health_check: datetime | None = None
    reason: str | None = None
    exit_code: int | None = None
    exit_signal: int | None = None
    directory: str | None = None
    last_seq: int | None = None
    steps: tuple[LaunchStep, ...] = ()

    @property
    def is_active(self) -> bool:
        """Whether it still holds anything: a port, processes, a place in the user's tier."""
        return self.state in ACTIVE
