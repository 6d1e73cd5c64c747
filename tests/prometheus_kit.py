"""A real Prometheus with the files of ``deploy/monitoring``, quicker than they say."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FILES = Path(__file__).parent.parent / "deploy" / "monitoring"
_EXAMPLE = '"127.0.0.1:8000"'


def find_prometheus() -> str | None:
    """Return the program; None if it is not installed (Debian: prometheus)."""
    return shutil.which("prometheus")


@contextmanager
def run_prometheus(folder: Path, target: str, *, is_quick: bool = True) -> Iterator[str]:
    """Run Prometheus for the service at ``target`` (HOST:PORT); yield its address."""
    program = find_prometheus()
    assert program is not None
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(FILES / "alerts.yml", folder)
    text = (FILES / "prometheus.yml").read_text()
    assert _EXAMPLE in text
    text = text.replace(_EXAMPLE, f'"{target}"')
    if is_quick:
        text, count = re.subn(r"scrape_interval: \S+", "scrape_interval: 200ms\n  evaluation_interval: 200ms", text)
        assert count == 1
    (folder / "prometheus.yml").write_text(text)
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [program, "--config.file", "prometheus.yml", "--storage.tsdb.path", "data"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--web.listen-address", address], cwd=folder, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            yield f"http://{address}"
        finally:
            process.terminate()
            try:
                process.wait(20)
            finally:
                process.kill()
                process.wait()
