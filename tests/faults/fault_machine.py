"""What the machine holds of a service's previews: processes, ports, folders, cgroups; looked at from outside."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from process_kit import is_zombie

from preview.runtime.kernel.proctree import children, descendants, namespace_pids, read_marker

__all__ = [
    "below",
    "brokers",
    "cgroups",
    "listening",
    "marked",
    "name_of",
    "preview_of",
    "send",
    "small_disk",
    "templates",
    "works_in",
]

_PREVIEW_ID = re.compile(r"preview_[a-z0-9]{16}")


def _pids() -> Iterator[int]:
    return (int(entry) for entry in os.listdir("/proc") if entry.isdecimal())  # noqa: PTH208


def marked(preview_ids: Iterable[str]) -> dict[int, str]:
    """Living processes anywhere that were started for one of these previews."""
    wanted = frozenset(preview_ids)
    found = {}
    for pid in _pids():
        preview_id = preview_of(pid)
        if preview_id in wanted and not is_zombie(pid):
            found[pid] = preview_id
    return found


def preview_of(pid: int) -> str | None:
    """The preview that a process was started for: by its mark; a fork of a template has its group or its folders."""
    if marker := read_marker(pid):
        return marker
    for name in ("cgroup", "mountinfo"):
        with suppress(OSError):
            if named := _PREVIEW_ID.search(Path(f"/proc/{pid}/{name}").read_text()):
                return named[0]
    return None


# On the command line of what starts a template.
_KEEPER = "preview_keeper.main"
# The worker server, and two workers that wait for a job.
_READERS_AT_REST = 3


def below(pid: int) -> list[int]:
    """Living processes below the service: whatever it has started or adopted, but what it needs at rest.

    At rest it has those that read projects, a broker, templates without any fork, and a node's crash watch.
    """
    found = [one for one in descendants(pid) if not is_zombie(one)]
    readers = [one for one in found if "preview.worker.server" in name_of(one)]
    at_rest = {
        *_around_templates(pid),
        *brokers(pid)[:1],
        *crash_watches(pid)[:1],
        *(readers if len(readers) <= _READERS_AT_REST else ()),
    }
    return [one for one in found if one not in at_rest]


def brokers(pid: int) -> list[int]:
    """The service's broker."""
    return [one for one in children(pid) if "preview_broker.py" in name_of(one) and not is_zombie(one)]


def crash_watches(pid: int) -> list[int]:
    """What gives up the lease of a killed node."""
    return [one for one in children(pid) if "preview_crash.py" in name_of(one) and not is_zombie(one)]


def templates(pid: int) -> list[int]:
    """The service's templates, without their forks, which have the same name."""
    names = {one: name_of(one) for one in _around_templates(pid)}
    return [one for one, name in names.items() if "/preview_template.py" in name and _KEEPER not in name]


def _around_templates(pid: int) -> list[int]:
    """Templates, their keepers, and the sandboxes around both. Forks of them are in further namespaces."""
    found: list[int] = []
    for child in children(pid):
        tree = [child, *descendants(child)]
        depths = [len(namespace_pids(one)) for one in tree if _KEEPER in name_of(one)]
        found += [one for one in tree if len(namespace_pids(one)) <= max(depths, default=0)]
    return found


def works_in(folder: Path) -> list[int]:
    """Processes whose working folder is in this one, deleted or not."""
    found = []
    for pid in _pids():
        with suppress(OSError):
            target = os.readlink(f"/proc/{pid}/cwd").removesuffix(" (deleted)")  # noqa: PTH115
            if target.startswith(f"{folder}/"):
                found.append(pid)
    return found


def listening(first: int, last: int) -> list[int]:
    """Ports of the range that somebody listens on (proc_net(5): state 0A)."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                port = int(fields[1].rpartition(":")[2], 16)
                if fields[3] == "0A" and first <= port <= last:
                    found.add(port)
    return sorted(found)


def cgroups(preview_ids: Iterable[str]) -> list[str]:
    """Control groups that are named for one of these previews."""
    wanted = frozenset(preview_ids)
    found = []
    for root, folders, _ in os.walk("/sys/fs/cgroup"):
        found += [os.path.join(root, one) for one in folders if any(name in one for name in wanted)]  # noqa: PTH118
    return found


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:500]
    except OSError:
        return "(gone)"


def send(pid: int, number: signal.Signals) -> bool:
    """Whether there was somebody to send it to."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def small_disk(folder: Path, size_mib: int) -> Iterator[Path | None]:
    """A file system of its own, in memory, that can be filled; None where this process may not mount one."""
    folder.mkdir(parents=True)
    options = f"size={size_mib}m,mode=0700"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "preview-faults", folder], capture_output=True)
    if mounted.returncode != 0:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], capture_output=True, check=True)
