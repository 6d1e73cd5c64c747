"""The files of a preview, saved while hostile code runs, and brought back to a folder that it has left."""

from __future__ import annotations

import io
import os
import shutil
import socket
import stat
import tarfile
import threading
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from preview.data.delta import find_unchanged, write_whole
from preview.data.tar import read_index
from preview.data.tree import Tree, TreeChange, add_copy, restore_tree, save_tree
from preview.data.walk import FOLDER, walk_folder
from preview.errors import DataUnavailable

_MIB = 1024 * 1024
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user")


def save(project: Path, *leave_out: str, most_bytes: int = _MIB, most_files: int = 1000) -> tuple[BinaryIO, Tree]:
    file = io.BytesIO()
    return file, save_tree(project, file, leave_out=leave_out, most_bytes=most_bytes, most_files=most_files)


def restore(file: BinaryIO, project: Path, most_bytes: int = _MIB, most_files: int = 1000) -> TreeChange:
    file.seek(0)
    return restore_tree(file, project, most_bytes=most_bytes, most_files=most_files)


def names(file: BinaryIO) -> list[str]:
    file.seek(0)
    with tarfile.open(fileobj=file, mode="r:") as archive:
        return archive.getnames()


def listed(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


def make(project: Path, **files: str) -> Path:
    project.mkdir(exist_ok=True)
    for name, text in files.items():
        (project / name).write_text(text)
    return project


# While it is saved


def test_no_link_is_followed_that_is_swapped_in_while_the_folder_is_saved(tmp_path: Path) -> None:
    secret = make(tmp_path / "secret", a="secret", b="secret")
    project = make(tmp_path / "project")
    make(project / "folder", a="mine", b="mine")
    (project / "file").write_text("mine")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for name, target in (("folder", secret), ("file", secret / "a")):
                (project / name).rename(project / "other")
                (project / name).symlink_to(target)
                (project / name).unlink()
                (project / "other").rename(project / name)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(300):
            assert b"secret" not in save(project)[0].getvalue().replace(b"project", b"")  # type: ignore[attr-defined]
    finally:
        stop.set()
        thread.join()


def test_a_folder_that_becomes_a_link_after_it_was_seen_is_not_entered(tmp_path: Path) -> None:
    secret, project = make(tmp_path / "secret", a="secret"), make(tmp_path / "project")
    make(project / "folder", a="mine")
    root = os.open(project, FOLDER)
    found = walk_folder(root, most=100)
    assert next(found).path == "folder"
    (project / "folder").rename(tmp_path / "away")
    (project / "folder").symlink_to(secret)
    assert list(found) == []
    os.close(root)


def test_a_laid_env_file_is_neither_saved_nor_removed_by_a_restore(tmp_path: Path) -> None:
    project = make(tmp_path / "project", app="1")
    make(project / "inner", data="1")
    for folder in (project, project / "inner"):
        make(folder, **{".env": "KEY=secret"})
    file, _ = save(project)
    assert names(file) == [".", "app", "inner", "inner/data"]
    make(project, app="2")
    assert restore(file, project) == TreeChange(("app",), ())
    assert (project / "inner" / ".env").read_text() == "KEY=secret"


def test_special_files_and_what_tools_make_again_are_left_out(tmp_path: Path) -> None:
    project = make(tmp_path / "project", app="1")
    os.mkfifo(project / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(project / "socket"))
    for name in ("node_modules", "__pycache__", "venv"):
        make(project / name, inside="1")
    (project / ".venv").symlink_to("venv")
    (project / "absolute").symlink_to("/etc/passwd")
    (project / "out").symlink_to("../../etc/passwd")
    (project / "in").symlink_to("app")
    file, tree = save(project)
    assert names(file) == [".", "app", "in"]
    assert tree == Tree(2, 1)


def test_sizes_and_counts_are_bounded(tmp_path: Path) -> None:
    project = make(tmp_path / "project", a="x" * 100)
    with (project / "sparse").open("wb") as sparse:
        sparse.truncate(1 << 40)
    with pytest.raises(DataUnavailable, match="'sparse' with 1099511627776 bytes"):
        save(project)
    (project / "sparse").unlink()
    for number in range(20):
        os.link(project / "a", project / f"hard{number}")
    with pytest.raises(DataUnavailable, match="too large"):
        save(project, most_bytes=2000)
    with pytest.raises(DataUnavailable, match="too many files"):
        save(project, most_files=20)


def test_a_folder_of_many_files_is_refused_and_is_emptied_by_a_restore(tmp_path: Path) -> None:
    project = make(tmp_path / "project")
    nothing, _ = save(project)
    root = os.open(project, FOLDER)
    for number in range(20_000):
        os.mknod(str(number), dir_fd=root)
    os.close(root)
    with pytest.raises(DataUnavailable, match="too many files"):
        save(project, most_files=10_000)
    assert len(restore(nothing, project).removed) == 10_000
    assert list(project.iterdir()) == []


def test_a_very_deep_folder_is_refused_and_is_removed_by_a_restore(tmp_path: Path) -> None:
    project = make(tmp_path / "project", app="1")
    file, _ = save(project)
    folder = os.open(project, FOLDER)
    for _ in range(1500):
        os.mkdir("d", dir_fd=folder)
        inner = os.open("d", FOLDER, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)
    with pytest.raises(DataUnavailable, match="nested too deeply"):
        save(project, most_files=2000)
    assert restore(file, project).removed == ("d",)
    assert listed(project) == ["app"]


def test_names_of_any_bytes_are_kept(tmp_path: Path) -> None:
    project = make(tmp_path / "project")
    wanted = [b"\xff\xfe", b"line\nfeed", b" ", b"-rf", "schön".encode(), b"x" * 255, b"..."]
    for name in wanted:
        (project / os.fsdecode(name)).write_bytes(name)
    (project / "link").symlink_to(os.fsdecode(b"\xff\xfe"))
    file, _ = save(project)
    other = make(tmp_path / "other")
    restore(file, other)
    assert listed(other) == sorted(map(os.fsdecode, [*wanted, b"link"]))
    assert all((other / os.fsdecode(name)).read_bytes() == name for name in wanted)


def test_a_file_that_shrinks_or_grows_while_it_is_read_has_the_bytes_that_were_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make(tmp_path / "project", grows="1", last="the end", shrinks="x" * 2000)
    read = os.read

    def read_and_change(descriptor: int, count: int) -> bytes:
        (project / "shrinks").write_text("short")
        with (project / "grows").open("a") as file:
            file.write("more" * 10)
        return read(descriptor, count)

    monkeypatch.setattr("preview.data.tar.os.read", read_and_change)
    file, tree = save(project)
    monkeypatch.undo()
    other = make(tmp_path / "other")
    restore(file, other)
    assert [(other / name).read_text() for name in ("grows", "last", "shrinks")] == ["1", "the end", "short"]
    assert tree.size_bytes == 13


def test_a_copy_takes_the_place_of_a_database_and_of_its_journals(tmp_path: Path) -> None:
    project = make(tmp_path / "project", app="1")
    make(project / "data", **{"a.db": "torn", "a.db-wal": "torn", "a.db-shm": "torn", "a.db-journal": "torn"})
    file, _ = save(project, "data/a.db")
    copies = make(tmp_path / "copies", **{"0.db": "whole"})
    assert add_copy(file, "data/a.db", copies / "0.db", most_bytes=5) == 5
    change = restore(file, project)
    assert change.written == ("data/a.db",)
    assert sorted(change.removed) == ["data/a.db-journal", "data/a.db-shm", "data/a.db-wal"]
    assert [(one.name, one.read_text()) for one in (project / "data").iterdir()] == [("a.db", "whole")]


def test_a_copy_that_is_a_link_or_too_large_is_refused(tmp_path: Path) -> None:
    copies = make(tmp_path / "copies", large="12345")
    (copies / "link").symlink_to("/etc/passwd")
    os.mkfifo(copies / "pipe")
    for name, words in (("link", "not a regular file"), ("pipe", "not a regular file"), ("none", "not a regular file")):
        with pytest.raises(DataUnavailable, match=words):
            add_copy(io.BytesIO(), "a.db", copies / name, most_bytes=100)
    with pytest.raises(DataUnavailable, match="too large"):
        add_copy(io.BytesIO(), "a.db", copies / "large", most_bytes=4)


# While it is restored


def test_a_restore_writes_over_links_and_special_files_and_never_through_them(tmp_path: Path) -> None:
    outside = make(tmp_path / "outside", file="outside")
    project = make(tmp_path / "project", a="1", b="2", c="3", d="4")
    make(project / "folder", inside="5")
    (project / "link").symlink_to("a")
    file, _ = save(project)
    for name in "abcd":
        (project / name).unlink()
    (project / "a").symlink_to(outside / "file")
    os.mkfifo(project / "b")
    os.link(outside / "file", project / "c")
    make(project / "d", inside="in the way")
    (project / "link").unlink()
    (project / "link").symlink_to(outside / "file")
    (project / "folder" / "inside").unlink()
    (project / "folder").rmdir()
    (project / "folder").symlink_to(outside)
    restore(file, project)
    assert [(project / name).read_text() for name in "abcd"] == ["1", "2", "3", "4"]
    assert not any((project / name).is_symlink() for name in ("a", "folder"))
    assert (project / "link").readlink() == Path("a")
    assert (project / "folder" / "inside").read_text() == "5"
    assert {one.name: one.read_text() for one in outside.iterdir()} == {"file": "outside"}


def test_a_restore_leaves_alone_what_a_snapshot_leaves_out_and_what_has_not_changed(tmp_path: Path) -> None:
    project = make(tmp_path / "project", same="1", changed="2")
    make(project / "node_modules", inside="1")
    (project / "absolute").symlink_to("/etc/passwd")
    file, _ = save(project)
    before = (project / "same").stat()
    (project / "changed").write_text("3")
    os.mkfifo(project / "pipe")
    make(project / "__pycache__", inside="1")
    make(project / "new", inside="1")
    make(project / "new" / "node_modules", inside="1")
    assert restore(file, project) == TreeChange(("changed",), ("new",))
    after = (project / "same").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert {one.name for one in project.iterdir()} == {
        "same", "changed", "node_modules", "absolute", "pipe", "__pycache__"
    }  # fmt: skip


def test_permissions_are_brought_back_without_setuid(tmp_path: Path) -> None:
    project = make(tmp_path / "project", program="1", other="2")
    (project / "program").chmod(0o4755)
    make(project / "closed", inside="3")
    (project / "closed").chmod(0o500)
    file, _ = save(project)
    (project / "other").chmod(0o6777)
    (project / "closed").chmod(0o755)
    restore(file, project)
    modes = {name: stat.S_IMODE((project / name).stat().st_mode) for name in ("program", "other", "closed")}
    assert modes == {"program": 0o755, "other": 0o644, "closed": 0o500}


@needs_root
def test_a_user_without_privileges_restores_over_folders_that_were_closed(tmp_path: Path) -> None:
    """In a child process that is another user."""
    project = make(tmp_path / "project", app="1")
    make(project / "folder", inside="2")
    file, _ = save(project)
    (project / "folder" / "inside").write_text("changed")
    make(project / "new", inside="3")
    for path in (tmp_path, project, *project.rglob("*")):
        os.chown(path, 12345, 12345)
    for name in ("folder/inside", "folder", "new/inside", "new"):
        (project / name).chmod(0)
    project.chmod(0o500)
    parent = tmp_path.parent
    while parent != Path("/"):  # reachable for that user
        parent.chmod(parent.stat().st_mode | 0o001)
        parent = parent.parent
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(12345)
            os.setuid(12345)
            restore(file, project)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert {one.name for one in project.iterdir()} == {"app", "folder"}
    assert (project / "folder" / "inside").read_text() == "2"
    assert stat.S_IMODE((project / "folder").stat().st_mode) == 0o755


@needs_root
def test_what_is_written_belongs_to_the_owner_of_the_folder(tmp_path: Path) -> None:
    project = make(tmp_path / "project", app="1")
    make(project / "folder", inside="2")
    (project / "link").symlink_to("app")
    file, _ = save(project)
    other = make(tmp_path / "other")
    os.chown(other, 12345, 12345)
    restore(file, other)
    assert {(one.lstat().st_uid, one.lstat().st_gid) for one in other.rglob("*")} == {(12345, 12345)}


def test_a_file_in_place_of_the_generations_folder_is_restored(tmp_path: Path) -> None:
    generation, project = tmp_path / "generation", tmp_path / "project"
    for folder in (generation, project):
        (folder / "uploads").mkdir(parents=True)
        (folder / "uploads" / "kept").touch()
    shutil.rmtree(project / "uploads")
    (project / "uploads").symlink_to("elsewhere")
    difference = tmp_path / "files.tar"
    with difference.open("xb") as tar:
        save_tree(project, tar, leave_out=(), most_bytes=9999, most_files=99)
    (project / "uploads").unlink()
    with (tmp_path / "whole.tar").open("x+b") as whole:
        write_whole(generation, difference, whole, most_bytes=9999, most_files=99)
        restore_tree(whole, project, most_bytes=9999, most_files=99)
    assert (project / "uploads").readlink() == Path("elsewhere")


def test_a_database_with_a_journal_is_never_unchanged(tmp_path: Path) -> None:
    generation, project = tmp_path / "generation", tmp_path / "project"
    for folder in (generation, project):
        folder.mkdir()
        for name in ("a.db", "b.db", "c.db", "x" * 250):
            (folder / name).write_text(name)
    (project / "a.db-wal").write_text("rows")
    (project / "b.db-journal").write_text("rows")
    (project / "c.db").write_text("other")
    assert find_unchanged(project, generation, most_files=99) == {"x" * 250}


@pytest.mark.parametrize(
    "change",
    [{"name": "../a"}, {"name": "/a"}, {"name": "a/../../b"}, {"type": tarfile.LNKTYPE, "linkname": "a"},
     {"type": tarfile.CHRTYPE}, {"type": tarfile.FIFOTYPE}, {"type": tarfile.SYMTYPE, "linkname": "/etc"},
     {"type": tarfile.SYMTYPE, "linkname": "../etc"}, {"type": tarfile.SYMTYPE}, {"size": 10 * _MIB},
     {"type": tarfile.GNUTYPE_SPARSE}],
    ids=str,
)  # fmt: skip
def test_a_damaged_tar_changes_nothing(tmp_path: Path, change: dict[str, object]) -> None:
    project = make(tmp_path / "project", app="1")
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("first"))
        info = tarfile.TarInfo("second")
        for name, value in change.items():
            setattr(info, name, value)
        archive.fileobj.write(info.tobuf())
    with pytest.raises(DataUnavailable):
        restore(file, project)
    assert listed(project) == ["app"]


