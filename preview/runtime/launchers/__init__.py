"""Programs that run inside a child, and serve a project's application on the inherited socket.

Each program is started by its path, on the project's own interpreter, which may be older than the service's. The
programs import nothing from ``preview``.
"""

from preview.runtime.launchers.paths import (
    BRIDGE,
    BUN_HOOK,
    BY_SOCKETS,
    COMMAND_HOOK,
    LAUNCHERS,
    LISTEN_HOOK,
    MIGRATIONS,
    OUT,
    RUN_MAIN,
    SERVE_ASGI,
    SERVE_DJANGO,
    SERVE_WSGI,
    TABLES,
)

__all__ = [
    "BRIDGE",
    "BUN_HOOK",
    "BY_SOCKETS",
    "COMMAND_HOOK",
    "LAUNCHERS",
    "LISTEN_HOOK",
    "MIGRATIONS",
    "OUT",
    "RUN_MAIN",
    "SERVE_ASGI",
    "SERVE_DJANGO",
    "SERVE_WSGI",
    "TABLES",
]
