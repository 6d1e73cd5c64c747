"""The line at the end of a run, about tests that were skipped."""

from __future__ import annotations

from skipped import missing_programs


def test_one_command_installs_what_was_missing() -> None:
    reasons = [
        "Skipped: no sandbox: bwrap is not installed",
        "no Chromium is installed",
        "only root mounts",
        "no sandbox: x",
    ]
    assert missing_programs(reasons) == (
        "3 tests were skipped for want of a program; this installs all: "
        "sudo apt-get install bubblewrap libseccomp2 chromium"
    )


def test_nothing_is_said_where_nothing_is_missing() -> None:
    reasons = ["only root mounts", "here version 2 has its controllers", "previews are root outside of their sandbox"]
    assert missing_programs(reasons) is None
