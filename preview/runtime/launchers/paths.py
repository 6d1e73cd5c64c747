"""Paths of the launchers."""

from __future__ import annotations

from pathlib import Path

LAUNCHERS = Path(__file__).resolve().parent
"""The launchers' folder, which an isolated child must be able to read."""

SERVE_ASGI = LAUNCHERS / "serve_asgi.py"
SERVE_WSGI = LAUNCHERS / "serve_wsgi.py"
SERVE_DJANGO = LAUNCHERS / "serve_django.py"
LISTEN_HOOK = LAUNCHERS / "listen.cjs"
BUN_HOOK = LAUNCHERS / "bun.mjs"
BRIDGE = LAUNCHERS / "bridge.py"
COMMAND_HOOK = LAUNCHERS / "commands"
"""Folder with a ``sitecustomize``, by which Python web servers of a start command report their requests."""
OUT = "out-"
"""Beginning of the names of sockets that lead out of gVisor, before the port; see ``preview_reach.py``."""

BY_SOCKETS = -1
"""In place of the descriptor through which the bridge hands out sockets: they lead out by those names."""

RUN_MAIN = LAUNCHERS / "preview_main.py"
MIGRATIONS = COMMAND_HOOK / "preview_migrations.py"
TABLES = COMMAND_HOOK / "preview_tables.py"
