"""State of one live preview: its record, log, tokens, deadlines and the single way to end it."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from hmac import compare_digest
from itertools import count
from pathlib import Path
from typing import Any

import trio

from preview.backing import PreviewServer, PreviewServers
from preview.core.clock import now_ms, utc_now
from preview.core.ids import new_token
from preview.core.isolation import Network
from preview.core.launch_steps import FILES, LaunchStep, StepState
from preview.core.lifecycle import STOP_REASONS, CheckFault, Departure, Health, State, StopCause, advance
from preview.detection import Overrides, StartPlan, merge
from preview.errors import InvalidRequest, LaunchFailed, PreviewError
from preview.launch_settings import NO_SETTINGS, ResolvedSettings
from preview.logs import Level, LineFilter, PreviewLog, Source, StatusChange
from preview.rollout import NO_CHOICES, Choices
from preview.runtime import Exit, InnerAddress, InnerSocket, Serve, Usage
from preview.settings import Settings, Tier
from preview.storage.tables import PreviewRecord
from preview.supervisor.preview.confinement import Confinement
from preview.supervisor.preview.control import Control, FirstData
from preview.supervisor.preview.crashes import Crash
from preview.supervisor.preview.deadlines import Changes, Deadlines, Hold, SocketRelease
from preview.supervisor.preview.inside import Inside
from preview.supervisor.preview.launch_progress import LaunchProgress
from preview.supervisor.preview.launch_settings import settings_text
from preview.supervisor.preview.mends import Mends
from preview.supervisor.preview.network import Reach, reach_of
from preview.supervisor.preview.new_record import hash_token
from preview.supervisor.preview.outcome import Outcome, departed
from preview.supervisor.preview.service_log import log_transition
from preview.tracing import PreviewTraces, untraced
from preview.tracing.otlp import OTLP_PORT, OtlpReceiver
from preview.traffic import PreviewSeries, PreviewTraffic, unrecorded

# One per browser tab that sends requests; a client whose token was dropped requests a new one.
MAX_FURTHER_TOKENS = 16
_WITHOUT_CHECKS = LineFilter(checks=False)


class LivePreview:
    """A preview that owns resources. Owned by the manager's registry and by its own task (``run_preview``).

    Attributes:
        record: The database row; the stored one may be slightly older.
        log: The preview's lines and events.
        traffic: Recorder of its requests.
        traces: Spans of its requests.
        series: Measurements for charts, from the launch on.
        listener: Socket that the preview serves on; closed when the preview is over.
        inner: Socket that its processes inherit in place of ``listener``; None if there is none.
        scope: Cancelling this scope tears the preview down.
        accepted: Set when the row is stored, or when storing it has failed (see ``outcome``).
        settled: Set when the preview runs, or is over.
        stored, has_run: Whether its row is stored, and whether it has served, here or on an earlier node.
        over: Set when all resources are released and the slot is free.
        usage: Last measured resource usage of its processes, or None.
        confinement: Isolation and limits; None until the project's files are read.
        directory: Folder of the project's files, while it exists.
        startup_timeout_s: Limit in seconds, from the process's start to the first response; also the limit for writing
            the files. Building the environment and the steps do not count: each has a limit of its own.
        requested, mends, labels: Start options of the request and of failed attempts, and a node's; for restarts.
        launch_settings: The project's settings for the next process.
        served_settings: Those of the process that serves.
        memory_mb: The project's memory limit, for the whole life; None: the service's.
        settings: The service's settings, with this limit.
        changes: Restarts and reloads requested while the preview runs.
        check_fault: Why the health check of its image failed; None if it did not.
        is_replaced: True while no process serves, because the old one ends before the new one: health is not probed.
        restarts: Number of times that a new process has taken over.
        restarted: Set when the next process takes over; another event then stands here.
        crash: The newest crash after which the process is started again; None without one.
        progress: The steps of its launch.
        control: Control channel of its current process; None before the first.
        servers: Its own databases.
        supplied: What serves each port of its own loopback: the databases that its plan needs.
        needed_servers: These databases.
        inside: Work of callers with its data.
        data_turn: Held while its data is saved or replaced.
        start_turn: Held while a process is started or files are placed, and while all its processes stand still.
        find_all: Returns what finds the pids of all that runs; None if the service cannot stop it by itself.
        stands_still: True while its processes are stopped, because another node may run it.
        first_data: Data that it begins with in place of the generation's; None: the generation's, if it has any.
    """

    def __init__(
        self,
        record: PreviewRecord,
        *,
        settings: Settings,
        tier: Tier,
        log: PreviewLog,
        listener: socket.socket,
        startup_timeout_s: float,
        overrides: Overrides | None = None,
        launch_settings: ResolvedSettings = NO_SETTINGS,
        scope: trio.CancelScope | None = None,
        first_data: FirstData | None = None,
        traffic: PreviewTraffic | None = None,
        traces: PreviewTraces | None = None,
        flags: Choices = NO_CHOICES,
    ) -> None:
        self.record = replace(record, launch_settings=settings_text(launch_settings, overrides, flags))
        self._flags, self.log = flags, log
        self.traffic = unrecorded(record.id, log) if traffic is None else traffic
        self.traces = untraced(record.id) if traces is None else traces
        self.hide(launch_settings.secrets)
        self.series = PreviewSeries()
        self.traffic.listeners.append(self.series.count_request)
        self.traffic.count = self.series.count
        self.listener, self.tier, self.labels = listener, tier, dict[str, str]()
        self.inner: InnerSocket | None = None
        self.startup_timeout_s, self.requested, self.mends = startup_timeout_s, overrides, Mends()
        self.launch_settings = self.served_settings = launch_settings
        self.memory_mb, self.settings = launch_settings.memory_mb, launch_settings.limited(settings)
        self.scope = scope or trio.CancelScope()
        self.accepted, self.settled, self.over = trio.Event(), trio.Event(), trio.Event()
        self.stored = self.has_run = False
        self.outcome: Outcome | None = None
        self.exit: Exit | None = None
        self.usage: Usage | None = None
        self.confinement: Confinement | None = None
        self.directory: Path | None = None
        self.servers = PreviewServers({})
        self.supplied: dict[int, Serve] = {}
        self._receiver = OtlpReceiver(self.traces, log)
        self.needed_servers: Sequence[PreviewServer] = ()
        self.any_answer = True
        self.check_fault: CheckFault | None = None
        self.changes = Changes()
        self.inside = Inside()
        self.data_turn = trio.Lock()
        self.start_turn = trio.Semaphore(1, max_value=1)
        self.find_all: Callable[[], Callable[[], Iterable[int]] | None] = lambda: None
        self.stands_still, self.first_data = False, first_data
        self.is_replaced, self.succession = False, SocketRelease()
        self.crash: Crash | None = None
        self.restarts = 0
        self.restarted = trio.Event()
        self.control: Control | None = None
        self.progress = LaunchProgress(self._take_steps)
        self.record = replace(self.record, steps=self.progress.steps)
        self._numbers = count(1)
        self.deadlines = Deadlines(
            life_s=(record.expires_at - record.created_at).total_seconds(), inactive_s=settings.inactive_timeout_s
        )
        self._settings = settings
        self._tokens_until = min(self.deadlines.expires_at, trio.current_time() + settings.session_timeout_s)
        self._further_hashes: deque[str] = deque(maxlen=MAX_FURTHER_TOKENS)
        self._created = trio.current_time()
        # Also publishes the first state, so a subscriber from the launch on sees every state.
        self.progress.start(FILES)

    @property
    def overrides(self) -> Overrides | None:
        """Start options of the project's settings, the launch request, the flags and the mends; None without any."""
        given = self.mends.under(self.launch_settings.under(self.requested))
        trace = self._flags.trace
        return given if trace is None else merge(given or Overrides(), Overrides(trace=trace))

    def hide(self, secrets: Sequence[str], *, sent: bool = False) -> None:
        """Keep these values out of later log lines and records. Those ``sent`` in requests give way to the launch's."""
        self.log.hide(secrets, sent=sent)
        self.traffic.hide(secrets, sent=sent)

    def take_usage(self, usage: Usage) -> None:
        """Keep a measurement of all processes."""
        self.usage = usage
        self.series.measure(usage.memory_bytes, usage.cpu_percent)

    @property
    def id(self) -> str:
        """``preview_…``."""
        return self.record.id

    def listener_for(self, network: Network) -> socket.socket:
        """Return the socket that processes with this network inherit."""
        return self.listener if self.inner is None or network is Network.HOST else self.inner

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port of the preview; None unless it is running."""
        return self.socket_address if self.record.state is State.RUNNING else None

    @property
    def socket_address(self) -> tuple[str, int]:
        """Host and port of its socket; known as soon as the slot is claimed."""
        host, port, inner = self._settings.preview_host, self.record.port or 0, self.inner
        is_outer = inner is None or self.confinement is None or self.confinement.network is Network.HOST
        return (host, port) if inner is None or is_outer else InnerAddress(host, port, inner)

    @property
    def reach(self) -> Reach | None:
        """Network that the preview can reach; None until decided."""
        if self.confinement is None:
            return None
        return reach_of(self._settings, self.confinement.network, self.record.port, frozenset(self.supplied))

    def supply(self, plan: StartPlan, network: Network) -> None:
        """Decide which ports of its own loopback lead to its databases; a preview with the machine's has none."""
        services = () if network is Network.HOST else plan.services
        self.supplied = dict(self.servers.reaches(services))
        if plan.exports_spans and network is not Network.HOST:
            self.supplied.setdefault(OTLP_PORT, self._receiver.serve)
        self.needed_servers = self.servers.of(services)
        for server in self.needed_servers:
            server.want()

    def next_number(self) -> int:
        """Return the number of the preview's next process; numbers are unique."""
        return next(self._numbers)

    @property
    def uptime_s(self) -> float:
        """Seconds since the launch."""
        return trio.current_time() - self._created

    # Changes of state

    def move(self, state: State, reason: str | None = None) -> None:
        """Change the state as the transition table allows. Publish it to the log's subscribers and the service's log.

        Raises:
            IllegalTransition: The table forbids the change: a bug in the supervisor.
        """
        following = advance(self.record.state, state)
        if following is State.STOPPING:
            self.progress.end(StepState.STOPPED, reason or "stopped")
        elif following is State.FAILED:
            self.progress.end(StepState.FAILED, reason or "failed")
        changes: dict[str, Any] = {"state": following, "reason": reason, "steps": self.progress.steps}
        if following is State.RUNNING:
            changes |= {"started_at": utc_now(), "health": Health.HEALTHY, "last_health_check": utc_now()}
        elif following in (State.STOPPED, State.FAILED):
            changes |= {"stopped_at": utc_now(), "health": Health.UNKNOWN}
        self.record = replace(self.record, **changes)
        self.publish()
        log_transition(self.record, uptime_s=self.uptime_s)
        if following is State.RUNNING:
            self.has_run = True
            self.settled.set()

    def set_health(self, health: Health) -> bool:
        """Record the result of a probe. Returns True if the health has changed."""
        changed = health is not self.record.health
        self.record = replace(self.record, health=health, last_health_check=utc_now())
        if changed:
            self.publish()
        return changed

    def note_restart(self, revision: int | None = None) -> None:
        """Record that a new process has taken over, with this version of the files: the next line is its first."""
        self.restarts = self.traffic.reload = self.restarts + 1
        self.record = replace(
            self.record,
            reloads=self.record.reloads.after(self.log.last_seq + 1),
            revision=revision or self.record.revision,
            launch_settings=settings_text(self.served_settings, self.requested, self._flags),
        )
        self.restarted.set()
        self.restarted = trio.Event()
        self.publish()

    def _take_steps(self, steps: tuple[LaunchStep, ...]) -> None:
        self.record = replace(self.record, steps=steps)
        self.publish()

    def publish(self) -> None:
        """Publish the state, the health, the steps and the crashes to the log's subscribers."""
        one, crash, at_ms = self.record, self.crash, now_ms()
        change = StatusChange(one.id, one.state, one.health, one.reason, at_ms, one.steps, self.restarts)
        self.log.publish_status(change if crash is None else replace(change, crashes=crash.count, crash=crash.exit))

    # The end

    def request_stop(self, cause: StopCause) -> None:
        """Stop the preview. Synchronous and idempotent: the first outcome counts."""
        if self.outcome is not None:
            return
        reason = STOP_REASONS[cause]
        self.outcome = Outcome(State.STOPPED, reason, cause=cause)
        self.move(State.STOPPING, reason)
        if self.stored:
            self.log.say(reason)
        self.scope.cancel()

    def fail(self, error: PreviewError, reason: str | None = None) -> None:
        """Mark the preview as failed (None: by the error's message), and tear it down; the first outcome counts."""
        if self.outcome is not None:
            return
        self.outcome = Outcome(State.FAILED, reason or error.message, error=error)
        self.scope.cancel()

    def depart(self, why: Departure, error: PreviewError) -> None:
        """Tear the preview down on this node, and leave it to others; the first outcome counts."""
        if self.outcome is None:
            self.outcome = departed(why, error)
            self.scope.cancel()

    def grace_s(self, most_s: float) -> float:
        """Return how long its processes get to end: no time if another node may run it."""
        is_lost = self.outcome is not None and self.outcome.departure is Departure.NODE_LOST
        return 0.0 if is_lost or self.stands_still else most_s

    @property
    def cause(self) -> PreviewError:
        """Error to raise to a caller who waited for a preview that has ended."""
        if self.outcome is not None and self.outcome.error is not None:
            return self.outcome.error
        reason = self.outcome.reason if self.outcome else "unknown"
        return LaunchFailed(f"The preview has ended: {reason}.", preview_id=self.id)

    def last_lines(self, count: int = 10) -> list[str]:
        """Return the last lines of its log, including the service's own lines, oldest first.

        Lines below ERROR that were printed for health checks are left out.
        """
        last = self.log.last_seq
        lines = self.log.backlog.find(_WITHOUT_CHECKS, first=1, last=last, limit=count, newest=True)
        return [line.message for line in lines]

    def output_since(self, seq: int, count: int) -> list[str]:
        """Return the last ``count`` lines that its processes printed after line ``seq``, oldest first."""
        own = (Source.SYSTEM, Source.SYSTEM_STARTUP)
        return [line.message for line in self.log.last_lines(count) if line.seq > seq and line.source not in own]

    # Activity and token

    def touch(self) -> None:
        """Record a request, which restarts the inactivity timeout."""
        self.deadlines.touch()

    def streaming(self) -> Hold:
        """Return a context manager for an open stream; the preview counts as active while the context is open."""
        return self.deadlines.hold()

    def further_token(self) -> str:
        """Return another valid token in clear. Only its hash is kept, in memory.

        The oldest of more than ``MAX_FURTHER_TOKENS`` tokens is dropped.
        """
        token = new_token()
        if not self._tokens_hold:
            # All tokens have expired: the renewal below must not make the old ones valid again.
            self._further_hashes.clear()
            self.record = replace(self.record, token_hash=hash_token(token))
        self._further_hashes.append(hash_token(token))
        self._renew_tokens()
        return token

    def accept_token(self, token: str) -> bool:
        """Return True for a valid token of the preview. Also renews the tokens, at most until the preview's end."""
        given = hash_token(token)
        matches = any(compare_digest(given, known) for known in (self.record.token_hash, *self._further_hashes))
        if not matches or not self._tokens_hold:
            return False
        self._renew_tokens()
        self.touch()
        return True

    @property
    def _tokens_hold(self) -> bool:
        return trio.current_time() < self._tokens_until

    def _renew_tokens(self) -> None:
        """Renew by trio's clock, which never jumps. The record's times are for people and use the wall clock."""
        now = trio.current_time()
        self._tokens_until = min(self.deadlines.expires_at, now + self._settings.session_timeout_s)
        until = min(self.record.expires_at, utc_now() + timedelta(seconds=self._tokens_until - now))
        self.record = replace(self.record, token_expires_at=until)

    def extend(self, seconds: float) -> None:
        """Move the expiry by ``seconds``, up to the tier's maximum lifetime counted from the launch.

        Raises:
            InvalidRequest: The maximum lifetime is reached; ``details`` has the limit.
        """
        longest = self.record.created_at + timedelta(seconds=self.tier.max_life_s)
        if self.record.expires_at >= longest:
            raise InvalidRequest(
                f"The preview already has the maximum lifetime of the {self.tier.name} tier "
                f"({self.tier.max_life_s:g} s); launch it again when it has ended.",
                limit_s=self.tier.max_life_s,
            )
        expires_at = min(longest, self.record.expires_at + timedelta(seconds=seconds))
        moved_s = (expires_at - self.record.expires_at).total_seconds()
        self.record = replace(self.record, expires_at=expires_at)
        self.deadlines.extend_to(self.deadlines.expires_at + moved_s)
        self.log.say(f"extended by {moved_s:g} s", Level.INFO)
