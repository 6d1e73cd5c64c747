"""What bubblewrap says where it is refused: each line as it is really printed, and what is advised."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preview.runtime.sandbox.probe import explain_refusal, read_switch

DEBIAN = (
    "bwrap: No permissions to create new namespace, likely because the kernel does not allow non-privileged user "
    "namespaces. See <https://deb.li/bubblewrap> or <file:///usr/share/doc/bubblewrap/README.Debian.gz>."
)
OLD_KERNEL = (
    "bwrap: Creating new namespace failed, likely because the kernel does not support user namespaces.  bwrap must be "
    "installed setuid on such systems."
)
NO_FILTER = (
    "bwrap: Unable to set up system call filtering as requested: prctl(PR_SET_SECCOMP) reported EINVAL. (Hint: this "
    "requires a kernel configured with CONFIG_SECCOMP and CONFIG_SECCOMP_FILTER.)"
)


def nothing_set(_name: str) -> None:
    return None


@pytest.mark.parametrize(
    ("said", "advised"),
    [
        (DEBIAN, "kernel.unprivileged_userns_clone=1"),
        ("bwrap: No permissions to create a new namespace, likely because the kernel does not allow it", "seccomp="),
        ("bwrap: Creating new namespace failed: Operation not permitted", "--security-opt"),
        (
            "bwrap: Creating new namespace failed: nesting depth or /proc/sys/user/max_*_namespaces exceeded (ENOSPC)",
            "user.max_user_namespaces=",
        ),
        (OLD_KERNEL, "CONFIG_USER_NS"),
        ("bwrap: setting up uid map: Permission denied", "deploy/apparmor/preview"),
        ("bwrap: loopback: Failed RTM_NEWADDR: Operation not permitted", "AppArmor"),
        ("bwrap: loopback: Failed RTM_NEWADDR: File exists", "gVisor"),
        ("bwrap: Can't mount proc on /newroot/proc: Operation not permitted", "systempaths=unconfined"),
        ("bwrap: Failed to make / slave: Permission denied", "apparmor=unconfined"),
        ("bwrap: Failed to mount tmpfs: Permission denied", "label=disable"),
        ("bwrap: Unknown option --size", "bubblewrap 0.7"),
        (NO_FILTER, "CONFIG_SECCOMP_FILTER"),
        ("setpriv: setresuid failed: Operation not permitted", "--security-opt"),
    ],
)
def test_each_refusal_has_its_advice(said: str, advised: str) -> None:
    refusal = explain_refusal(said, nothing_set)
    assert advised in refusal.advice
    assert said.removeprefix("bwrap: ")[:30] in refusal.reason


def test_the_reason_is_without_the_hint_of_a_distribution() -> None:
    assert "deb.li" not in explain_refusal(DEBIAN, nothing_set).reason


@pytest.mark.parametrize(
    ("name", "value", "advised"),
    [
        ("kernel/unprivileged_userns_clone", "0", "`sysctl kernel.unprivileged_userns_clone=1`"),
        ("user/max_user_namespaces", "0", "`sysctl user.max_user_namespaces=10000`"),
    ],
)
def test_a_switch_that_is_off_is_named_alone(name: str, value: str, advised: str) -> None:
    assert explain_refusal(DEBIAN, lambda asked: value if asked == name else None).advice == advised


def test_what_apparmor_restricts_is_named_alone() -> None:
    def switch(name: str) -> str:
        return "1" if "apparmor" in name else "31000"

    refusal = explain_refusal("bwrap: loopback: Failed RTM_NEWADDR: Operation not permitted", switch)
    assert refusal.advice.startswith("load AppArmor's profile")


def test_the_line_of_bubblewrap_counts_among_others() -> None:
    said = "sh: warning: shell level too high\nbwrap: setting up uid map: Permission denied\n"
    assert explain_refusal(said, nothing_set).reason == "bubblewrap is refused (setting up uid map: Permission denied)"


@given(st.text(max_size=600))
def test_anything_that_is_said_gives_a_reason_and_advice(said: str) -> None:
    refusal = explain_refusal(said, nothing_set)
    assert refusal.advice
    assert "\n" not in refusal.reason
    assert len(refusal.reason) < 300


def test_a_switch_that_this_kernel_has_not_is_none() -> None:
    assert read_switch("user/no_such_switch") is None
    assert read_switch("user/max_user_namespaces") not in (None, "")
