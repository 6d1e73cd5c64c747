"""Uploaded archives are unpacked by a worker, and its answer is a stranger's."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
import tempfile
import zipfile
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import trio

from preview.errors import AnalysisFailed, InvalidGeneration, PreviewError, TooLarge
from preview.generations import GenerationLimits
from preview.settings import Settings
from preview.worker import WorkerReader, open_worker_pool

LIMITS = GenerationLimits(files=20, size_bytes=5_000_000)
FILES = {"main.py": b"app = 1\n", "data/größe.bin": bytes(range(256)) * 8000, "empty.txt": b""}


def as_zip(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def as_tar(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


@pytest.fixture
async def reader(tmp_path: Path) -> AsyncIterator[WorkerReader]:
    async with open_worker_pool(Settings(data_dir=tmp_path, generation_bytes=LIMITS.size_bytes)) as pool:
        yield WorkerReader(pool)


@pytest.fixture
async def forging(tmp_path: Path) -> AsyncIterator[WorkerReader]:
    async with open_worker_pool(Settings(data_dir=tmp_path), jobs="worker_forging") as pool:
        yield WorkerReader(pool)


async def unpacked(reader: WorkerReader, packed: bytes, limits: GenerationLimits = LIMITS) -> Mapping[str, bytes]:
    with tempfile.SpooledTemporaryFile(max_size=100_000) as archive, trio.fail_after(60):
        archive.write(packed)
        return await reader.unpack(archive, limits)


def forged(contents: str, *files: tuple[Any, Any]) -> bytes:
    return json.dumps({"contents": contents, "answer": {"files": files}}).encode()


FORGED = [
    forged("abc", ("../outside.py", 3)),
    forged("abc", ("/etc/cron.d/x", 3)),
    forged("abc", ("a/../../b", 3)),
    forged("abc", ("a\0b", 3)),
    forged("abc", ("a\u202eb", 3)),
    forged("abc", ("a/./b", 3)),
    forged("abc", ("a", 1), ("a", 2)),
    forged("abc", ("a", 1), ("a/b", 2)),
    forged("abc", ("a", 4)),
    forged("abc", ("a", -1)),
    forged("abc", ("a", 2), ("b", -1), ("c", 2)),
    forged("abc", ("a", 10**18)),
    forged("a" * 30, *((f"f{number}", 1) for number in range(21))),
    forged(""),
    forged("abc", ("a", "three")),
    forged("abc", (["a"], 3)),
]


async def test_what_a_worker_forges_is_refused_as_a_whole(forging: WorkerReader) -> None:
    # One pool for all: its start takes a core for a second.
    for packed in FORGED:
        with pytest.raises(AnalysisFailed) as raised:
            await unpacked(forging, packed)
        message = raised.value.message
        assert "archive" in message or "no valid answer" in message, packed[:200]


async def test_a_worker_that_answers_as_it_should_is_believed(forging: WorkerReader) -> None:
    """The refusals above are about what it says."""
    assert await unpacked(forging, forged("abc", ("a", 1), ("b/c", 2))) == {"a": b"a", "b/c": b"bc"}


async def test_what_it_writes_is_bounded(forging: WorkerReader) -> None:
    most = Settings().generation_bytes
    packed = json.dumps({"contents": "abc", "answer": {"files": [["a", most + 1]]}}).encode()
    with pytest.raises(AnalysisFailed):
        await unpacked(forging, packed, GenerationLimits(20, most))


@pytest.mark.parametrize("pack", [as_zip, as_tar])
async def test_an_archive_is_unpacked(reader: WorkerReader, pack: Callable[[Mapping[str, bytes]], bytes]) -> None:
    assert await unpacked(reader, pack(FILES)) == FILES
    assert await unpacked(reader, pack({"small.py": b"1"})) == {"small.py": b"1"}
    assert not any("preview-unpack" in os.readlink(one.path) for one in os.scandir("/proc/self/fd") if one.is_symlink())  # noqa: PTH115


NOT_TAKEN: list[tuple[str, bytes, type[PreviewError]]] = [
    ("neither", b"neither", InvalidGeneration),
    ("empty", b"", InvalidGeneration),
    ("half a zip", as_zip(FILES)[:-40], InvalidGeneration),
    ("half a tar", as_tar(FILES)[:-400], InvalidGeneration),
    ("path", as_zip({"../x": b"1"}), InvalidGeneration),
    ("zip bomb", as_zip({"main.py": b"\0" * 6_000_000}), TooLarge),
    ("gzip bomb", gzip.compress(b"\0" * 60_000_000), TooLarge),
    ("number", as_zip({f"f{number}": b"" for number in range(21)}), TooLarge),
]


async def test_what_may_not_be_is_said_as_ever(reader: WorkerReader) -> None:
    for name, packed, kind in NOT_TAKEN:
        with pytest.raises(kind) as raised:
            await unpacked(reader, packed)
        assert type(raised.value) is kind, name
