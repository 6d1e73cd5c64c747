"""The model of lease and fence, checked by spin: all orders of steps with all rules, and a fault without each rule."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

_MODEL = Path(__file__).with_name("lease.pml")
_SMALL = ("-DLEASE=2", "-DFAULTS=1", "-DMOST_FENCE=3")
# What goes wrong for longer needs more owners to be seen.
_MORE = ("-DLEASE=2", "-DFAULTS=1", "-DMOST_FENCE=6")


def check(folder: Path, *flags: str) -> str:
    """Build the model and search all its states; the report. That of all states takes minutes."""
    for command in (
        ["spin", "-a", *flags, str(_MODEL)],
        ["gcc", "-O2", "-w", "-DSAFETY", "-DCOLLAPSE", "-o", "pan", "pan.c"],
    ):
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    done = subprocess.run([folder / "pan", "-m3000000"], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout


pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not (shutil.which("spin") and shutil.which("gcc")), reason="no spin (Debian package) or gcc"),
]


def test_no_order_of_steps_breaks_a_rule(tmp_path: Path) -> None:
    report = check(tmp_path, *_SMALL)
    assert "errors: 0" in report
    assert "max search depth too small" not in report


@pytest.mark.parametrize(
    ("flags", "broken"),
    [
        ((*_SMALL, "-DNO_FENCE"), "(writing[n]>=newest)"),
        ((*_SMALL, "-DNO_LEASE"), "!(((runs["),
        ((*_SMALL, "-DNO_STALE"), "!(((runs["),
        ((*_SMALL, "-DNO_LOOK"), "!(((runs["),
        ((*_SMALL, "-DNO_SETTLE"), "!(((runs["),
        ((*_MORE, "-DNO_GIVE_BACK"), "(unserved<="),
        ((*_MORE, "-DNO_KNEW"), "(unserved<="),
    ],
)
def test_each_rule_is_needed(tmp_path: Path, flags: tuple[str, ...], broken: str) -> None:
    report = check(tmp_path, *flags)
    assert "errors: 1" in report
    assert broken in report.replace("assertion violated  ", "")
