"""Uploads of any kind: kept as a whole within the limits, or refused as a whole."""

from __future__ import annotations

import base64
import gzip
import io
import struct
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from contract_cases import bounded
from contract_edges import JSON, NASTY, TEXT, attempt, judge
from hypothesis import given
from hypothesis import strategies as st
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from preview.errors import PreviewError
from preview.generations import GenerationLimits, parse_files_json, unpack_tar_gz, unpack_zip
from preview.http.core.uploads import read_upload
from preview.settings import Settings
from preview.worker import InProcess

APP = QuartTrio("test", static_folder=None)
SETTINGS = Settings(generation_files=20, generation_bytes=50_000, upload_bytes=200_000)
LIMITS = GenerationLimits.of(SETTINGS)
WHOLE = [
    "main.py",
    "MAIN.PY",
    "a/b.py",
    "a",
    "a/",
    "a//b",
    "./a",
    "A/b.py",
    "e\u0301.py",
    "\xe9.py",
    "con",
    "x" * 300,
    "a/" * 40,
]
NAMES = (
    st.sampled_from([*WHOLE, "../x", "/etc/passwd", "C:\\x", "__MACOSX/x", "\x1b[2J" * 30, "\U000e0001" * 120]) | TEXT
)
CONTENTS = st.binary(max_size=60) | st.sampled_from([b"\0" * 49_999, b"\0" * 50_001])
KINDS = st.sampled_from([0, 0o100644, 0o100755, 0o120777, 0o040755, 0o060000, 0o010000, 0o140000])
Entry = tuple[str, bytes, int]
ENTRIES = st.lists(st.tuples(NAMES, CONTENTS, KINDS), max_size=6) | st.integers(19, 50).map(
    lambda count: [(f"f{number}", b"", 0) for number in range(count)]
)
# Where a byte is changed, and to what: headers lie anywhere.
DAMAGE = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4)


def zipped(
    entries: Sequence[Entry], *, zip64: bool = False, flags: int = 0, method: int = zipfile.ZIP_DEFLATED
) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, content, mode in entries:
            entry = zipfile.ZipInfo(name.encode("utf-8", "replace").decode() or "x")
            entry.external_attr, entry.compress_type = mode << 16, method
            with archive.open(entry, "w", force_zip64=zip64) as member:
                member.write(content)
    packed = bytearray(target.getvalue())
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = 0
        while flags and (start := packed.find(signature, start)) >= 0:
            struct.pack_into("<H", packed, start + place, flags | struct.unpack_from("<H", packed, start + place)[0])
            start += 4
    return bytes(packed)


def tarred(entries: Sequence[Entry], *, form: int = tarfile.PAX_FORMAT) -> bytes:
    types = {
        0o120777: tarfile.SYMTYPE,
        0o040755: tarfile.DIRTYPE,
        0o060000: tarfile.BLKTYPE,
        0o010000: tarfile.FIFOTYPE,
    }
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=form, errors="replace") as archive:
        for name, content, mode in entries:
            member = tarfile.TarInfo(name.encode("utf-8", "replace").decode())
            member.type, member.linkname = types.get(mode, tarfile.REGTYPE), "../../etc/passwd"
            member.size = len(content) if member.isreg() else 0
            try:
                archive.addfile(member, io.BytesIO(content))
            except ValueError:  # a name that this format cannot hold
                continue
    return target.getvalue()


def damaged(packed: bytes, damage: Sequence[tuple[int, int]], kept: float = 1.0) -> io.BytesIO:
    """With some bytes changed, and cut off behind a part of it."""
    changed = bytearray(packed)
    for place, value in damage:
        changed[place % len(changed)] = value
    return io.BytesIO(bytes(changed[: int(len(changed) * kept)]))


def assert_fit(files: dict[str, bytes] | None) -> None:
    """What was taken is within the limits and stays inside its folder."""
    if files is None:
        return
    assert 0 < len(files) <= SETTINGS.generation_files
    assert sum(map(len, files.values())) <= SETTINGS.generation_bytes
    for path in files:
        assert not path.startswith("/")
        assert not {"", ".", ".."} & set(path.split("/"))
        assert path.isprintable() or not any(ord(one) < 32 for one in path)


@bounded(100)
@given(
    entries=ENTRIES,
    zip64=st.booleans(),
    flags=st.sampled_from([0, 0, 0, 1, 0x40, 0x20, 0x800]),
    method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]),
    damage=DAMAGE,
    kept=st.sampled_from([1.0, 1.0, 1.0, 0.9, 0.5]),
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_any_zip_is_unpacked_or_refused(
    entries: list[Entry], zip64: bool, flags: int, method: int, damage: list[tuple[int, int]], kept: float
) -> None:
    packed = zipped(entries, zip64=zip64, flags=flags, method=method)
    assert_fit(attempt(unpack_zip, damaged(packed, damage, kept), LIMITS))


