from __future__ import annotations

import posixpath
import unicodedata
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from preview.errors import InvalidGeneration, PreviewError, TooLarge
from preview.generations import GenerationLimits, check_paths
from preview.generations.files import PathCheck, TreeWriter, shown
from preview.settings import Settings

LIMITS = GenerationLimits(files=1000, size_bytes=1_000_000)


def check(*paths: str) -> list[str]:
    return check_paths(paths, Settings())


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("main.py", "main.py"),
        ("./main.py", "main.py"),
        ("././a/b", "a/b"),
        ("a/b/c.txt", "a/b/c.txt"),
        (".env", ".env"),
        ("..a/b..", "..a/b.."),
        ("...", "..."),
        ("with space.txt", "with space.txt"),
        ("~/x", "~/x"),
        ("-rf", "-rf"),
        ("ab:c", "ab:c"),
        ("é/\N{SNOWMAN}", "é/\N{SNOWMAN}"),
        # Text that runs from right to left needs no such character; a joiner is part of words and of emoji.
        ("\u05e9\u05dc\u05d5\u05dd/\u0645\u0644\u0641.py", "\u05e9\u05dc\u05d5\u05dd/\u0645\u0644\u0641.py"),
        (
            "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645.txt",
            "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645.txt",
        ),
        ("console.py", "console.py"),
        ("com.py", "com.py"),
        ("com10", "com10"),
        ("a.con", "a.con"),
        ("x" * 255, "x" * 255),
        ("/".join(["d"] * 32), "/".join(["d"] * 32)),
    ],
)
def test_ordinary_paths_are_kept(path: str, kept: str) -> None:
    assert check(path) == [kept]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("", "not a file name"),
        (".", "not a file name"),
        ("./", "not a file name"),
        ("/etc/passwd", "absolute"),
        ("//host/share", "absolute"),
        (".//etc/passwd", "absolute"),
        ("C:/windows", "absolute"),
        ("c:x", "absolute"),
        ("a:b", "absolute"),
        ("a\\b", "backslash"),
        ("\\\\host\\share", "backslash"),
        ("..", "climbs"),
        ("../x", "climbs"),
        ("a/../../x", "climbs"),
        ("a/..", "climbs"),
        ("./../x", "climbs"),
        ("a//b", "empty part"),
        ("a/./b", "empty part"),
        ("a/", "empty part"),
        ("a\0b", "control character"),
        ("a\nb", "control character"),
        ("a\x1b[31m", "control character"),
        ("a\x7f", "control character"),
        ("a\u2028b", "control character"),
        ("a\udcffb", "control character or is not UTF-8"),
        ("invoice\u202eyp.txt", "direction of text"),
        ("a/\u2066main.py\u2069", "direction of text"),
        ("main\u200f.py", "direction of text"),
        ("\u061ca", "direction of text"),
        ("x" * 256, "longer than 255 bytes"),
        ("é" * 128, "longer than 255 bytes"),
        ("/".join(["x" * 200] * 6), "longer than 1024 bytes"),
        ("/".join(["d"] * 33), "more than 32 levels"),
        ("CON", "device"),
        ("con", "device"),
        ("aux.py", "device"),
        ("app/NUL", "device"),
        ("nul.tar.gz", "device"),
        ("nul .txt", "device"),
        ("COM1/x", "device"),
        ("lpt9", "device"),
        ("com\u00b9", "device"),
        ("CONIN$", "device"),
    ],
)
def test_a_path_that_may_not_be_is_refused_with_its_reason(path: str, why: str) -> None:
    with pytest.raises(InvalidGeneration, match=why) as caught:
        check(path)
    assert shown(path) in caught.value.message
    assert caught.value.message.isprintable()
    assert str(caught.value.details["path"]).isprintable()


