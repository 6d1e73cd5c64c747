"""What ``doctor`` advises for users of their own, by what the machine has."""

from __future__ import annotations

import json
import os
import pwd
import shutil
from pathlib import Path

import pytest

from preview.errors import LaunchFailed
from preview.runtime.broker import NoBroker
from preview.runtime.sandbox import probe, users, why_no_range
from preview.runtime.sandbox.users import FIRST_UID, Users

_DEPLOY = Path(__file__).parents[2] / "deploy"


def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, tool: bool, ids: str, maps: str = "") -> None:
    """Args: tool: whether newuidmap is installed; ids: /etc/subuid, and subgid; maps: /proc/self/uid_map, gid_map."""
    (tmp_path / "ids").write_text(ids)
    (tmp_path / "maps").write_text(maps)
    monkeypatch.setattr(os, "geteuid", lambda: 1501)
    monkeypatch.setattr(os, "getuid", lambda: 1501)
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: pwd.struct_passwd(("ann", "x", uid, uid, "", "/", "/bin/sh")))
    monkeypatch.setattr(shutil, "which", lambda _name: "/usr/bin/newuidmap" if tool else None)
    monkeypatch.setattr(users, "_MAPS", str(tmp_path / "maps" if maps else "/proc/self/{}"))
    monkeypatch.setattr(users, "_status", lambda: {"NoNewPrivs": "\t0", "CapEff": "\t0"})
    monkeypatch.setattr(users, "_RANGES", (str(tmp_path / "ids"),) * 2)


@pytest.mark.parametrize(
    ("tool", "ids", "advised"),
    [
        (False, "ann:100000:65536", "install newuidmap (Debian's package uidmap)"),
        (True, "", "`sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ann`"),
        (True, "ann:100000:1000", "usermod"),
        (True, "bob:100000:65536", "usermod"),
        (True, "ann:100000:many\nann\nann:1:2:3", "usermod"),
    ],
)
def test_the_one_step_to_users_of_their_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tool: bool, ids: str, advised: str
) -> None:
    machine(monkeypatch, tmp_path, tool=tool, ids=ids)
    lack = why_no_range()
    assert lack is not None
    assert advised in lack.advice


@pytest.mark.parametrize("ids", ["ann:100000:65536", "1501:100000:65536"])
def test_a_user_with_a_range_lacks_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ids: str) -> None:
    machine(monkeypatch, tmp_path, tool=True, ids=ids)
    assert why_no_range() is None


@pytest.mark.parametrize(
    "status", [{"NoNewPrivs": "\t1", "CapEff": "\t0"}, {"NoNewPrivs": "\t0", "CapEff": "\t0000000000000400"}]
)
def test_a_process_that_may_gain_nothing_or_would_lose_capabilities_enters_no_range(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: dict[str, str]
) -> None:
    machine(monkeypatch, tmp_path, tool=True, ids="ann:100000:65536")
    monkeypatch.setattr(users, "_status", lambda: status)
    lack = why_no_range()
    assert lack is not None
    assert lack.advice == ""


@pytest.mark.parametrize(
    ("maps", "found"),
    [
        ("0 0 4294967295", Users(FIRST_UID, FIRST_UID - 1)),
        # newuidmap; Docker's userns-remap, Kubernetes' hostUsers: false; Podman without root.
        ("0 1501 1\n1 100000 65535", Users(0, 1)),
        ("0 100000 65536", Users(0, 1)),
        ("0 1501 1\n1 100000 65536", Users(0, 1)),
        ("0 1501 1", None),
        ("0 1501 1\n1 100000 65534", None),
        # A template's range must lie within one line.
        ("0 1501 1\n1 100000 30000\n30001 200000 40000", None),
    ],
)
def test_users_are_those_that_the_namespace_has(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, maps: str, found: Users | None
) -> None:
    machine(monkeypatch, tmp_path, tool=True, ids="", maps=maps)
    users.users_here.cache_clear()
    try:
        assert users.users_here() == found
    finally:
        users.users_here.cache_clear()


def test_no_preview_has_roots_user_or_its_templates() -> None:
    for one in (Users(FIRST_UID, FIRST_UID - 1), Users(0, 1)):
        assert min(one.inside(port) for port in range(2, 65_536)) > 0
        assert one.inside(65_535) < one.count
    for port in (0, 1):
        with pytest.raises(LaunchFailed, match=f"port {port} has none"):
            Users(0, 1).of(port)


async def test_where_apparmor_restricts_namespaces_the_reason_names_the_profile(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(_folder: Path) -> None:
        raise NoBroker("the kernel refuses unshare to an ordinary user (Permission denied)")

    monkeypatch.setattr(probe, "_is_privileged", lambda _folder: False)
    monkeypatch.setattr(probe, "open_broker", refuse)
    monkeypatch.setattr(probe, "read_switch", lambda _name: "1")
    async with probe.open_broker_if_needed(tmp_path) as broker:
        assert isinstance(broker, NoBroker)
        assert "load AppArmor's profile deploy/apparmor/preview" in str(broker)


def test_the_profile_that_is_advised_is_there_and_allows_namespaces() -> None:
    text = (_DEPLOY / "apparmor" / "preview").read_text()
    assert text.count("userns,") == text.count("profile preview")


def test_the_container_profile_refuses_no_call_that_sandboxes_need() -> None:
    refused = {
        name for rule in json.loads((_DEPLOY / "seccomp.json").read_text())["syscalls"] for name in rule["names"]
    }
    needed = {"clone", "clone3", "unshare", "setns", "mount", "umount2", "pivot_root", "open_tree", "move_mount"}
    assert not refused & (
        needed | {"mount_setattr", "seccomp", "prctl", "memfd_create", "pidfd_open", "landlock_restrict_self"}
    )
    assert {"bpf", "kexec_load", "init_module", "keyctl", "ptrace", "io_uring_setup"} <= refused
