"""The tests' own container engine ends with the tests, and with all that it started, however far it had come."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

import engine_kit
import pytest
from engine_kit import end_engine, start_engine, use_podman

from preview.runtime.cgroups import read_own_groups

_needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="root's engines have namespaces of their own")


@pytest.fixture
def folder() -> Path:
    # Podman's folders have short names only.
    return Path(tempfile.mkdtemp(prefix="preview-engine-"))


def _program(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def _processes_of(folder: Path) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_text("utf-8", "replace")
        except OSError:
            continue
        if str(folder) in words:
            found.append(words.replace("\0", " "))
    return found


@_needs_root
@pytest.mark.skipif(shutil.which("podman") is None, reason="podman is not installed")
def test_an_engine_whose_first_container_hangs_is_ended(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_podman(monkeypatch)
    monkeypatch.setenv("PREVIEW_TEST_CONTAINER_RUNTIME", str(_program(tmp_path / "hangs", "exec sleep 1000")))
    monkeypatch.setattr(engine_kit, "_PODMAN_START_S", 1.0)
    held = start_engine(folder)
    assert isinstance(held, str)
    assert held.startswith("the engine ")
    # The container's own time is over later.
    until = time.monotonic() + 40
    while left := _processes_of(folder):
        assert time.monotonic() < until, left
        time.sleep(0.01)


@_needs_root
def test_where_namespaces_are_refused_the_reason_is_shown_at_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_podman(monkeypatch)
    _program(tmp_path / "unshare", "echo 'unshare: unshare failed: Operation not permitted' >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(engine_kit, "_PODMAN_START_S", 1.0)
    expected = "the engine runs no container (unshare: unshare failed: Operation not permitted)"
    assert start_engine(folder) == expected
    assert not folder.exists()


@_needs_root
def test_empty_groups_of_containers_are_removed(tmp_path: Path) -> None:
    pids = read_own_groups().controllers.get("pids")
    if pids is None:
        pytest.skip("control groups of version 1 are needed")
    made = Path(pids.mount, "libpod_parent", f"libpod-test-{os.getpid()}")
    try:
        made.mkdir(parents=True)
    except OSError:
        pytest.skip("the machine's control groups cannot be written")
    end_engine(tmp_path / "none", os.open(os.devnull, os.O_RDONLY))
    assert not made.exists()


def test_folders_of_engines_that_ended_long_ago_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    earlier = time.time() - 86_400
    names = ("preview-engine-dead", "preview-engine-new", "other-dead")
    for name in names:
        (tmp_path / name / "root").mkdir(parents=True)
        if name.endswith("dead"):
            os.utime(tmp_path / name, (earlier, earlier))
    engine_kit.remove_earlier()
    assert {one.name for one in tmp_path.iterdir()} == {"preview-engine-new", "other-dead"}