@pytest.mark.parametrize(
    ("paths", "why"),
    [
        (("a", "a"), "twice"),
        (("a", "./a"), "twice"),
        (("\u00e9", "e\u0301"), "twice"),
        (("a/b", "a"), "a file and a folder"),
        (("a", "a/b"), "is inside 'a', which is a file"),
        (("a/b", "a/b/c/d"), "is inside 'a/b', which is a file"),
        (("\u00e9/x", "e\u0301"), "a file and a folder"),
    ],
)
def test_paths_that_cannot_be_beside_each_other_are_refused(paths: tuple[str, ...], why: str) -> None:
    with pytest.raises(InvalidGeneration, match=why):
        check(*paths)


def test_case_makes_two_files() -> None:
    assert check("README", "readme", "App/x", "app/x") == ["README", "readme", "App/x", "app/x"]


def test_a_folder_may_be_listed_any_number_of_times() -> None:
    one = PathCheck(LIMITS)
    for folder in ("./", ".", "a/", "a", "a/b/", "a"):
        one.add_folder(folder)
    assert one.add_file("a/b/c") == "a/b/c"
    assert one.files == 1


@pytest.mark.parametrize("folder", ["/", "//", "..", "a/../..", "/etc/", "nul/", "a\0"])
def test_a_folder_that_may_not_be_is_refused(folder: str) -> None:
    with pytest.raises(InvalidGeneration):
        PathCheck(LIMITS).add_folder(folder)


def test_a_folder_where_a_file_is_is_refused() -> None:
    one = PathCheck(LIMITS)
    one.add_file("a")
    with pytest.raises(InvalidGeneration, match="a file and a folder"):
        one.add_folder("a/")


def test_a_file_where_a_listed_folder_is_is_refused() -> None:
    one = PathCheck(LIMITS)
    one.add_folder("a/b")
    with pytest.raises(InvalidGeneration, match="a file and a folder"):
        one.add_file("a/b")


def test_one_file_too_many_is_refused_with_the_limit() -> None:
    settings = Settings(generation_files=3)
    assert check_paths("abc", settings) == ["a", "b", "c"]
    with pytest.raises(TooLarge, match="more than 3 files") as caught:
        check_paths("abcd", settings)
    assert caught.value.details == {"limit_files": 3}


def test_one_folder_too_many_is_refused_with_the_limit() -> None:
    with pytest.raises(TooLarge, match="more than 3 folders"):
        check_paths(["a/b/c/d/e"], Settings(generation_files=3))


def test_a_long_path_is_shown_in_part() -> None:
    assert len(shown("\x00" * 10_000)) < 110
    assert shown("x" * 121).endswith("…'")


def test_the_default_limits_are_those_of_the_settings() -> None:
    assert GenerationLimits.default() == GenerationLimits.of(Settings())


COMPONENTS = st.one_of(
    st.sampled_from(["..", ".", "", "a", "b", "A", "nul", "e\u0301", "\u00e9", "x" * 256, "\\", "C:"]),
    st.text(max_size=8),
)
PATHS = st.one_of(st.text(max_size=30), st.lists(COMPONENTS, max_size=6).map("/".join))


@given(PATHS)
def test_an_accepted_path_stays_inside_whoever_reads_it(path: str) -> None:
    try:
        kept = check(path)[0]
    except PreviewError:
        return
    joined = posixpath.normpath(posixpath.join("/root/project", kept))
    assert joined == f"/root/project/{kept}"
    assert kept.encode().decode() == kept
    assert not any(unicodedata.category(character).startswith("C") and character < " " for character in kept)


@hypothesis_settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
@given(st.lists(PATHS, max_size=8))
def test_paths_that_are_accepted_together_can_be_written_together(paths: list[str]) -> None:
    one = PathCheck(LIMITS)
    accepted = {}
    for number, path in enumerate(paths):
        try:
            accepted[one.add_file(path)] = str(number).encode()
        except PreviewError:
            continue
    with TemporaryDirectory() as name:
        with TreeWriter(Path(name), LIMITS) as writer:
            for path, content in accepted.items():
                writer.write(path, content)
        found = {str(path.relative_to(name)): path.read_bytes() for path in Path(name).rglob("*") if path.is_file()}
    assert found == accepted
