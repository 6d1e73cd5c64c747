"""The description of one container, as engines take it: what it shows, what it may, and its limits."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from preview.core.isolation import Network
from preview.runtime.container.image import Image
from preview.runtime.container.joining import JOIN, SHOWN
from preview.runtime.container.volumes import volume_mounts
from preview.runtime.interface import ProcessSpec
from preview.runtime.run_image import RunImage, RunNetwork
from preview.runtime.sandbox.port_forwarding import bridge_needs
from preview.runtime.sandbox.runtime import owned
from preview.runtime.sandbox.view import is_system

GVISOR: Final = "runsc"
"""Name of gVisor's runtime."""

DATA_LABEL: Final = "preview.data"
"""Label with the name of the service's data folder, by which a later run finds its leftovers."""

PREVIEW_LABEL: Final = "preview.id"
MEETING: Final = "meeting"
"""Folder beside the socket, in which a container of gVisor makes its sockets."""

_MET: Final = Path("/run/preview-meet")

WRAPPERS: Final = 1
"""Processes of the container besides the preview's: the first one."""

USERS_FILE: Final = "passwd"
"""File beside the socket, with the container's user."""

HOSTS_FILE: Final = "hosts"
"""File beside the socket, with the names of a preview that has some of its own."""

EMPTY_FILE: Final = "empty"
"""File beside the socket, shown in place of the image's list of libraries that each program loads (ld.so(8))."""

# The first program opens some, with numbers up to 66.
_LEAST_FILES = 128
# gVisor has threads of its own, and about two for each of the program's. Without room for one more it ends.
_GVISOR_TASKS = 192
_NANO = 1_000_000_000
_IN_MEMORY = ("/tmp", "/dev/shm")  # noqa: S108  the container's own
_HOSTS, _USERS, _PRELOAD = Path("/etc/hosts"), Path("/etc/passwd"), Path("/etc/ld.so.preload")


@dataclass(frozen=True, slots=True)
class Habits:
    """Parts of a description that are the same for all containers of a service.

    Attributes:
        image: Image of the containers.
        data: Name of the service's data folder.
        runtime: The engine's own runtime (``runc``, ``crun``); empty for its default.
        hosts: File that containers without the machine's network have as ``/etc/hosts``.
        limits: Whether the engine limits memory, processor time and processes.
        is_podman: Whether the engine is Podman.
        users: Setting of the engine for user namespaces; empty for its default.
    """

    image: Image
    data: str
    runtime: str
    hosts: Path
    limits: frozenset[str]
    is_podman: bool = False
    users: str = ""

    @property
    def is_gvisor(self) -> bool:
        """True if the engine's own runtime is gVisor."""
        return self.runtime.startswith(GVISOR)


def users_file(user: str) -> str:
    """Return the list of users for a container.

    Args:
        user: User and group, as numbers.
    """
    own = "" if user == "0:0" else f"preview:x:{user}:preview:/tmp:/bin/sh\n"
    return f"root:x:0:0:root:/root:/usr/sbin/nologin\n{own}nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"


def describe_container(
    habits: Habits,
    spec: ProcessSpec,
    user: str,
    processes: int,
    door: Path,
    copied: Mapping[str, int] = MappingProxyType({}),
) -> dict[str, object]:
    """Return the body of the request that creates the container.

    Args:
        habits: Parts that all containers share.
        spec: The process to run.
        user: User and group in the container, as numbers.
        processes: Limit of the user's processes.
        door: Folder of the socket by which the container joins.
        copied: Folders of the image that are in memory with their content, and the size of that.

    Raises:
        BadVolume: A volume of the image cannot be limited.
    """
    temp = f"rw,nosuid,nodev,exec,mode=1777,size={spec.limits.temp_bytes}"
    folders = dict.fromkeys(_IN_MEMORY, temp)
    if habits.is_podman or spec.image is not None:
        # Else Podman makes these writable in memory, without a size.
        folders |= {"/run": temp.replace("1777", "0755"), "/var/tmp": temp}  # noqa: S108  the container's own
    if spec.around is not None:
        folders[str(spec.around)] = temp
    mounts, root = _mounts(habits, spec, door), habits.image.interpreter.root
    met = [str(_MET)] if habits.is_gvisor else []
    if spec.image is not None:
        targets = [Path(str(one["Target"])) for one in mounts]
        owner, _, group = user.partition(":")
        made = volume_mounts(spec.image.volumes, spec.limits.temp_bytes, targets, folders)
        # The engine gives a folder in memory the mode of the image's own folder, so the user owns it.
        folders |= {str(one["Target"]): f"{temp},uid={owner},gid={group}" for one in made}
        kept = temp.partition("size=")[0].replace("1777", "0755")
        folders |= {
            one: f"{kept}size={spec.limits.temp_bytes + size},uid={owner},gid={group}" for one, size in copied.items()
        }
    host: dict[str, object] = {
        "NetworkMode": "host" if spec.network is Network.HOST else "none",
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        # Of the first program alone, until it has joined: the preview's output has a pipe of its own.
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "16k"}},
        # Without it the engine would mount a /dev/shm of its own size.
        "IpcMode": "none",
        "Tmpfs": folders,
        "Mounts": mounts,
        # Podman's own limits may be above what the kernel grants it.
        "Ulimits": [
            _ulimit("core", 0),
            _ulimit("nofile", max(spec.limits.open_files, _LEAST_FILES)),
            # Of gVisor's own threads it would be another limit.
            *([] if habits.is_gvisor else [_ulimit("nproc", processes + WRAPPERS)]),
        ],
        **_limits(habits, spec),
    }
    if habits.is_podman and spec.network is not Network.HOST:
        # Docker's own default.
        host["Sysctls"] = {"net.ipv4.ip_unprivileged_port_start": "0"}
    if habits.runtime:
        host["Runtime"] = habits.runtime
    if habits.users:
        host["UsernsMode"] = habits.users
    network = None if spec.image is None or spec.network is Network.HOST else spec.image.network
    if network is not None:
        # Questions to the engine's name server end in the container itself.
        host |= {"NetworkMode": network.name, "Dns": ["127.0.0.1"], "DnsSearch": ["."]}
    return {
        "Image": habits.image.name,
        "Entrypoint": [*habits.image.interpreter.command, "-I", "-S", f"{root}{JOIN}", f"{SHOWN}/join", *met],
        "Cmd": [],
        # A name without a value takes a variable of the image away; Podman would take the engine's.
        "Env": [] if spec.image is None else [f"{one}=" if habits.is_podman else one for one in spec.image.variables],
        "User": user,
        "WorkingDir": "/",
        # Images of an operator may bring a check, which would run in the container.
        **({} if habits.image.is_hosts else {"Healthcheck": {"Test": ["NONE"]}}),
        "Labels": {DATA_LABEL: habits.data, PREVIEW_LABEL: spec.preview_id},
        **({} if spec.network is Network.HOST else {"Hostname": "preview"}),
        **({} if spec.network is Network.HOST or network is not None else {"NetworkDisabled": True}),
        **({} if network is None else {"NetworkingConfig": {"EndpointsConfig": {network.name: _endpoint(network)}}}),
        "HostConfig": host,
    }


