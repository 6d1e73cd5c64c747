"""The request for one build: Docker by its own interface, Podman by Podman's own.

Podman's form of Docker's request fetches images that are missing, and limits no number of processes. In its own one
(`/libpod/build`, source: docs.podman.io) a build pulls nothing, and its steps run in a control group that the service
has made.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final
from urllib.parse import urlencode

HERE: Final = "127.0.0.1"
_PERIOD_US: Final = 100_000
# The runtime would show a step its control group; in version 1, it could change that.
_HIDDEN: Final = "--mount=type=tmpfs,target=/sys/fs/cgroup,tmpfs-size=4096,ro "
_FLAGS: Final = re.compile(r"COPY((?: --\S+)+)")
_FROM: Final = re.compile(r" --from=(\S+)")
# Other formats have no HEALTHCHECK and no SHELL.
_FORMAT: Final = "application/vnd.docker.distribution.manifest.v2+json"
WHOLE_NAMES: Final = "WholeNames"
"""Where a description has Podman's whole names of an image, each by the name that Docker would give."""

_HUB: Final = "docker.io/library/"
# Podman names local images so; Docker names the same ones without.
_HOSTS: Final = (_HUB, "docker.io/", "localhost/")


@dataclass(frozen=True, slots=True)
class BuildLimits:
    """Limits of one build: memory, processor cores, the largest file, and the engine's name of the network.

    ``token`` is the build's name, one word, by which its containers are found; ``arguments`` has values of ``ARG``.
    ``group`` is the control group of Podman's steps, as a path below where it is mounted.
    """

    memory_bytes: int
    cpu_cores: float
    file_bytes: int
    network: str
    token: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    group: str = ""


def docker_request(name: str, dockerfile: str, limits: BuildLimits, labels: Mapping[str, str]) -> str:
    """Return path and query of a build by Docker."""
    query = {
        **_common(dockerfile, limits, labels),
        "t": name,
        "pull": "0",
        "networkmode": limits.network,
        # The one part of its containers' description that is the build's own, and not a part of the image.
        "extrahosts": f"{limits.token}:{HERE}",
        "ulimits": json.dumps([{"Name": "fsize", "Soft": limits.file_bytes, "Hard": limits.file_bytes}]),
    }
    return f"/build?{urlencode(query)}"


def podman_request(
    name: str, dockerfile: str, limits: BuildLimits, labels: Mapping[str, str], network_of: int | None
) -> str:
    """Return path and query of a build by Podman.

    Args:
        name: Name of the image.
        dockerfile: Path of the Dockerfile in the archive.
        limits: Limits; ``group`` is set.
        labels: Labels of the image.
        network_of: The process, as Podman numbers it, whose network the steps share; None for that of ``limits``.
    """
    shared = [{"Name": "network", "Host": False, "Path": f"/proc/{network_of}/ns/net"}]
    query = {
        **_common(dockerfile, limits, labels),
        "t": podman_name(name),
        "pullpolicy": "never",
        # Without a runtime, steps would have neither these limits nor a network of their own.
        "isolation": "oci",
        "outputformat": _FORMAT,
        "layers": "1",
        "httpproxy": "0",
        # A runtime removes the group of a step with its limits, so these are those of the group above.
        "cgroupparent": f"{limits.group}/step",
        "ulimits": json.dumps([f"fsize={limits.file_bytes}:{limits.file_bytes}"]),
        **({"networkmode": limits.network} if network_of is None else {"nsoptions": json.dumps(shared)}),
    }
    return f"/libpod/build?{urlencode(query)}"


def _common(dockerfile: str, limits: BuildLimits, labels: Mapping[str, str]) -> dict[str, str]:
    return {
        "dockerfile": dockerfile,
        "rm": "1",
        "forcerm": "1",
        "memory": str(limits.memory_bytes),
        "memswap": str(limits.memory_bytes),
        "cpuperiod": str(_PERIOD_US),
        "cpuquota": str(round(limits.cpu_cores * _PERIOD_US)),
        "buildargs": json.dumps(dict(limits.arguments)),
        "labels": json.dumps(dict(labels)),
    }


def in_dockers_words(image: Mapping[str, object]) -> Mapping[str, object]:
    """Return Podman's description of an image with the names and ids that Docker would give."""
    found = {**image, WHOLE_NAMES: _whole_names(image)}
    for key in ("RepoTags", "RepoDigests"):
        names = found.get(key)
        if isinstance(names, list):
            found[key] = [_familiar(one) for one in names if isinstance(one, str)]
    parent = found.get("ParentId")
    if isinstance(parent, str) and parent and ":" not in parent:
        found["ParentId"] = f"sha256:{parent}"
    return found


def podman_name(name: str) -> str:
    """Return Podman's whole name of an image that was made by Docker's interface; short ones are ambiguous to it."""
    return name if "/" in name else f"{_HUB}{name}"


def _whole_names(image: Mapping[str, object]) -> Mapping[str, str]:
    listed = (image.get("RepoTags"), image.get("RepoDigests"))
    names = [one for each in listed if isinstance(each, list) for one in each if isinstance(one, str)]
    return {_familiar(one): one for one in names}


def podman_text(text: str, names: Mapping[str, str]) -> str:
    """Return a checked Dockerfile, one instruction a line, in Podman's form.

    Args:
        text: The Dockerfile.
        names: The whole names of its images.
    """
    lines: list[str] = []
    stages: list[str] = []
    for line in text.splitlines(keepends=True):
        word, _, rest = line.partition(" ")
        if word == "RUN":
            lines.append(f"RUN {_HIDDEN}{rest}")
        elif word == "FROM":
            image, *name = rest.split()
            lines.append(f"{' '.join(['FROM', _whole(image, stages, names), *name])}\n")
            stages.append(name[-1] if name else "")
        else:
            lines.append(_FLAGS.sub(partial(_copied, stages[:-1], names), line, count=1) if word == "COPY" else line)
    return "".join(lines)


def without_hiding(line: str) -> str:
    """Return a line of the build's output as if ``podman_text`` had added no mount."""
    return line.replace(_HIDDEN, "")


def _copied(stages: Sequence[str], names: Mapping[str, str], flags: re.Match[str]) -> str:
    return f"COPY{_FROM.sub(lambda found: f' --from={_whole(found[1], stages, names)}', flags[1])}"


def _whole(name: str, stages: Sequence[str], names: Mapping[str, str]) -> str:
    return name if name.lower() in stages else names.get(name, name)


def _familiar(name: str) -> str:
    host = next((one for one in _HOSTS if name.startswith(one)), "")
    return name[len(host) :]
