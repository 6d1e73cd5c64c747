"""The real service as a process of its own, on a folder of the suite's own: started, ended, killed, and looked at."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import fault_launcher
import trio
from fault_machine import crash_watches
from joserfc import jwt
from joserfc.jwk import OctKey

__all__ = ["Gone", "Service", "log_faults"]

_START_S = 90
_END_S = 25
SECRET = "a secret of the fault suite, long enough for HS256"


class Gone(Exception):
    """The service's process has ended although nobody asked it to; says what it said last."""


@dataclass
class Service:
    """One data folder and the process that serves it now.

    Attributes:
        folder: Holds everything: data, log, the shared page.
        cache: The environments' cache; may be shared by many.
        port_min: First of ``ports`` ports of previews.
        variables: Further ``PREVIEW_*`` settings.
        data: The data folder.
        bind: Where it listens; port 0 for any.
        prefix: Put before its command, such as one that enters a network namespace.
        process: The running one, or the last.
        url: Its address.
    """

    folder: Path
    cache: Path
    port_min: int
    variables: Mapping[str, str] = field(default_factory=dict)
    ports: int = 40
    data_folder: Path | None = None
    bind: str = "127.0.0.1:0"
    prefix: Sequence[str] = ()
    process: subprocess.Popen[bytes] | None = None
    url: str = ""
    starts: int = 0

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.data = self.data_folder or self.folder / "data"
        self.log = self.folder / "service.log"
        page = self.folder / "page"
        page.write_bytes(bytes(fault_launcher.PAGE_BYTES))
        self._page = fault_launcher.map_page(page)

    # Its settings and who asks

    def environment(self) -> dict[str, str]:
        ours = {
            "PREVIEW_DATA_DIR": str(self.data),
            "PREVIEW_CACHE_DIR": str(self.cache),
            "PREVIEW_JWT_SECRET": SECRET,
            "PREVIEW_PORT_MIN": str(self.port_min),
            "PREVIEW_PORT_MAX": str(self.port_min + self.ports - 1),
            "PREVIEW_MAX_INSTANCES_ENTERPRISE": "30",
            "PREVIEW_MAX_STREAMS_PER_USER": "20000",
            "PREVIEW_GENERATIONS_PER_USER": "100000",
            "PREVIEW_LAUNCHES_PER_MINUTE": "100000",
            # A small disk must come to be full, not be refused before.
            "PREVIEW_MIN_FREE_DISK": "0",
            "PREVIEW_STOP_GRACE": "0.5",
            # What is deleted is gone, not put aside for a day.
            "PREVIEW_REMOVED_KEPT": "0",
            "PREVIEW_USAGE_INTERVAL": "0.2",
            "PREVIEW_LIVENESS_INTERVAL": "1",
            "PREVIEW_MEMORY_LIMIT_MB": "128",
            # Some lines must leave memory, so that what is stored is read too.
            "PREVIEW_MAX_LOG_LINES": "400",
            "PREVIEW_SERVICE_LOG_FORMAT": "json",
            # A template outlives the previews that it has forked, and would count as left.
            "PREVIEW_WARM_TEMPLATES": "0",
            "PREVIEW_SPARES": "0",
        }
        # Nor coverage: a service whose every line is counted is half as fast, and other tests measure the same lines.
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("PREVIEW_", "COVERAGE_PROCESS_"))
        }
        return {**inherited, **ours, **self.variables}

    @property
    def has_templates(self) -> bool:
        return self.environment()["PREVIEW_WARM_TEMPLATES"] != "0"

    def token(self, user: str = "ann") -> str:
        # Without the time of its issue: a clock set back would be ahead of it, and the token refused.
        claims = {"sub": user, "aud": "preview", "exp": int(time.time()) + 300 * 24 * 3600, "tier": "enterprise"}
        return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(SECRET))

    # Its life

    def command(self, *arguments: str) -> list[str]:
        return [*self.prefix, sys.executable, fault_launcher.__file__, str(self.folder / "page"), *arguments]

    async def start(self) -> None:
        """Start it and wait until it answers. Cancellation: it is left to the caller's ``kill``."""
        self.set_clock(0)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: ASYNC220  some milliseconds
                self.command("serve", "--json", "--bind", self.bind),
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self.folder,
            )
        assert self.process.stdout is not None
        with trio.fail_after(_START_S):
            line = await trio.to_thread.run_sync(self.process.stdout.readline)
        if not line:
            raise Gone(f"it did not start: {self.last_words()}")
        self.url = json.loads(line)["url"]
        self.starts += 1

    async def wait(self) -> int:
        """Wait for its end. Cancellation: nothing changes."""
        assert self.process is not None
        with trio.fail_after(_END_S):
            code = await trio.to_thread.run_sync(self.process.wait, abandon_on_cancel=True)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    async def end(self, *, twice_after_s: float | None = None) -> int:
        """SIGTERM, and a second one a moment later if wanted; its exit code. Cancellation: as ``wait``."""
        self.signal(signal.SIGTERM)
        if twice_after_s is not None:
            await trio.sleep(twice_after_s)
            self.signal(signal.SIGTERM)
        return await self.wait()

    async def kill(self) -> None:
        """SIGKILL. Cancellation: as ``wait``."""
        self.signal(signal.SIGKILL)
        await self.wait()

    def kill_watch(self) -> None:
        """SIGKILL to the process that would give up a killed node's lease, as if its machine were lost."""
        assert self.process is not None
        for one in crash_watches(self.process.pid):
            os.kill(one, signal.SIGKILL)

    def kill_now(self) -> None:
        """For the end of everything, whatever state it is in."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        return host, int(port)

    def check_alive(self) -> None:
        if self.process is None or self.process.poll() is not None:
            raise Gone(f"the service has ended: {self.last_words()}")

    def last_words(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]

    # What is done to it from outside

    def set_clock(self, offset_s: float) -> None:
        fault_launcher.write_number(self._page, fault_launcher.OFFSET_NS, int(offset_s * 1e9))

    @contextmanager
    def limited(self, what: int, soft: int) -> Iterator[None]:
        """A soft limit of the running process lowered (prlimit(2)), and set back."""
        pid = self.pid
        before = resource.prlimit(pid, what)
        try:
            resource.prlimit(pid, what, (soft, before[1]))
            yield
        finally:
            with suppress(ProcessLookupError):
                resource.prlimit(pid, what, before)

    # What it holds

    def tasks(self) -> int:
        return fault_launcher.read_number(self._page, fault_launcher.TASKS)

    def descriptors(self) -> list[str]:
        """What each open descriptor of it is."""
        found = []
        base = Path(f"/proc/{self.pid}/fd")
        for entry in base.iterdir():
            try:
                found.append(str(entry.readlink()))
            except OSError:
                continue
        return found

    def threads(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/task").iterdir()))

    def memory_bytes(self) -> int:
        pages = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        return int(pages) * resource.getpagesize()


def log_faults(log: Path, allowed: Sequence[str] = ()) -> list[str]:
    """Entries of the service's log that only a mistake of ours writes: a traceback, an unexpected error."""
    found = []
    for line in log.read_text(errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            if line.strip() and not any(word in line for word in ("stopping…", *allowed)):
                found.append(line)
            continue
        if "exception" in entry and not any(word in line for word in allowed):
            found.append(f"{entry.get('event')}: {str(entry['exception'])[-1500:]}")
    return found
