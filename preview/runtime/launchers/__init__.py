"""Programs inside a child that put a project's application on the inherited socket.

Each is started by its path, with the project's own interpreter: nothing of ``preview`` is imported there, and they run
on older Pythons than the service does.
"""

from preview.runtime.launchers.paths import BRIDGE, LAUNCHERS, LISTEN_HOOK, SERVE_ASGI, SERVE_DJANGO, SERVE_WSGI

__all__ = ["BRIDGE", "LAUNCHERS", "LISTEN_HOOK", "SERVE_ASGI", "SERVE_DJANGO", "SERVE_WSGI"]
