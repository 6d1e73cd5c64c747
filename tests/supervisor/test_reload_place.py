"""Files are changed in a folder that a hostile program lives in: nothing outside is touched, whatever it plants."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preview.errors import LaunchFailed
from preview.supervisor.preview.control import FilesChange
from preview.supervisor.process.place_files import place_files


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def write(project: Path, **files: bytes) -> None:
    place_files(project, FilesChange({name.replace("__", "/"): content for name, content in files.items()}))


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


async def test_files_are_written_with_their_folders_and_nothing_else_is_touched(project: Path) -> None:
    (project / "data.db").write_bytes(b"the application's")
    (project / "main").write_bytes(b"old")
    write(project, main=b"new", a__b__c=b"deep")
    assert tree(project) == {"data.db": b"the application's", "main": b"new", "a/b/c": b"deep"}


async def test_a_file_is_readable_for_all_and_a_script_stays_one(project: Path) -> None:
    (project / "run").write_bytes(b"#!/bin/sh\n")
    (project / "run").chmod(0o755)
    write(project, run=b"#!/bin/sh\ntrue\n", main=b"")
    assert stat.S_IMODE((project / "run").stat().st_mode) == 0o755
    assert stat.S_IMODE((project / "main").stat().st_mode) == 0o644


async def test_removed_files_go_with_the_folders_they_leave_empty(project: Path) -> None:
    write(project, a__b__c=b"1", a__d=b"2", e__f__g=b"3")
    place_files(project, FilesChange(removed=["a/b/c", "e/f/g", "not/there"]))
    assert tree(project) == {"a/d": b"2"}
    assert names(project) == ["a", "a/d"]


async def test_a_file_that_becomes_a_folder_is_removed_first(project: Path) -> None:
    write(project, a=b"file")
    place_files(project, FilesChange({"a/b": b"below"}, ["a"]))
    assert tree(project) == {"a/b": b"below"}


async def test_what_is_written_belongs_to_whom_the_folder_belongs(project: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    os.chown(project, 12345, 12345)
    write(project, a__b=b"")
    assert [(project / one).stat().st_uid for one in ("a", "a/b")] == [12345, 12345]


async def test_a_link_in_the_place_of_a_file_is_replaced_and_not_followed(project: Path) -> None:
    secret = project.parent / "secret"
    secret.write_bytes(b"the service's")
    (project / "main").symlink_to(secret)
    write(project, main=b"new")
    assert secret.read_bytes() == b"the service's"
    assert tree(project) == {"main": b"new"}


@pytest.mark.parametrize("change", [FilesChange({"a/main": b"new"}), FilesChange({"a/b/main": b"new"})])
async def test_a_link_in_the_place_of_a_folder_is_refused(project: Path, change: FilesChange) -> None:
    outside = project.parent / "outside"
    outside.mkdir()
    (project / "a").symlink_to(outside)
    with pytest.raises(LaunchFailed, match="the application has created something else at that path") as caught:
        place_files(project, change)
    assert caught.value.details["reason"] == "file_in_the_way"
    assert list(outside.iterdir()) == []


async def test_nothing_is_removed_through_a_link(project: Path) -> None:
    outside = project.parent / "outside"
    outside.mkdir()
    (outside / "main").write_bytes(b"stays")
    (project / "a").symlink_to(outside)
    with pytest.raises(LaunchFailed):
        place_files(project, FilesChange(removed=["a/main"]))
    assert tree(outside) == {"main": b"stays"}


async def test_a_folder_in_the_place_of_a_file_is_refused_and_leaves_nothing_behind(project: Path) -> None:
    (project / "main" / "data").mkdir(parents=True)
    with pytest.raises(LaunchFailed, match="something else at that path"):
        write(project, main=b"new")
    assert names(project) == ["main", "main/data"]


async def test_a_pipe_in_the_place_of_a_file_is_replaced_and_not_waited_for(project: Path) -> None:
    os.mkfifo(project / "main")
    write(project, main=b"new")
    assert tree(project) == {"main": b"new"}


NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)


@given(before=st.dictionaries(PATHS, st.binary(max_size=4)), after=st.dictionaries(PATHS, st.binary(max_size=4)))
async def test_from_any_tree_to_any_other(
    tmp_path_factory: pytest.TempPathFactory, before: dict[str, bytes], after: dict[str, bytes]
) -> None:
    before, after = _possible(before), _possible(after)
    project = tmp_path_factory.mktemp("project")
    place_files(project, FilesChange(before))
    place_files(project, FilesChange(after, [path for path in before if path not in after]))
    assert tree(project) == after


def _possible(files: dict[str, bytes]) -> dict[str, bytes]:
    """Without those that lie below another file."""
    return {path: content for path, content in files.items() if not any(path.startswith(f"{one}/") for one in files)}
