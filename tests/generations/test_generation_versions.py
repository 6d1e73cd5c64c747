"""Versions of files: kept exactly, bounded, removed with their generation; on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from generation_kit import tree
from hypothesis import HealthCheck, given
from hypothesis import settings as run_settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from preview.errors import InvalidGeneration, VersionNotFound
from preview.generations import Edit, GenerationLibrary, VersionNote
from preview.settings import Settings
from preview.storage import Database
from preview.storage.version_tables import file_contents, generation_versions, version_files

MakeSettings = Callable[..., Settings]
FILES = {"main.py": b"v = 1\n", "app/models.py": b"x = 1\n", "data.bin": bytes(range(256))}
PATHS = ["a", "b/c", "d.py"]
CONTENTS = [b"", b"one\n", b"two\n", bytes(300)]


@pytest.fixture
def library(database: Database, settings: Settings) -> GenerationLibrary:
    return GenerationLibrary(database, settings)


async def keep(library: GenerationLibrary) -> str:
    return (await library.create(user_id="ann", project_id="p", name="", files=FILES)).id


async def files_of(library: GenerationLibrary, generation_id: str, number: int, folder: Path) -> dict[str, bytes]:
    await trio.to_thread.run_sync(folder.mkdir)
    await library.versions.write_files(generation_id, number, folder)
    return tree(folder)


async def count(database: Database, generation_id: str) -> list[int]:
    tables = (generation_versions, version_files, file_contents)

    def query(connection):  # type: ignore[no-untyped-def]
        return [
            connection.scalar(select(func.count()).select_from(one).where(one.c.generation_id == generation_id))
            for one in tables
        ]

    return list(await database.read(query))


async def test_versions_of_a_deleted_generation_are_gone(library: GenerationLibrary, database: Database) -> None:
    made = await keep(library)
    await library.edit(made, Edit({"main.py": b"v = 2\n"}))
    assert await count(database, made) == [2, 4, 1]
    await library.delete(made)
    assert await count(database, made) == [0, 0, 0]
    with pytest.raises(VersionNotFound, match="deleted"):
        await library.versions.page(made)
    with pytest.raises(VersionNotFound, match="deleted"):
        await library.versions.edit_to(made, 1)


@pytest.mark.parametrize("number", [0, -1, 3, 2**31 - 1])
async def test_a_number_without_a_version_is_refused(library: GenerationLibrary, number: int, tmp_path: Path) -> None:
    made = await keep(library)
    await library.edit(made, Edit({"main.py": b"v = 2\n"}))
    for attempt in (
        library.versions.get(made, number),
        library.versions.files(made, number),
        library.versions.read(made, number, ["main.py"]),
        library.versions.write_files(made, number, tmp_path / "none"),
        library.versions.edit_to(made, number),
    ):
        with pytest.raises(VersionNotFound):
            await attempt
    assert not await trio.Path(tmp_path / "none").exists()


async def test_a_path_of_no_version_reads_nothing(library: GenerationLibrary) -> None:
    made = await keep(library)
    assert await library.versions.read(made, 1, ["../../etc/passwd", "none", "main.py"]) == {"main.py": b"v = 1\n"}


async def test_each_content_is_stored_once(library: GenerationLibrary, database: Database) -> None:
    made = await keep(library)
    for at in range(6):
        await library.edit(made, Edit({"main.py": b"even\n" if at % 2 else b"odd\n", "other": b"odd\n"}))
    # Past contents: the first one, "odd" and "even".
    assert (await count(database, made))[2] == 3
    assert (await library.versions.page(made)).past_bytes == 6 + 4 + 5 + 6 * 256


async def test_the_oldest_versions_go_at_the_limit(database: Database, make_settings_in: MakeSettings) -> None:
    library = GenerationLibrary(database, make_settings_in(generation_versions=3))
    made = await keep(library)
    forgotten = [(await library.edit(made, Edit({"main.py": b"%d" % at}))).forgotten for at in range(5)]
    assert forgotten == [0, 0, 1, 1, 1]
    page = await library.versions.page(made)
    assert ([one.number for one in page.items], page.oldest) == ([6, 5, 4], 4)
    assert await count(database, made) == [3, 5, 2]
    with pytest.raises(VersionNotFound, match="not kept any more; the oldest one is 4"):
        await library.versions.get(made, 3)


async def test_large_past_files_push_out_old_versions_never_the_current(
    database: Database, make_settings_in: MakeSettings, tmp_path: Path
) -> None:
    library = GenerationLibrary(database, make_settings_in(version_bytes=10_000))
    made = await keep(library)
    assert (await library.edit(made, Edit({"big": bytes(9_000)}))).forgotten == 0
    assert (await library.edit(made, Edit({"big": b"1" * 9_000}))).forgotten == 0
    assert (await library.edit(made, Edit({"big": b"2" * 9_000}))).forgotten == 2
    page = await library.versions.page(made)
    assert ([one.number for one in page.items], page.past_bytes) == ([4, 3], 9_256)
    await library.edit(made, Edit({"big": b"", "more": bytes(20_000)}))
    assert (await library.edit(made, Edit({"more": b""}))).forgotten == 2
    assert await count(database, made) == [1, 5, 0]
    assert await files_of(library, made, 6, tmp_path / "out") == FILES | {"big": b"", "more": b""}


async def test_a_refused_edit_makes_no_version(library: GenerationLibrary, database: Database) -> None:
    made = await keep(library)
    with pytest.raises(InvalidGeneration):
        await library.edit(made, Edit({}, list(FILES)))
    assert await count(database, made) == [1, 3, 0]


async def test_a_dry_run_tells_and_changes_nothing(library: GenerationLibrary, database: Database) -> None:
    made = await keep(library)
    edited = await library.edit(made, Edit({"main.py": b"2", "new": b""}, is_whole=True), is_dry=True)
    assert (sorted(edited.written), edited.added, edited.removed) == (
        ["main.py", "new"], ["new"], ["app/models.py", "data.bin"],
    )  # fmt: skip
    assert (edited.generation.revision, await count(database, made)) == (1, [1, 3, 0])


async def test_notes_and_counts_are_kept(library: GenerationLibrary) -> None:
    made = await keep(library)
    note = VersionNote("ann", "sync", "faster", "robot")
    await library.edit(made, Edit({"main.py": b"2", "new": b""}, ["data.bin"]), note=note)
    second, first = (await library.versions.page(made)).items
    assert (first.source, first.author, first.added, first.file_count) == ("push", "ann", 3, 3)
    assert (second.source, second.message, second.agent) == ("sync", "faster", "robot")
    assert (second.added, second.changed, second.removed, second.file_count) == (1, 1, 1, 3)


async def test_pages_of_versions_follow_each_other(library: GenerationLibrary) -> None:
    made = await keep(library)
    for at in range(4):
        await library.edit(made, Edit({"main.py": b"%d" % at}))
    seen, before = [], None
    while True:
        page = await library.versions.page(made, before=before, limit=2)
        seen += [one.number for one in page.items]
        before = page.next
        if before is None:
            break
    assert seen == [5, 4, 3, 2, 1]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("edit"), st.dictionaries(st.sampled_from(PATHS), st.sampled_from(CONTENTS), min_size=1)),
        st.tuples(st.just("whole"), st.dictionaries(st.sampled_from(PATHS), st.sampled_from(CONTENTS), min_size=1)),
        st.tuples(st.just("remove"), st.sampled_from(PATHS)),
        st.tuples(st.just("restore"), st.integers(0, 20)),
    ),
    min_size=1,
    max_size=12,
)


@pytest.mark.long
@run_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, versions=st.sampled_from([2, 4, 100]))
async def test_each_kept_version_has_exactly_its_files(
    database: Database, make_settings_in: MakeSettings, steps: list[tuple[str, object]], versions: int
) -> None:
    library = GenerationLibrary(database, make_settings_in(generation_versions=versions))
    made = await keep(library)
    kept = {1: dict(FILES)}
    for kind, given_ in steps:
        newest = max(kept)
        current = kept[newest]
        if kind == "restore":
            assert isinstance(given_, int)
            numbers = sorted(kept)
            edit, seen = await library.versions.edit_to(made, numbers[given_ % len(numbers)])
            assert seen == newest
            wanted = kept[numbers[given_ % len(numbers)]]
        elif kind == "remove":
            assert isinstance(given_, str)
            edit, wanted = Edit({}, [given_]), {path: one for path, one in current.items() if path != given_}
        else:
            assert isinstance(given_, dict)
            edit = Edit(given_, is_whole=kind == "whole")
            wanted = dict(given_) if kind == "whole" else current | given_
        if not wanted:
            continue
        edited = await library.edit(made, edit)
        if wanted != current:
            kept[newest + 1] = wanted
        assert edited.generation.revision == max(kept)
        kept = {number: files for number, files in kept.items() if number > max(kept) - versions}
    page = await library.versions.page(made, limit=200)
    assert [one.number for one in page.items] == sorted(kept, reverse=True)
    for number, files in kept.items():
        assert await library.versions.read(made, number, [*FILES, *PATHS]) == files
        listed = await library.versions.files(made, number)
        assert {one.path: one.size_bytes for one in listed} == {path: len(one) for path, one in files.items()}
    current_files = await library.read_files(made, [*FILES, *PATHS])
    assert current_files == kept[max(kept)]
    contents, past = await _sums(database, made)
    assert page.past_bytes == contents + 256 * past
    await library.delete(made)


async def _sums(database: Database, generation_id: str) -> tuple[int, int]:
    def query(connection):  # type: ignore[no-untyped-def]
        contents = select(func.coalesce(func.sum(file_contents.c.size_bytes), 0))
        past = select(func.count()).select_from(version_files)
        return (
            connection.scalar(contents.where(file_contents.c.generation_id == generation_id)),
            connection.scalar(
                past.where(version_files.c.generation_id == generation_id, version_files.c.until.is_not(None))
            ),
        )

    contents, past = await database.read(query)
    return int(contents), int(past)
