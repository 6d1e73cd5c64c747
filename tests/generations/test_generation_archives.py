from __future__ import annotations

import gzip
import io
import random
import stat
import struct
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest
from generation_kit import FILES, make_tar, make_zip, member
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from preview.errors import InvalidGeneration, PreviewError, TooLarge
from preview.generations import GenerationLimits, unpack_tar_gz, unpack_zip

LIMITS = GenerationLimits(files=20, size_bytes=100_000)
TAR = make_tar(*(member(name, content) for name, content in FILES.items())).getvalue()
ZIP = make_zip(FILES).getvalue()

Unpack = Callable[[IO[bytes] | Path, GenerationLimits], dict[str, bytes]]
EITHER = pytest.mark.parametrize(("unpack", "archive"), [(unpack_zip, ZIP), (unpack_tar_gz, TAR)], ids=["zip", "tar"])


def pack(unpack: Unpack, files: dict[str, bytes]) -> io.BytesIO:
    return make_zip(files) if unpack is unpack_zip else make_tar(*(member(*one) for one in files.items()))


# Both kinds


@EITHER
def test_an_archive_becomes_its_files(unpack: Unpack, archive: bytes, tmp_path: Path) -> None:
    assert unpack(io.BytesIO(archive), LIMITS) == FILES
    path = tmp_path / "upload"
    path.write_bytes(archive)
    assert unpack(path, LIMITS) == FILES


@EITHER
def test_a_given_file_stays_open(unpack: Unpack, archive: bytes) -> None:
    source = io.BytesIO(archive)
    unpack(source, LIMITS)
    assert not source.closed


@EITHER
@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "a\\b", "C:/x", "a/../../b", "nul", "a\nb", "x" * 256], ids=lambda path: path[:10]
)
def test_paths_are_checked(unpack: Unpack, archive: bytes, path: str) -> None:
    with pytest.raises(InvalidGeneration, match="The path"):
        unpack(pack(unpack, {"main.py": b"", path: b""}), LIMITS)


@EITHER
def test_a_path_that_is_there_twice_is_refused(unpack: Unpack, archive: bytes) -> None:
    with pytest.raises(InvalidGeneration, match="twice"):
        unpack(pack(unpack, {"a": b"1", "./a": b"2"}), LIMITS)


@EITHER
def test_too_many_files_are_refused(unpack: Unpack, archive: bytes) -> None:
    assert len(unpack(pack(unpack, {f"f{n}": b"" for n in range(20)}), LIMITS)) == 20
    with pytest.raises(TooLarge, match="more than 20 files"):
        unpack(pack(unpack, {f"f{n}": b"" for n in range(21)}), LIMITS)


@EITHER
def test_more_bytes_than_allowed_are_refused(unpack: Unpack, archive: bytes) -> None:
    assert unpack(pack(unpack, {"a": b"x" * 60_000, "b": b"y" * 40_000}), LIMITS)
    with pytest.raises(TooLarge, match="100000 bytes"):
        unpack(pack(unpack, {"a": b"x" * 60_000, "b": b"y" * 40_001}), LIMITS)


@pytest.mark.timed
@EITHER
def test_a_bomb_is_refused_without_being_unpacked(unpack: Unpack, archive: bytes) -> None:
    bomb = pack(unpack, {"zeros": bytes(200 * 1024 * 1024)})
    began = time.process_time()
    with pytest.raises(TooLarge):
        unpack(bomb, LIMITS)
    assert time.process_time() - began < 1


@EITHER
def test_an_archive_without_files_is_refused(unpack: Unpack, archive: bytes) -> None:
    with pytest.raises(InvalidGeneration, match="no files"):
        unpack(pack(unpack, {}), LIMITS)


@EITHER
def test_an_archive_that_ends_early_is_refused(unpack: Unpack, archive: bytes) -> None:
    for length in range(0, len(archive), 7):
        with pytest.raises(InvalidGeneration):
            unpack(io.BytesIO(archive[:length]), LIMITS)


@EITHER
def test_the_other_kind_is_no_archive_of_this_kind(unpack: Unpack, archive: bytes) -> None:
    with pytest.raises(InvalidGeneration, match="not a valid"):
        unpack(io.BytesIO(TAR if unpack is unpack_zip else ZIP), LIMITS)


