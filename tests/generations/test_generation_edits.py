from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
import trio
from generation_kit import tree
from hypothesis import given
from hypothesis import strategies as st

from preview.errors import GenerationNotFound, InvalidGeneration, InvalidRequest, PreconditionFailed, TooLarge
from preview.generations import Edit, Generation, GenerationLibrary, GenerationLimits
from preview.settings import Settings
from preview.storage import Database

MakeSettings = Callable[..., Settings]
FILES = {"main.py": b"v = 1\n", "app/models.py": b"x = 1\n", "data.bin": bytes(range(256))}


@pytest.fixture
def library(database: Database, settings: Settings) -> GenerationLibrary:
    return GenerationLibrary(database, settings)


async def keep(library: GenerationLibrary) -> Generation:
    return await library.create(user_id="ann", project_id="p", name="", files=FILES)


async def stored(library: GenerationLibrary, generation_id: str, folder: Path) -> dict[str, bytes]:
    await trio.to_thread.run_sync(folder.mkdir)
    await library.write_files(generation_id, folder)
    return tree(folder)


async def test_an_edit_writes_adds_and_removes_in_one_step(library: GenerationLibrary, tmp_path: Path) -> None:
    made = await keep(library)
    edit = Edit({"main.py": b"v = 2\n", "new.py": b"", "app/models.py": FILES["app/models.py"]}, ["data.bin", "none"])
    edited = await library.edit(made.id, edit)
    assert (dict(edited.written), edited.removed) == ({"main.py": b"v = 2\n", "new.py": b""}, ["data.bin"])
    expected = {"main.py": b"v = 2\n", "new.py": b"", "app/models.py": b"x = 1\n"}
    assert await stored(library, made.id, tmp_path / "out") == expected
    now = await library.get(made.id)
    assert now == edited.generation
    assert (now.revision, now.file_count, now.size_bytes) == (2, 3, sum(map(len, expected.values())))


async def test_a_whole_set_removes_what_it_does_not_hold(library: GenerationLibrary, tmp_path: Path) -> None:
    made = await keep(library)
    edited = await library.edit(made.id, Edit({"main.py": b"v = 1\n", "a": b"b"}, is_whole=True))
    assert (list(edited.written), edited.removed) == (["a"], ["app/models.py", "data.bin"])
    assert await stored(library, made.id, tmp_path / "out") == {"main.py": b"v = 1\n", "a": b"b"}


async def test_an_edit_that_changes_nothing_keeps_the_revision(library: GenerationLibrary) -> None:
    made = await keep(library)
    edited = await library.edit(made.id, Edit(FILES, ["none"]))
    assert edited.is_empty
    assert (await library.get(made.id)).revision == made.revision == 1


async def test_a_file_makes_way_for_a_folder_of_its_name(library: GenerationLibrary, tmp_path: Path) -> None:
    made = await keep(library)
    await library.edit(made.id, Edit({"main.py/x": b"1"}, ["main.py"]))
    assert (await stored(library, made.id, tmp_path / "out"))["main.py/x"] == b"1"


@pytest.mark.parametrize(
    ("edit", "error"),
    [
        (Edit({}, list(FILES)), InvalidGeneration),
        (Edit({"main.py/x": b""}), InvalidGeneration),
        (Edit({"app": b""}), InvalidGeneration),
        (Edit({f"f{n}": b"" for n in range(3)}), TooLarge),
        (Edit({"main.py": b"x" * 1000}), TooLarge),
        (Edit({}, is_whole=True), InvalidGeneration),
    ],
)
async def test_an_edit_that_cannot_be_changes_nothing(
    database: Database, make_settings_in: MakeSettings, tmp_path: Path, edit: Edit, error: type[Exception]
) -> None:
    library = GenerationLibrary(database, make_settings_in(generation_files=5, generation_bytes=1000))
    made = await keep(library)
    with pytest.raises(error):
        await library.edit(made.id, edit)
    assert await library.get(made.id) == made
    assert await stored(library, made.id, tmp_path / "out") == FILES


async def test_an_edit_of_an_unknown_generation_is_refused(library: GenerationLibrary) -> None:
    with pytest.raises(GenerationNotFound, match="gen_none"):
        await library.edit("gen_none", Edit({"a": b""}))
    with pytest.raises(GenerationNotFound, match="gen_none"):
        await library.stored_files("gen_none")


async def test_of_two_edits_from_one_revision_one_is_made(library: GenerationLibrary) -> None:
    made = await keep(library)
    refused: list[PreconditionFailed] = []

    async def edit(content: bytes) -> None:
        try:
            await library.edit(made.id, Edit({"main.py": content}), expected=lambda revision: revision == 1)
        except PreconditionFailed as error:
            refused.append(error)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(edit, b"one")
            nursery.start_soon(edit, b"two")
    assert [error.details for error in refused] == [{"revision": 2}]
    assert (await library.get(made.id)).revision == 2


async def test_stored_files_are_listed_with_their_hashes(library: GenerationLibrary) -> None:
    made = await keep(library)
    listed = await library.stored_files(made.id)
    assert [(one.path, one.size_bytes, one.sha256) for one in listed] == [
        (path, len(content), sha256(content).hexdigest()) for path, content in sorted(FILES.items())
    ]
    assert await library.read_files(made.id, ["main.py", "none"]) == {"main.py": b"v = 1\n"}


async def test_many_files_are_edited_at_once(library: GenerationLibrary) -> None:
    made = await keep(library)
    many = {f"pkg/f{number}.py": b"%d" % number for number in range(1000)}
    assert len((await library.edit(made.id, Edit(many))).written) == 1000
    edited = await library.edit(made.id, Edit({**many, "pkg/f7.py": b"!"}, ["main.py"]))
    assert (list(edited.written), edited.removed) == (["pkg/f7.py"], ["main.py"])
    assert len((await library.edit(made.id, Edit(FILES, is_whole=True))).removed) == 1000


@pytest.mark.parametrize(
    ("written", "removed", "said"),
    [
        ({}, [], "The request changes nothing"),
        ({"a": b""}, ["./a"], "both to be written and to be removed"),
        ({}, ["../a"], "climbs out"),
        ({}, ["a\\b"], "backslash"),
    ],
)
def test_an_edit_that_cannot_be_meant_is_refused(written: dict[str, bytes], removed: list[str], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        Edit.of(written, removed, GenerationLimits.default())


_PATHS = st.sampled_from(["a", "b", "c/d", "c/e", "f/g/h", "i"])
_CONTENTS = st.dictionaries(_PATHS, st.binary(max_size=4), min_size=1)


@given(written=_CONTENTS, removed=st.lists(_PATHS))
def test_an_edit_is_made_of_what_was_asked_or_refused(written: dict[str, bytes], removed: list[str]) -> None:
    if set(written) & set(removed):
        with pytest.raises(InvalidRequest):
            Edit.of(written, removed, GenerationLimits.default())
    else:
        edit = Edit.of(written, removed, GenerationLimits.default())
        assert (edit.written, set(edit.removed)) == (written, set(removed))
