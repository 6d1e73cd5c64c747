"""Diffs of hostile and ordinary files."""

from __future__ import annotations

import difflib
import json
import random
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preview.worker.differences import FilePair, compare_files, pack, unpacked


def diff(before: bytes | None, after: bytes | None) -> str:
    text, reason = compare_files([FilePair("a.txt", before, after)])[0]
    assert reason is None
    assert text is not None
    return text


def test_many_files_stay_within_one_answer() -> None:
    pairs = [FilePair(f"{at}.py", None, "\N{SNOWMAN}\x01\n".encode() * 50_000) for at in range(40)]
    found = compare_files(pairs)
    assert len(json.dumps(found)) < 2 * 1024 * 1024
    assert found[0][1] == "The diff is cut: it is too long to be shown as a whole."
    assert found[-1] == (None, "Too many files differ to show them all; compare with a version that is nearer.")


def test_files_without_a_common_line_are_replaced_as_a_whole() -> None:
    before = b"".join(b"%d\n" % random.Random(at).randrange(10**6) for at in range(5000))
    after = b"".join(b"x%d\n" % at for at in range(5000))
    text, _ = compare_files([FilePair("a", before, after)])[0]
    assert text is not None
    assert text.startswith("--- a/a\n+++ b/a\n@@ -1,5000 +1,5000 @@\n-")


def test_a_long_line_is_cut() -> None:
    text, reason = compare_files([FilePair("a", b"x" * 400_000, b"y" * 400_000)])[0]
    assert text is not None
    assert len(text) < 3000
    assert reason == "The diff is cut: it is too long to be shown as a whole."


@pytest.mark.parametrize("content", [b"a\0b", b"\xff\xfe"])
def test_a_binary_file_is_named_as_such(content: bytes) -> None:
    assert compare_files([FilePair("a", b"text\n", content)]) == [(None, "The file is binary.")]


def test_new_and_removed_files_are_shown_in_full() -> None:
    assert (
        diff(None, b"one\ntwo")
        == "--- /dev/null\n+++ b/a.txt\n@@ -0,0 +1,2 @@\n+one\n+two\n\\ No newline at end of file\n"
    )
    assert diff(b"one\n", None) == "--- a/a.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-one\n"


def test_equal_starts_and_ends_do_not_change_the_diff() -> None:
    before = [f"{at}\n" for at in range(3000)]
    after = [*before[:1500], "new\n", *before[1502:]]
    expected = "".join(difflib.unified_diff(before, after, "a/a.txt", "b/a.txt"))
    assert diff("".join(before).encode(), "".join(after).encode()) == expected


LINES = st.lists(st.sampled_from(["a\n", "b\n", "@@ -1 +1 @@\n", "--- a\n", "\r\n", "no end"]), max_size=12)


@pytest.mark.skipif(shutil.which("patch") is None, reason="no patch")
@given(before=LINES, after=LINES)
def test_patch_makes_one_from_the_other(
    tmp_path_factory: pytest.TempPathFactory, before: list[str], after: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("patch")
    old, new = "".join(before).encode(), "".join(after).encode()
    text, _ = compare_files([FilePair("f", old, new)])[0]
    file = folder / "f"
    file.write_bytes(old)
    subprocess.run(["patch", "--binary", "-s", "f"], cwd=folder, input=(text or "").encode(), check=True)
    assert (file.read_bytes() if file.exists() else b"") == new


@given(st.lists(st.tuples(st.none() | st.binary(max_size=5), st.none() | st.binary(max_size=5)), max_size=5))
def test_pairs_survive_packing(pairs: list[tuple[bytes | None, bytes | None]]) -> None:
    given_ = [FilePair(str(at), *pair) for at, pair in enumerate(pairs)]
    sizes, contents = pack(given_)
    assert list(unpacked(json.loads(json.dumps(sizes)), contents)) == given_
