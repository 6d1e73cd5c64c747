"""Removing folders that were made to be in the way."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from preview.core import removal
from preview.core.removal import remove_folder

# Deeper than Python's stack goes, and than a path may be long.
_LEVELS = 1500


def fails_with(error: BaseException) -> tuple[object, BaseException, object]:
    return type(error), error, None


def make_deep(folder: Path) -> None:
    """A folder in a folder, many times over; the outermost and the innermost may not be entered."""
    folder.mkdir()
    here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(_LEVELS):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = below
    os.fchmod(here, 0)
    os.close(here)
    (folder / "d").chmod(0)


def test_a_link_is_removed_and_what_it_points_to_stays(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("x")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(kept)
    remove_folder(folder)
    assert not folder.exists()
    assert (kept / "file").read_text() == "x"


def test_where_there_is_nothing_nothing_is_said(tmp_path: Path) -> None:
    with capture_logs() as logs:
        remove_folder(tmp_path / "none")
    assert logs == []


def test_protected_folders_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "file").write_text("x")
    (folder / "a" / "b").chmod(0)
    (folder / "a").chmod(0o500)
    remove_folder(folder)
    assert not folder.exists()


def test_a_protected_folder_deeper_than_the_stack_is_removed(tmp_path: Path) -> None:
    make_deep(tmp_path / "deep")
    with capture_logs() as logs:
        remove_folder(tmp_path / "deep")
    assert not (tmp_path / "deep").exists()
    assert logs == []


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 100, limits[1]))  # noqa: PTH208
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.usefixtures("few_descriptors")
def test_a_folder_with_more_levels_than_descriptors_is_removed(tmp_path: Path) -> None:
    (tmp_path / "deep" / "/".join("d" * 200)).mkdir(parents=True)
    with capture_logs() as logs:
        remove_folder(tmp_path / "deep")
    assert not (tmp_path / "deep").exists()
    assert logs == []


def too_deep(monkeypatch: pytest.MonkeyPatch) -> None:
    def rmtree(*_: object, **__: object) -> None:
        raise RecursionError

    monkeypatch.setattr("preview.core.removal.shutil.rmtree", rmtree)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FileNotFoundError(2, "No such file", "chmod"), "No such file"),
        (subprocess.TimeoutExpired("chmod", 60), "timed out after 60 seconds"),
    ],
)
def test_programs_that_cannot_do_it_are_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    too_deep(monkeypatch)
    asked: list[list[str]] = []

    def run(argv: list[str], **_: object) -> None:
        asked.append(argv)
        raise error

    monkeypatch.setattr("preview.core.removal.subprocess.run", run)
    with capture_logs() as logs:
        remove_folder(tmp_path)
    assert asked == [["chmod", "-R", "u+rwX", "--", str(tmp_path)]]
    assert [(one["event"], one["path"]) for one in logs] == [("not removed", str(tmp_path))]
    assert said in logs[0]["error"]


def test_what_the_programs_leave_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    too_deep(monkeypatch)
    asked: list[str] = []
    monkeypatch.setattr("preview.core.removal.subprocess.run", lambda argv, **_: asked.append(argv[0]))
    with capture_logs() as logs:
        remove_folder(tmp_path)
    assert asked == ["chmod", "rm"]
    assert logs[0]["error"] == "rm -rf left it"


@pytest.mark.parametrize("function", [os.unlink, os.rmdir, os.scandir])
def test_a_refused_step_is_done_again_with_the_permissions_given_back(
    tmp_path: Path, function: Callable[..., object]
) -> None:
    parent = tmp_path / "parent"
    parent.mkdir()
    target = parent / "target"
    if function is os.unlink:
        target.write_text("x")
    else:
        target.mkdir()
    parent.chmod(0o500)
    removal._make_writable_and_retry(function, str(target), fails_with(PermissionError(13, "refused")))
    assert not target.exists()
    assert parent.stat().st_mode & 0o777 == 0o700


def test_a_step_that_is_refused_for_another_reason_is_told(tmp_path: Path) -> None:
    with capture_logs() as logs:
        removal._make_writable_and_retry(os.rmdir, str(tmp_path), fails_with(OSError(16, "busy")))
    assert tmp_path.exists()
    assert "busy" in logs[0]["error"]


def test_a_step_that_fails_again_is_told_and_one_that_is_done_is_not(tmp_path: Path) -> None:
    (tmp_path / "folder" / "file").mkdir(parents=True)
    refused = fails_with(PermissionError(13, "refused"))
    with capture_logs() as logs:
        removal._make_writable_and_retry(os.unlink, str(tmp_path / "gone"), refused)
        removal._make_writable_and_retry(os.unlink, str(tmp_path / "gone"), fails_with(FileNotFoundError()))
        removal._make_writable_and_retry(os.rmdir, str(tmp_path / "folder"), refused)
    assert [one["path"] for one in logs] == [str(tmp_path / "folder")]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
@pytest.mark.parametrize("name", ["plain", "with blank", "ünïcode"])
def test_what_is_mounted_in_the_folder_stays(tmp_path: Path, name: str) -> None:
    others, folder = tmp_path / "others", tmp_path / "folder"
    (others / "deep").mkdir(parents=True)
    (others / "deep" / "kept").touch()
    for place in (folder / name, folder / name / "deep"):
        place.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "--bind", others, place], check=True)
    remove_folder(folder)
    assert not folder.exists()
    assert (others / "deep" / "kept").exists()


def test_where_a_mount_cannot_be_let_go_of_nothing_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(removal, "_mounts_in", lambda _directory: [b"/nowhere/at/all"])
    with capture_logs() as told:
        remove_folder(tmp_path)
    assert (tmp_path / "file").exists()
    assert [one["event"] for one in told] == ["mount not removed"]
