from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from generation_kit import FILES, tree

from preview.errors import InvalidGeneration, TooLarge
from preview.generations import GenerationLimits, check_files, parse_files_json
from preview.generations.files import TreeWriter
from preview.settings import Settings

LIMITS = GenerationLimits(files=10, size_bytes=1000)
SETTINGS = Settings(generation_files=10, generation_bytes=1000)


def open_fds() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


# JSON


def test_text_and_base64_become_bytes() -> None:
    given = {"./a.txt": "é\r\n", "b/c.bin": {"base64": "AP8="}, "empty": ""}
    assert parse_files_json(given, SETTINGS) == {"a.txt": "é\r\n".encode(), "b/c.bin": b"\0\xff", "empty": b""}


@pytest.mark.parametrize(
    "content",
    [None, 1, True, [], {}, {"base64": 1}, {"base64": None}, {"text": "x"}, {"base64": "AA==", "mode": 1}],
)
def test_a_content_of_another_form_is_refused(content: object) -> None:
    with pytest.raises(InvalidGeneration, match=r"'a\.bin' has neither text nor base64") as caught:
        parse_files_json({"a.bin": content}, SETTINGS)
    assert caught.value.details == {"path": "a.bin"}


@pytest.mark.parametrize("encoded", ["A", "AA", "A===", "AA==\n", "AP8_", "é"])
def test_base64_that_cannot_be_decoded_is_refused(encoded: str) -> None:
    with pytest.raises(InvalidGeneration, match=r"'a\.bin' has base64 that cannot be decoded"):
        parse_files_json({"a.bin": {"base64": encoded}}, SETTINGS)


def test_text_with_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(InvalidGeneration, match="lone surrogate"):
        parse_files_json({"a": "\ud800"}, SETTINGS)


def test_bytes_are_counted_not_characters() -> None:
    assert len(parse_files_json({"a": "é" * 500}, SETTINGS)["a"]) == 1000
    with pytest.raises(TooLarge, match="exceed 1000 bytes") as caught:
        parse_files_json({"a": "é" * 500, "b": "x"}, SETTINGS)
    assert caught.value.details == {"limit_bytes": 1000}


@pytest.mark.parametrize("path", ["../x", "/x", "a\0"])
def test_json_paths_are_checked(path: str) -> None:
    with pytest.raises(InvalidGeneration):
        parse_files_json({path: ""}, SETTINGS)


def test_no_files_are_refused() -> None:
    with pytest.raises(InvalidGeneration, match="no files"):
        parse_files_json({}, SETTINGS)
    with pytest.raises(InvalidGeneration, match="no files"):
        check_files({}, LIMITS)


def test_files_of_a_host_are_checked_as_well() -> None:
    assert check_files({"./a": b"x"}, LIMITS) == {"a": b"x"}
    with pytest.raises(TooLarge):
        check_files({"a": b"x" * 1001}, LIMITS)
    with pytest.raises(InvalidGeneration, match="twice"):
        check_files({"a": b"", "./a": b""}, LIMITS)


# Writing


def test_files_are_written_with_their_folders_and_nothing_stays_open(tmp_path: Path) -> None:
    before = open_fds()
    with TreeWriter(tmp_path, LIMITS) as writer:
        for path, content in FILES.items():
            writer.write(path, content)
        writer.write("app/again.py", b"")
        writer.write("last", b"")
    assert tree(tmp_path) == {**FILES, "app/again.py": b"", "last": b""}
    assert stat.S_IMODE((tmp_path / "main.py").stat().st_mode) & 0o777 == 0o644 & ~current_umask()
    assert open_fds() <= before


def current_umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("path", ["link/x", "link", "dangling"])
def test_nothing_is_written_through_a_link(tmp_path: Path, path: str) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    (inside / "link").symlink_to(outside)
    (inside / "dangling").symlink_to(outside / "new")
    before = open_fds()
    with TreeWriter(inside, LIMITS) as writer, pytest.raises(InvalidGeneration, match="something is there already"):
        writer.write(path, b"x")
    assert tree(outside) == {}
    assert open_fds() <= before


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with TreeWriter(tmp_path, LIMITS) as writer, pytest.raises(InvalidGeneration, match="'a' cannot be written"):
        writer.write("a", b"new")
    assert (tmp_path / "a").read_text() == "old"


def test_a_file_where_a_folder_must_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with TreeWriter(tmp_path, LIMITS) as writer:
        with pytest.raises(InvalidGeneration):
            writer.write("a/b", b"new")
        # What failed on its way down does not decide where the next one goes.
        with pytest.raises(InvalidGeneration):
            writer.write("x/../y", b"")
        writer.write("c", b"")
    assert tree(tmp_path) == {"a": b"old", "c": b""}


def test_after_a_failure_deep_down_the_next_file_lies_where_it_should(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_text("")
    with TreeWriter(tmp_path, LIMITS) as writer:
        with pytest.raises(InvalidGeneration):
            writer.write("a/b/c/d", b"")
        writer.write("top", b"")
    assert (tmp_path / "top").exists()


def test_the_folder_itself_may_not_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        TreeWriter(tmp_path / "link", LIMITS)


def test_other_errors_of_the_system_come_through(tmp_path: Path) -> None:
    with TreeWriter(tmp_path, LIMITS) as writer:
        tmp_path.rmdir()
        with pytest.raises(FileNotFoundError):
            writer.write("a", b"")
