"""Download of a generation's files as an archive."""

from __future__ import annotations

import base64
import io
import random
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import trio
from http_kit import open_world
from hypothesis import given, settings
from hypothesis import strategies as st

from preview.core.clock import utc_now
from preview.generations import ArchiveKind, GenerationLimits, Packer, unpack_tar_gz, unpack_zip

BOTH = pytest.mark.parametrize("kind", list(ArchiveKind))
FILES: dict[str, Any] = {"main.py": "x = 1\n", "app/ä/leer.txt": "", "bild.bin": {"base64": "AP/+"}}
CONTENTS = {"main.py": b"x = 1\n", "app/ä/leer.txt": b"", "bild.bin": b"\x00\xff\xfe"}


def unpacked(data: bytes, kind: ArchiveKind) -> dict[str, bytes]:
    unpack = unpack_zip if kind is ArchiveKind.ZIP else unpack_tar_gz
    return unpack(io.BytesIO(data), GenerationLimits.default())


async def test_a_stranger_gets_no_archive(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        made = await world.keep(FILES)
        path = f"/api/v1/generations/{made}"
        foreign = await world.ask("GET", f"{path}/archive", user="someone-else")
        listed = await world.ask("GET", f"{path}/files", user="someone-else")
        assert foreign.status_code == listed.status_code == 404
        assert foreign.json()["code"] == listed.json()["code"]
        assert (await world.ask("GET", f"{path}/archive", user=None)).status_code == 401
        assert b"main.py" not in foreign.content


@pytest.mark.parametrize("name", ['"; filename="evil.exe', "../../etc/passwd", "\u202egpj.exe", "...", "x" * 256])
async def test_a_name_cannot_change_the_header_or_the_folder(tmp_path: Path, name: str) -> None:
    async with open_world(tmp_path) as world:
        body = {"files": FILES, "name": name}
        made = (await world.ask("POST", "/api/v1/generations", body)).json()["id"]
        answer = await world.ask("GET", f"/api/v1/generations/{made}/archive")
        shown = answer.headers["content-disposition"].removeprefix('attachment; filename="').removesuffix('"')
        assert len(shown) <= 70
        assert shown.endswith(".zip")
        assert set(shown) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
        assert not shown.startswith(".")


@BOTH
async def test_an_archive_holds_all_files_and_can_be_uploaded_again(tmp_path: Path, kind: ArchiveKind) -> None:
    async with open_world(tmp_path) as world:
        made = await world.keep(FILES)
        path = f"/api/v1/generations/{made}/archive?format={kind}"
        answer = await world.ask("GET", path)
        assert answer.status_code == 200, answer.text
        assert unpacked(answer.content, kind) == CONTENTS
        again = await world.ask("GET", path, headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        refused = await world.ask("GET", f"/api/v1/generations/{made}/archive?format=rar")
        assert refused.status_code == 400


async def test_the_list_tells_text_from_other_content(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        made = await world.keep(FILES | {"latin.txt": {"base64": "5A=="}, "zero.txt": "a\0b"})
        listed = (await world.ask("GET", f"/api/v1/generations/{made}/files")).json()["files"]
        assert {one["path"]: one["is_text"] for one in listed} == {
            "app/ä/leer.txt": True,
            "bild.bin": False,
            "latin.txt": False,
            "main.py": True,
            "zero.txt": False,
        }


_names = st.text("abcä .-_0", min_size=1, max_size=12).filter(lambda name: name not in {".", ".."})


@BOTH
@settings(max_examples=40, deadline=None)
@given(files=st.dictionaries(_names.map(lambda name: f"d/{name}"), st.binary(max_size=300), min_size=1, max_size=8))
def test_what_is_packed_in_pieces_is_unpacked_as_it_was(kind: ArchiveKind, files: dict[str, bytes]) -> None:
    packer = Packer(kind, utc_now())
    data = b"".join(packer.add([one]) for one in files.items()) + packer.finish()
    if kind is ArchiveKind.ZIP:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert archive.testzip() is None
            assert {name: archive.read(name) for name in archive.namelist()} == files
    else:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive_:
            names = {member.name: (member.uid, member.uname) for member in archive_.getmembers()}
        assert set(names) == set(files)
        assert set(names.values()) == {(0, "")}


async def test_downloads_that_nobody_reads_are_few_for_each_user(tmp_path: Path) -> None:
    async with open_world(tmp_path, max_streams_per_user=2) as world:
        # More than the sockets' buffers hold, and nothing of it can be compressed.
        noise = base64.b64encode(random.Random(1).randbytes(8 * 2**20)).decode()
        files: dict[str, Any] = {"main.py": "", "noise.bin": {"base64": noise}}
        made = await world.keep(files)
        path = f"/api/v1/generations/{made}/archive"
        async with (
            world.client.stream("GET", path, headers=world.headers("ann")) as first,
            world.client.stream("GET", path, headers=world.headers("ann")) as second,
        ):
            assert (first.status_code, second.status_code) == (200, 200)
            third = await world.ask("GET", path)
            assert (third.status_code, third.json()["code"]) == (429, "too_many_streams")
        # The service notices within a moment that both clients have gone.
        with trio.fail_after(20):
            while (status := (await world.ask("GET", path)).status_code) == 429:
                await trio.lowlevel.checkpoint()
        assert status == 200
