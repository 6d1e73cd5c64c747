"""The machine's own caches of packages, so that a service on temporary folders does not download everything anew."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import uv

__all__ = ["use_usual_caches"]


def use_usual_caches() -> None:
    """Name them to the service, unless somebody has named others."""
    if not os.environ.get("UV_CACHE_DIR"):
        said = subprocess.run([uv.find_uv_bin(), "cache", "dir"], capture_output=True, text=True, check=True)
        os.environ["UV_CACHE_DIR"] = said.stdout.strip()
    if not any(name.lower() == "npm_config_cache" and value for name, value in os.environ.items()):
        os.environ["npm_config_cache"] = str(Path.home() / ".npm")  # noqa: SIM112  npm writes it so itself