def hosts_of(known: str, image: RunImage) -> str:
    """Return the list of hosts of an image's container.

    Args:
        known: The list of other containers.
        image: The image.
    """
    own = f"127.0.0.1 {' '.join(image.hosts)}\n" if image.hosts else ""
    others = {} if image.network is None else image.network.names
    listed = "".join(f"{address} {name}\n" for name, address in others.items())
    return f"{known}{own}{listed}"


def _endpoint(network: RunNetwork) -> Mapping[str, object]:
    return {"IPAMConfig": {"IPv4Address": network.address}}


def mounted_in(description: Mapping[str, object]) -> list[str]:
    """Return the paths of a description's mounts."""
    host = description["HostConfig"]
    return [one["Target"] for one in host["Mounts"]] if isinstance(host, dict) else []


def without_mount(description: Mapping[str, object], target: str) -> dict[str, object]:
    """Return a description without one of its mounts."""
    host = description["HostConfig"]
    if not isinstance(host, dict):
        return dict(description)
    return {
        **description,
        "HostConfig": {**host, "Mounts": [one for one in host["Mounts"] if one["Target"] != target]},
    }


def _ulimit(name: str, most: int) -> Mapping[str, object]:
    return {"Name": name, "Soft": most, "Hard": most}


def _limits(habits: Habits, spec: ProcessSpec) -> Mapping[str, object]:
    limited = habits.limits
    found: dict[str, object] = {}
    if "memory" in limited:
        # Memory and swap together, so no additional swap.
        found |= {"Memory": spec.limits.memory_bytes, "MemorySwap": spec.limits.memory_bytes}
    if "cpu" in limited:
        found["NanoCpus"] = round(spec.limits.cpu_cores * _NANO)
    if "processes" in limited:
        found["PidsLimit"] = (
            2 * spec.limits.processes + _GVISOR_TASKS if habits.is_gvisor else spec.limits.processes + WRAPPERS
        )
    return found


def _mounts(habits: Habits, spec: ProcessSpec, door: Path) -> list[Mapping[str, object]]:
    elsewhere = {folder: path for path, folder in spec.shown_at.items()}
    own = () if habits.image.interpreter.root else (*bridge_needs(), JOIN.parent)
    readable = (*spec.readable, *own)
    shown: dict[Path, tuple[Path, bool]] = {target: (source, False) for source, target in habits.image.mounts}
    shown |= {one: (one, False) for one in readable if not is_system(str(one))}
    if spec.network is not Network.HOST:
        has_names = spec.image is not None and (spec.image.hosts or spec.image.network is not None)
        shown[_HOSTS] = door / HOSTS_FILE if has_names else habits.hosts, False
    shown |= {one: (one, True) for one in owned(spec) if one not in elsewhere}
    shown |= {path: (folder, True) for path, folder in spec.shown_at.items()}
    shown |= {path: (source, False) for path, source in spec.placed.items()}
    if habits.image.is_hosts or spec.image is not None:
        # Without an entry for its user Node and others fail.
        shown[_USERS] = door / USERS_FILE, False
    if spec.image is not None:
        shown[_PRELOAD] = door / EMPTY_FILE, False
    shown[SHOWN] = door, False
    if habits.is_gvisor:
        shown[_MET] = door / MEETING, True
    needed = (target for target in sorted(shown) if not _is_shown_by_another(target, shown))
    return [_bind(shown[target][0], target, writable=shown[target][1]) for target in needed]


def _is_shown_by_another(target: Path, shown: Mapping[Path, tuple[Path, bool]]) -> bool:
    """Return whether a read-only folder above shows the same file; each mount costs the launch time."""
    above = next((one for one in target.parents if one in shown), None)
    if above is None or shown[target][1] or shown[above][1]:
        return False
    source = Path(os.path.realpath(shown[target][0]))
    return source == Path(os.path.realpath(shown[above][0])) / target.relative_to(above)


def _bind(source: Path, target: Path, *, writable: bool) -> Mapping[str, object]:
    return {
        "Type": "bind",
        "Source": str(source),
        "Target": str(target),
        "ReadOnly": not writable,
        "BindOptions": {"Propagation": "rprivate"},
    }