@EITHER
def test_any_byte_may_be_broken(unpack: Unpack, archive: bytes) -> None:
    """Whatever comes: the files, or one of our sentences; nothing else, and not for long."""
    chance = random.Random(7)
    for _ in range(400):
        broken = bytearray(archive)
        for _ in range(chance.randint(1, 4)):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        try:
            unpack(io.BytesIO(bytes(broken)), LIMITS)
        except PreviewError:
            continue


@hypothesis_settings(deadline=None, max_examples=100)
@given(st.binary(max_size=400))
def test_any_bytes_are_an_archive_or_refused(content: bytes) -> None:
    for unpack, start in ((unpack_zip, b"PK\x03\x04"), (unpack_tar_gz, b"\x1f\x8b\x08\0")):
        for source in (content, start + content):
            with pytest.raises(PreviewError):
                unpack(io.BytesIO(source), LIMITS)


@hypothesis_settings(deadline=None, max_examples=100)
@given(st.binary(max_size=2000), st.booleans())
def test_any_tar_within_a_good_gzip_is_unpacked_or_refused(content: bytes, behind_a_file: bool) -> None:
    plain = gzip.decompress(TAR)[:1024] + content if behind_a_file else content
    try:
        unpack_tar_gz(io.BytesIO(gzip.compress(plain, 1)), LIMITS)
    except PreviewError:
        return


# zip


def test_stored_files_are_taken() -> None:
    assert unpack_zip(make_zip(FILES, compression=zipfile.ZIP_STORED), LIMITS) == FILES


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused(compression: int) -> None:
    with pytest.raises(InvalidGeneration, match="compressed in an unsupported way"):
        unpack_zip(make_zip(FILES, compression=compression), LIMITS)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (stat.S_IFLNK, "a link"),
        (stat.S_IFIFO, "a device or another special file"),
        (stat.S_IFBLK, "a device or another special file"),
        (stat.S_IFCHR, "a device or another special file"),
        (stat.S_IFSOCK, "a device or another special file"),
    ],
)
def test_a_zip_entry_that_is_no_file_is_refused(kind: int, said: str) -> None:
    with pytest.raises(InvalidGeneration, match=f"'a' is {said}"):
        unpack_zip(make_zip({"a": b"/etc/passwd"}, mode=kind | 0o777), LIMITS)


def test_folders_of_a_zip_and_what_macos_adds_are_left_out() -> None:
    files = {"app/": b"", "app/main.py": b"x", "__MACOSX/": b"", "__MACOSX/app/._main.py": b"junk"}
    assert unpack_zip(make_zip(files), LIMITS) == {"app/main.py": b"x"}


def test_an_encrypted_zip_is_refused() -> None:
    content = bytearray(make_zip({"a": b"x"}).getvalue())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(InvalidGeneration, match="encrypted"):
        unpack_zip(io.BytesIO(bytes(content)), LIMITS)


def test_what_follows_a_nul_in_a_name_is_not_hidden() -> None:
    content = make_zip({"main.pyX.txt": b"x"}).getvalue().replace(b"main.pyX.txt", b"main.py\0.txt")
    with pytest.raises(InvalidGeneration, match="control character"):
        unpack_zip(io.BytesIO(content), LIMITS)


def test_files_that_share_their_bytes_are_refused() -> None:
    content = bytearray(make_zip({"a": b"x" * 50, "b": b"x" * 50}, compression=zipfile.ZIP_STORED).getvalue())
    # The second record of the central directory points to the first file's header.
    second = content.index(b"PK\x01\x02", content.index(b"PK\x01\x02") + 4)
    content[second + 42 : second + 46] = struct.pack("<L", 0)
    with pytest.raises(InvalidGeneration, match="overlap"):
        unpack_zip(io.BytesIO(bytes(content)), LIMITS)


def test_a_size_that_is_a_lie_is_found_out() -> None:
    content = bytearray(make_zip({"a": b"x" * 5000}).getvalue())
    record = content.index(b"PK\x01\x02")
    content[record + 24 : record + 28] = struct.pack("<L", 10)
    with pytest.raises(InvalidGeneration, match="not a valid"):
        unpack_zip(io.BytesIO(bytes(content)), LIMITS)


def test_a_content_that_is_not_what_its_checksum_says_is_refused() -> None:
    content = make_zip({"a": b"hello"}, compression=zipfile.ZIP_STORED).getvalue().replace(b"hello", b"hullo", 1)
    with pytest.raises(InvalidGeneration, match="not a valid"):
        unpack_zip(io.BytesIO(content), LIMITS)


