"""Whether this service can give a fork what it gives a process that it starts cold."""

from __future__ import annotations

import os

from preview.runtime.sandbox.runtime import SandboxParts
from preview.runtime.warm.mounts import detached_mount


def why_never(parts: SandboxParts) -> str | None:
    """Why no process of this service is started warm, as half a sentence; None where it can be.

    Args:
        parts: What the sandbox isolates with.
    """
    if os.geteuid() == 0 and not parts.own_users:
        return "there are no users here that forks could be given"
    try:
        os.close(detached_mount(parts.etc))
    except OSError as error:
        return f"a service that is not root may not hand folders to forks ({error.strerror})"
    if not parts.fences:
        return "its connections are carried to it, as the kernel lets this service fence no socket"
    return None
