"""``preview doctor`` in a container: the options that are missing, from what the kernel shows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from preview.cli.doctor import container
from preview.cli.doctor.result import Result

_PLAIN = "22 1 0:20 / /proc rw - proc proc rw\n"
_MASKED = _PLAIN + "40 22 0:30 / /proc/kcore rw,nosuid - tmpfs tmpfs rw\n41 22 0:20 /sys /proc/sys ro - proc proc rw\n"


def make(folder: Path, *, mounts: str = _PLAIN, confined: str = "unconfined\n", status: str = "") -> Path:
    proc = folder / "proc" / "self"
    (proc / "attr").mkdir(parents=True)
    (folder / ".dockerenv").touch()
    (proc / "mountinfo").write_text(mounts)
    (proc / "attr" / "current").write_text(confined)
    (proc / "status").write_text(status or "NoNewPrivs:\t1\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\n")
    return folder


@pytest.fixture(autouse=True)
def _ordinary(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("container", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 10001)
    monkeypatch.setattr(container, "_makes_namespaces", lambda: True)


def test_outside_of_a_container_there_is_no_such_check(tmp_path: Path) -> None:
    assert container.container_check(tmp_path) is None


@pytest.mark.parametrize("name", ["container", "KUBERNETES_SERVICE_HOST"])
def test_a_container_is_known_by_a_variable_too(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "podman")
    assert container.container_check(tmp_path) is not None


def test_a_container_with_all_options_is_ok(tmp_path: Path) -> None:
    found = container.container_check(make(tmp_path))
    assert found is not None
    assert (found.result, found.advice) == (Result.OK, f"to protect the service more: {container.READ_ONLY.name}")


@pytest.mark.parametrize(
    ("made", "advised"),
    [
        ({"mounts": _MASKED}, [container.PROC]),
        ({"confined": "docker-default (enforce)\n"}, [container.APPARMOR]),
        ({"mounts": _MASKED, "confined": "docker-default (enforce)"}, [container.PROC, container.APPARMOR]),
    ],
)
def test_options_without_which_there_is_no_sandbox_are_named(
    made: dict[str, str], advised: list[container.Option], tmp_path: Path
) -> None:
    found = container.container_check(make(tmp_path, **made))
    assert found is not None
    assert found.result is Result.WARN
    assert found.advice == f"start it with {' '.join(one.name for one in advised)} (docs/containers.md)"


def test_a_profile_that_refuses_namespaces_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "_makes_namespaces", lambda: False)
    found = container.container_check(make(tmp_path))
    assert found is not None
    assert container.SECCOMP.name in found.advice


def test_options_that_only_protect_are_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = "NoNewPrivs:\t0\nCapEff:\t00000000a80425fb\nCapBnd:\t00000000a80425fb\n"
    root = make(tmp_path, status=status)
    assert container.missing_options(root) == [container.CAPABILITIES, container.PRIVILEGES, container.READ_ONLY]
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert container.missing_options(root)[0] == container.USER


def test_files_that_are_not_there_end_no_check(tmp_path: Path) -> None:
    (tmp_path / ".dockerenv").touch()
    assert container.container_check(tmp_path) is not None
