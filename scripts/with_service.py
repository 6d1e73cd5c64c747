"""Run a command beside a real service with empty folders; ``PREVIEW_URL`` and ``PREVIEW_TOKEN`` lead to it.

    uv run python scripts/with_service.py COMMAND …

The service ends with the command, whose exit status is the script's.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

_PROGRAM = [sys.executable, "-c", "from preview.cli import main; main()"]
# Seconds for a service to end, with all its previews.
_STOP_S = 60


def run(command: list[str], folder: Path) -> int:
    """Return the exit status of ``command``."""
    own = {"PREVIEW_DATA_DIR": str(folder / "data"), "PREVIEW_CACHE_DIR": str(folder / "cache")}
    env = {**os.environ, **own}
    with subprocess.Popen(
        [*_PROGRAM, "serve", "--json", "--bind", "127.0.0.1:0"], env=env, stdout=subprocess.PIPE, text=True
    ) as service:
        try:
            announced = service.stdout.readline() if service.stdout else ""
            env["PREVIEW_URL"] = json.loads(announced)["url"]
            token = subprocess.run([*_PROGRAM, "token", "local"], env=env, capture_output=True, text=True, check=True)
            env["PREVIEW_TOKEN"] = token.stdout.strip()
            return subprocess.run(command, env=env, check=False).returncode
        finally:
            service.send_signal(signal.SIGTERM)
            service.communicate(timeout=_STOP_S)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory(prefix="preview-") as made:
        sys.exit(run(sys.argv[1:], Path(made)))
