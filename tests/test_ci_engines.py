"""What `.ci/run` installs for the tests of containers: it takes no engine away from a machine that has one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

_RUN = Path(__file__).parents[1] / ".ci" / "run"


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        # Docker CE: its containerd.io brings runc, and Debian's package of that name would remove both.
        (("dockerd", "containerd", "runc"), ["podman", "runsc"]),
        (("dockerd", "runc", "podman", "runsc"), []),
        ((), ["docker.io", "runc", "podman"]),
    ],
)
def test_engines_are_installed_beside_those_that_are_there(
    tmp_path: Path, present: tuple[str, ...], expected: list[str]
) -> None:
    programs = {**dict.fromkeys(present, ""), "id": "echo 0", "apt-get": f'echo "$*" >>{tmp_path}/asked'}
    for name, text in programs.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    script = _RUN.read_text("utf-8")
    part = script[script.index("optional() {") : script.index("uv sync")]
    subprocess.run(["/bin/bash", "-euc", part], env={"PATH": str(tmp_path)}, check=True)
    asked = tmp_path / "asked"
    lines = [line.split() for line in asked.read_text("utf-8").splitlines()] if asked.exists() else []
    assert [line[-1] for line in lines] == expected
    assert all(line[0] == "install" and "--no-remove" in line for line in lines)