@hypothesis_settings(max_examples=100)
@given(st.binary(max_size=2000), st.integers(0, 4000))
def test_a_tar_of_any_bytes_is_restored_or_refused(noise: bytes, place: int) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name in ("a", "b" * 200):
            archive.addfile(tarfile.TarInfo(name))
    data = bytearray(file.getvalue()[:5000])
    data[place : place + len(noise)] = noise
    try:
        found = read_index(io.BytesIO(data), most_bytes=_MIB, most_files=10)
    except DataUnavailable:
        return
    assert not any(".." in path.split("/") or path.startswith("/") for path in found)


# Any tree


_PATHS = st.lists(st.sampled_from(["a", "b", "c", "a-b"]), min_size=1, max_size=3).map("/".join)
_THINGS = st.one_of(
    st.tuples(st.just("file"), st.sampled_from(["", "1", "2", "x" * 600])),
    st.tuples(st.just("folder"), st.just("")),
    st.tuples(st.just("link"), st.sampled_from(["a", "b/c", "nowhere"])),
    st.tuples(st.just("pipe"), st.just("")),
)
_MODES = st.sampled_from([0o644, 0o755, 0o700, 0o400, 0o500, 0o000])
_TREES = st.dictionaries(_PATHS, st.tuples(_THINGS, _MODES), max_size=8)


