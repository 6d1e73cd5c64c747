"""The options of the container that the service runs in: those that its sandbox needs, and those that protect it."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from preview.cli.doctor.result import Check, Result

_ROOT = Path("/")
_MARKS = (".dockerenv", "run/.containerenv", "var/run/secrets/kubernetes.io")
_TIMEOUT_S = 10
# Paths that engines cover or make read-only below /proc (OCI runtime specification, maskedPaths and readonlyPaths).
_MOUNT_POINT = 4


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a container, in the words of Docker, Podman and Kubernetes.

    Attributes:
        name: The option.
        is_needed: Whether no sandbox works without it. Others only protect the service.
    """

    name: str
    is_needed: bool


SECCOMP = Option("--security-opt seccomp=deploy/seccomp.json", True)
PROC = Option("--security-opt systempaths=unconfined (Podman: unmask=ALL, Kubernetes: procMount: Unmasked)", True)
APPARMOR = Option("--security-opt apparmor=unconfined", True)
USER = Option("--user 10001", False)
CAPABILITIES = Option("--cap-drop ALL", False)
PRIVILEGES = Option("--security-opt no-new-privileges", False)
READ_ONLY = Option("--read-only --tmpfs /tmp", False)


def is_container(root: Path = _ROOT) -> bool:
    """Return whether the service runs in a container of an engine."""
    # The last two are set by Podman, systemd-nspawn and LXC, and by Kubernetes.
    marked = any((root / mark).exists() for mark in _MARKS)
    names = ("container", "KUBERNETES_SERVICE_HOST")
    return marked or any(os.environ.get(name) for name in names)


def missing_options(root: Path = _ROOT) -> list[Option]:
    """Return the options that the container was started without. Starts one program, which makes a namespace.

    Args:
        root: Folder with ``proc``.
    """
    status = dict(line.partition(":")[::2] for line in _text(root / "proc/self/status").splitlines())
    found = []
    if not _makes_namespaces():
        found.append(SECCOMP)
    if _covers_proc(_text(root / "proc/self/mountinfo")):
        found.append(PROC)
    if _text(root / "proc/self/attr/current").strip().rstrip("\0") not in {"", "unconfined"}:
        found.append(APPARMOR)
    if os.geteuid() == 0:
        found.append(USER)
    elif int(status.get("CapEff", "0").strip() or "0", 16) | int(status.get("CapBnd", "0").strip() or "0", 16):
        found.append(CAPABILITIES)
    if status.get("NoNewPrivs", "").strip() == "0":
        found.append(PRIVILEGES)
    if not os.statvfs(root).f_flag & os.ST_RDONLY:
        found.append(READ_ONLY)
    return found


def container_check(root: Path = _ROOT) -> Check | None:
    """Return a check of the container's options; None outside of a container."""
    if not is_container(root):
        return None
    missing = missing_options(root)
    needed = [one.name for one in missing if one.is_needed]
    further = [one.name for one in missing if not one.is_needed]
    if needed:
        advice = f"start it with {' '.join(needed)} (docs/containers.md)"
        return Check("container", Result.WARN, "its options do not allow a sandbox", advice)
    found = "its options allow previews a sandbox"
    return Check("container", Result.OK, found, f"to protect the service more: {' '.join(further)}" if further else "")


def _makes_namespaces() -> bool:
    program = shutil.which("unshare")
    if program is None:
        return False
    try:
        # Like bubblewrap; then it changes a mount. Without a map of ids, for which root would need CAP_SETFCAP.
        command = [program, "--user", "--mount", "true"]
        return subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=False).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


def _covers_proc(mounts: str) -> bool:
    """Return whether something is mounted below /proc: the kernel then mounts no other one (proc(5))."""
    points = [fields[_MOUNT_POINT] for line in mounts.splitlines() if len(fields := line.split()) > _MOUNT_POINT]
    return any(point.startswith("/proc/") for point in points)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
