"""What a service that is root keeps of root's rights, and that nothing it starts has more."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
from cli_service import PROGRAM, serving, write_project

from preview.cli.entry import run
from preview.core.capabilities import KEPT

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to give up")

_KEPT = sum(1 << number for number in KEPT.values())
# linux/capability.h: a few that would change the kernel or the machine itself.
_DANGEROUS = {"LINUX_IMMUTABLE": 9, "SYS_MODULE": 16, "SYS_RAWIO": 17, "SYS_BOOT": 22, "SYS_TIME": 25, "MKNOD": 27}
_DANGEROUS |= {"AUDIT_WRITE": 29, "MAC_OVERRIDE": 32, "MAC_ADMIN": 33, "SYSLOG": 34, "PERFMON": 38, "BPF": 39}


def rights(status: Path) -> dict[str, int]:
    """Sets of capabilities, and ``NoNewPrivs``, of one thread (proc(5))."""
    found = dict(re.findall(r"^(Cap\w+|NoNewPrivs):\s*(\w+)$", status.read_text(), re.MULTILINE))
    return {name: int(value, 16) for name, value in found.items()}


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_cache: Path) -> dict[str, str]:
    made = {"PREVIEW_DATA_DIR": str(tmp_path / "data"), "PREVIEW_CACHE_DIR": str(shared_cache)}
    for name, value in made.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PREVIEW_URL", raising=False)
    monkeypatch.delenv("PREVIEW_TOKEN", raising=False)
    return made


def test_each_thread_and_program_of_it_has_what_it_needs_and_no_more(
    folders: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Launched, restarted and reloaded meanwhile: templates, forks and wrappers are among what is looked at."""
    with serving(folders) as started:
        run(["push", str(write_project(tmp_path / "shop"))])
        generation = capsys.readouterr().out.strip()
        assert run(["launch", generation, "--wait", "60"]) == 0
        assert run(["restart", generation, "--wait", "60"]) == 0
        threads = [rights(one / "status") for one in Path(f"/proc/{started.process.pid}/task").iterdir()]
        below = psutil.Process(started.process.pid).children(recursive=True)
        programs = {one.name(): rights(Path(f"/proc/{one.pid}/status")) for one in below}
    expected = {"CapInh": 0, "CapPrm": _KEPT, "CapEff": _KEPT, "CapBnd": _KEPT, "CapAmb": 0, "NoNewPrivs": 1}
    assert len(threads) > 1
    assert [one for one in threads if one != expected] == []
    assert programs
    wider = {name: one for name, one in programs.items() if one["NoNewPrivs"] != 1 or one["CapBnd"] & ~_KEPT}
    # In a user namespace of its own a process has rights over that namespace, until it gives them up (as all have).
    assert wider == {}


def test_builds_are_held_in_with_what_is_kept(folders: dict[str, str]) -> None:
    """A namespace of users in which root is root takes a right of its own (user_namespaces(7))."""
    if shutil.which("bwrap") is None:
        pytest.skip("no bubblewrap is installed")
    command = [*PROGRAM, "serve", "--json", "--bind", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert "isolation enabled" in said
    assert "builds not sandboxed" not in said


def test_nothing_that_changes_the_kernel_is_kept() -> None:
    assert {name for name, number in _DANGEROUS.items() if _KEPT >> number & 1} == set()