def build(root: Path, tree: dict[str, tuple[tuple[str, str], int]]) -> None:
    """Make as much of it as fits."""
    for path, ((kind, text), mode) in tree.items():
        place = root / path
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            if (
                place.is_symlink()
                or place.is_fifo()
                or any(one.is_symlink() for one in (place, *place.parents) if one.is_relative_to(root))
            ):
                continue
            if kind == "file":
                place.write_text(text)
            elif kind == "folder":
                place.mkdir(exist_ok=True)
            elif kind == "link":
                place.symlink_to(text)
            else:
                os.mkfifo(place)
            if kind in ("file", "folder"):
                place.chmod(mode | (0o700 if kind == "folder" and os.geteuid() else 0))
        except OSError:
            continue


def described(root: Path) -> dict[str, tuple[object, ...]]:
    """All that is saved of a folder."""
    found: dict[str, tuple[object, ...]] = {}
    for path in root.rglob("*"):
        status = path.lstat()
        name = str(path.relative_to(root))
        mode = stat.S_IMODE(status.st_mode)
        if path.is_symlink():
            found[name] = ("link", str(path.readlink()))
        elif path.is_dir():
            found[name] = ("folder", mode)
        elif path.is_file():
            found[name] = ("file", mode, path.read_text())
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to read files of any mode")
@hypothesis_settings(max_examples=60)
@given(before=_TREES, after=_TREES)
def test_whatever_has_changed_a_restore_brings_the_saved_tree_back(
    before: dict[str, tuple[tuple[str, str], int]],
    after: dict[str, tuple[tuple[str, str], int]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    project = tmp_path_factory.mktemp("tree") / "project"
    project.mkdir()
    build(project, before)
    wanted = described(project)
    file, _ = save(project)
    for path in sorted(project.rglob("*"), reverse=True)[::2]:
        path.rmdir() if path.is_dir() and not path.is_symlink() and not any(path.iterdir()) else None
        path.unlink() if path.is_symlink() or path.is_file() else None
    build(project, after)
    restore(file, project)
    assert described(project) == wanted
    assert restore(file, project) == TreeChange((), ())