def test_a_huge_central_directory_is_not_read() -> None:
    with pytest.raises(InvalidGeneration, match="which is too long"):
        unpack_zip(make_zip({f"{n:0200}": b"" for n in range(1000)}), LIMITS)


# tar.gz


@pytest.mark.parametrize("tar_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_tar_format_is_taken(tar_format: int) -> None:
    long = "/".join(["folder" * 10] * 2) + "/" + "f" * 90
    members = [member("./", kind=tarfile.DIRTYPE), member("./app", kind=tarfile.DIRTYPE), member("./app/x", b"1")]
    assert unpack_tar_gz(make_tar(*members, member(long, b"2"), tar_format=tar_format), LIMITS) == {
        "app/x": b"1",
        long: b"2",
    }


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (tarfile.SYMTYPE, "a link"),
        (tarfile.LNKTYPE, "a link"),
        (tarfile.CHRTYPE, "a device or another special file"),
        (tarfile.BLKTYPE, "a device or another special file"),
        (tarfile.FIFOTYPE, "a device or another special file"),
    ],
)
def test_a_tar_entry_that_is_no_file_is_refused(kind: bytes, said: str) -> None:
    with pytest.raises(InvalidGeneration, match=f"'a' is {said}"):
        unpack_tar_gz(make_tar(member("main.py"), member("a", kind=kind, link="/etc/passwd")), LIMITS)


def test_a_sparse_file_is_refused() -> None:
    info, content = member("a")
    info.type = tarfile.GNUTYPE_SPARSE
    with pytest.raises(InvalidGeneration, match="a sparse file"):
        unpack_tar_gz(make_tar((info, content), tar_format=tarfile.GNU_FORMAT), LIMITS)


def test_the_same_folder_many_times_is_refused() -> None:
    folders = [member("a", kind=tarfile.DIRTYPE) for _ in range(41)]
    with pytest.raises(TooLarge, match="more than 40 entries"):
        unpack_tar_gz(make_tar(member("x"), *folders), LIMITS)


def test_a_huge_header_is_not_read() -> None:
    info, _ = member("a")
    info.pax_headers = {"comment": "x" * 100_000}
    with pytest.raises(InvalidGeneration, match="which is too long"):
        unpack_tar_gz(make_tar((info, b"")), LIMITS)


@pytest.mark.timed
def test_a_header_that_would_keep_the_parser_busy_is_refused() -> None:
    info, _ = member("a")
    info.pax_headers = {"comment": "1" * 60_000}
    began = time.process_time()
    with pytest.raises(InvalidGeneration, match="an invalid header"):
        unpack_tar_gz(make_tar((info, b"")), LIMITS)
    assert time.process_time() - began < 1


def test_digits_in_a_file_are_no_header() -> None:
    content = b"1" * 50_000
    assert unpack_tar_gz(make_tar(member("pi.txt", content)), LIMITS) == {"pi.txt": content}


def test_a_long_chain_of_headers_is_refused() -> None:
    info, _ = member("a")
    info.pax_headers = {"comment": "x"}
    # The header that describes the next one, again and again.
    header = info.tobuf(tarfile.PAX_FORMAT)[:1024]
    limits = GenerationLimits(5000, GenerationLimits.default().size_bytes)
    with pytest.raises(InvalidGeneration, match="not a valid"):
        unpack_tar_gz(io.BytesIO(gzip.compress(header * 4000)), limits)


def test_a_tar_whose_last_file_is_cut_is_refused() -> None:
    plain = gzip.decompress(make_tar(member("a", b"x" * 5000)).getvalue())[: 512 + 4000]
    with pytest.raises(InvalidGeneration, match="not a valid"):
        unpack_tar_gz(io.BytesIO(gzip.compress(plain)), LIMITS)


def test_several_gzip_members_are_one_archive() -> None:
    plain = gzip.decompress(TAR)
    parts = gzip.compress(plain[:700]) + gzip.compress(plain[700:])
    assert unpack_tar_gz(io.BytesIO(parts), LIMITS) == FILES


def test_broken_deflate_is_refused() -> None:
    content = TAR[:10] + zlib.compress(b"x" * 1000) + TAR[-8:]
    with pytest.raises(InvalidGeneration, match="not a valid"):
        unpack_tar_gz(io.BytesIO(content), LIMITS)