@bounded(100)
@given(
    entries=ENTRIES,
    form=st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT]),
    inner=DAMAGE,
    outer=DAMAGE.map(lambda damage: damage[:1]),
    kept=st.sampled_from([1.0, 1.0, 1.0, 0.9, 0.5]),
)
def test_any_tar_gz_is_unpacked_or_refused(
    entries: list[Entry], form: int, inner: list[tuple[int, int]], outer: list[tuple[int, int]], kept: float
) -> None:
    plain = damaged(tarred(entries, form=form), inner).getvalue()
    assert_fit(attempt(unpack_tar_gz, damaged(gzip.compress(plain, 1), outer, kept), LIMITS))


@bounded(100)
@given(
    st.dictionaries(
        NAMES,
        TEXT
        | JSON
        | CONTENTS.map(lambda raw: {"base64": base64.b64encode(raw).decode()})
        | st.just({"base64": "\xe9"}),
        max_size=4,
    )
)
def test_any_files_as_json_are_taken_or_refused(files: dict[str, Any]) -> None:
    assert_fit(attempt(parse_files_json, files, SETTINGS))


PARTS = st.lists(
    st.tuples(
        st.sampled_from(["archive", "project_id", "name", "\xff", "x" * 500, "a\x1b[31m", "files"]),
        st.none() | st.sampled_from(["a.zip", "..\\..\\x", "\0", "a\r\nb"]),
        st.binary(max_size=50) | st.just(b"x" * 20_000) | st.just(zipped([("main.py", b"1", 0)])),
    ),
    max_size=20,
)
BOUNDARIES = st.sampled_from(["b", "", "x" * 80, "x" * 5000, "a b", "\xe9", "(.*)", "--"])


def form_of(parts: Sequence[tuple[str, str | None, bytes]], boundary: str, *, ended: bool) -> bytes:
    written = b""
    for name, filename, content in parts:
        file = b"" if filename is None else f'; filename="{filename}"'.encode("latin-1", "replace")
        head = b'Content-Disposition: form-data; name="' + name.encode("latin-1", "replace") + b'"' + file
        written += b"--" + boundary.encode("latin-1", "replace") + b"\r\n" + head + b"\r\n\r\n" + content + b"\r\n"
    return written + (b"--" + boundary.encode("latin-1", "replace") + b"--\r\n" if ended else b"")


@bounded(100)
@given(PARTS, BOUNDARIES | NASTY, st.booleans(), DAMAGE)
async def test_any_form_is_an_upload_or_refused(
    parts: list[tuple[str, str | None, bytes]], boundary: str, ended: bool, damage: list[tuple[int, int]]
) -> None:
    raw = damaged(form_of(parts, boundary, ended=ended) or b"x", damage).getvalue()
    shown = boundary.replace("\n", "").replace("\r", "").encode("latin-1", "replace").decode("latin-1")
    headers = {"Content-Type": f'multipart/form-data; boundary="{shown}"'}
    refusal = None
    async with APP.test_request_context("/", method="POST", data=raw, headers=headers) as context:
        try:
            assert_fit(dict((await read_upload(context.request, SETTINGS, InProcess())).files))
        except PreviewError as error:
            refusal = error
        except HTTPException as error:
            assert error.code in {400, 408, 413, 415}  # noqa: PT017  which of them is the framework's to say
    if refusal is not None:
        judge(refusal)


@pytest.mark.parametrize(
    ("unpack", "pack"),
    # Made in the test: else each process that only collects it makes all four.
    [
        (unpack_zip, lambda: zipped([("main.py", b"\0" * 40_000_000, 0)])),
        (unpack_tar_gz, lambda: gzip.compress(b"\0" * 40_000_000)),
        (unpack_zip, lambda: zipped([(f"f{number}", b"", 0) for number in range(20_000)])),
        (unpack_tar_gz, lambda: gzip.compress(tarred([(f"f{number}", b"", 0) for number in range(5_000)]))),
    ],
    ids=["zip-bytes", "tar-bytes", "zip-count", "tar-count"],
)
def test_a_bomb_is_refused_in_bounded_time(unpack: Callable[..., dict[str, bytes]], pack: Callable[[], bytes]) -> None:
    assert attempt(unpack, io.BytesIO(pack()), LIMITS) is None
