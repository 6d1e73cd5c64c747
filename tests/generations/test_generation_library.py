from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from generation_kit import FILES, tree
from sqlalchemy import delete, func, insert, select

from preview.errors import (
    GenerationLimitReached,
    GenerationNotFound,
    InvalidGeneration,
    InvalidRequest,
    PreviewError,
    TooLarge,
)
from preview.generations import GenerationLibrary, GenerationSource
from preview.settings import Settings
from preview.storage import Database, UserStore
from preview.storage.tables import generation_files, generations, projects, users

MakeSettings = Callable[..., Settings]


@pytest.fixture
def library(database: Database, settings: Settings) -> GenerationLibrary:
    return GenerationLibrary(database, settings)


async def count(database: Database) -> dict[str, int]:
    """Rows of each table."""
    tables = (users, projects, generations, generation_files)
    return await database.read(
        lambda connection: {
            table.name: connection.scalar(select(func.count()).select_from(table)) or 0 for table in tables
        }
    )


NOTHING = {"users": 0, "projects": 0, "generations": 0, "generation_files": 0}


async def test_a_generation_is_kept_and_found(library: GenerationLibrary, database: Database) -> None:
    made = await library.create(user_id="user_1", project_id="shop", name="A shop \N{SNOWMAN}", files=FILES)
    assert (made.user_id, made.project_id, made.name, made.file_count) == ("user_1", "shop", "A shop \N{SNOWMAN}", 3)
    assert made.size_bytes == sum(map(len, FILES.values()))
    source: GenerationSource = library
    assert await source.get(made.id) == made
    assert await count(database) == {"users": 1, "projects": 1, "generations": 1, "generation_files": 3}
    assert await UserStore(database).tier("user_1") == "free"


async def test_without_a_project_a_new_one_is_made(library: GenerationLibrary) -> None:
    first = await library.create(user_id="u", project_id=None, name="", files=FILES)
    second = await library.create(user_id="u", project_id=None, name="", files=FILES)
    assert first.project_id.startswith("project_")
    assert first.project_id != second.project_id


async def test_a_project_holds_many_generations_of_one_user(library: GenerationLibrary, database: Database) -> None:
    for _ in range(3):
        await library.create(user_id="u", project_id="p", name="", files=FILES)
    assert (await count(database))["projects"] == 1


async def test_two_users_may_give_their_projects_the_same_id(library: GenerationLibrary, database: Database) -> None:
    made = {
        user: await library.create(user_id=user, project_id="p", name=user, files=FILES)
        for user in ("ann", "ben", "ann", "cleo")
    }
    assert {one.project_id for one in made.values()} == {"p"}
    assert (await count(database))["projects"] == 3
    for user, seen in (("ann", 2), ("ben", 1), ("cleo", 1)):
        page, _ = await library.list_for_user(user)
        assert [(one.project_id, one.user_id) for one in page] == [("p", user)] * seen
    await library.delete(made["ben"].id)
    assert len((await library.list_for_user("ann"))[0]) == 2


async def test_a_project_that_goes_takes_no_generation_of_another_user_with_it(
    library: GenerationLibrary, database: Database
) -> None:
    made = {user: await library.create(user_id=user, project_id="p", name="", files=FILES) for user in ("ann", "ben")}
    await database.write(lambda connection: connection.execute(delete(projects).where(projects.c.user_id == "ann")))
    with pytest.raises(GenerationNotFound):
        await library.get(made["ann"].id)
    assert (await library.get(made["ben"].id)).project_id == "p"


async def test_a_project_id_of_another_user_counts_towards_nobodys_limit(
    database: Database, make_settings_in: MakeSettings
) -> None:
    library = GenerationLibrary(database, make_settings_in(generations_per_user=1))
    for user in ("ann", "ben"):
        await library.create(user_id=user, project_id="p", name="", files=FILES)
    with pytest.raises(GenerationLimitReached) as caught:
        await library.create(user_id="ben", project_id="p", name="", files=FILES)
    assert caught.value.details == {"limit": 1}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"files": {}}, InvalidGeneration),
        ({"files": {"a": b"", "../x": b""}}, InvalidGeneration),
        ({"files": {"a": b"x" * 101}}, TooLarge),
        ({"files": {f"f{n}": b"" for n in range(6)}}, TooLarge),
        ({"project_id": ""}, InvalidRequest),
        ({"project_id": "a b"}, InvalidRequest),
        ({"project_id": "x" * 129}, InvalidRequest),
        ({"name": "x" * 257}, InvalidRequest),
        ({"name": "a\0"}, InvalidRequest),
        ({"name": "\ud800"}, InvalidRequest),
    ],
)
async def test_what_is_refused_leaves_nothing(
    database: Database, make_settings_in: MakeSettings, change: dict[str, object], error: type[PreviewError]
) -> None:
    library = GenerationLibrary(database, make_settings_in(generation_files=5, generation_bytes=100))
    given: dict[str, object] = {"user_id": "u", "project_id": "p", "name": "n", "files": {"a": b""}, **change}
    with pytest.raises(error):
        await library.create(**given)  # type: ignore[arg-type]  # wrong on purpose
    assert await count(database) == NOTHING


async def test_a_user_keeps_no_more_than_allowed(database: Database, make_settings_in: MakeSettings) -> None:
    library = GenerationLibrary(database, make_settings_in(generations_per_user=2))
    kept = [await library.create(user_id="u", project_id="p", name="", files=FILES) for _ in range(2)]
    with pytest.raises(GenerationLimitReached, match="Delete one") as caught:
        await library.create(user_id="u", project_id="p", name="", files=FILES)
    assert caught.value.details == {"limit": 2}
    await library.create(user_id="other", project_id=None, name="", files=FILES)
    await library.delete(kept[0].id)
    await library.create(user_id="u", project_id="p", name="", files=FILES)


async def test_the_limit_holds_for_uploads_at_the_same_moment(
    database: Database, make_settings_in: MakeSettings
) -> None:
    library = GenerationLibrary(database, make_settings_in(generations_per_user=3))
    refused = []

    async def upload() -> None:
        try:
            await library.create(user_id="u", project_id="p", name="", files=FILES)
        except GenerationLimitReached as error:
            refused.append(error)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(upload)
    assert len(refused) == 7
    assert (await count(database))["generations"] == 3


async def test_an_unknown_generation_is_not_found(library: GenerationLibrary, tmp_path: Path) -> None:
    for call in (library.get, library.delete, library.file_list):
        with pytest.raises(GenerationNotFound, match="gen_none"):
            await call("gen_none")
    with pytest.raises(GenerationNotFound):
        await library.write_files("gen_none", tmp_path)


async def test_deleting_takes_the_files_along(library: GenerationLibrary, database: Database) -> None:
    gone = await library.create(user_id="u", project_id="p", name="", files=FILES)
    stays = await library.create(user_id="u", project_id="p", name="", files={"a": b""})
    await library.delete(gone.id)
    with pytest.raises(GenerationNotFound):
        await library.get(gone.id)
    assert await library.file_list(stays.id) == [("a", 0)]
    assert (await count(database))["generation_files"] == 1


async def test_files_are_listed_with_their_sizes(library: GenerationLibrary) -> None:
    made = await library.create(user_id="u", project_id="p", name="", files=FILES)
    assert await library.file_list(made.id) == sorted((path, len(content)) for path, content in FILES.items())


async def test_generations_are_listed_by_pages_newest_first(library: GenerationLibrary) -> None:
    made = [await library.create(user_id="u", project_id="p", name=str(n), files={"a": b""}) for n in range(5)]
    await library.create(user_id="other", project_id=None, name="", files={"a": b""})
    seen, cursor, pages = [], None, 0
    while pages == 0 or cursor is not None:
        page, cursor = await library.list_for_user("u", cursor=cursor, limit=2)
        seen += page
        pages += 1
    assert pages == 3
    assert {one.id for one in seen} == {one.id for one in made}
    assert [(one.created_at, one.id) for one in seen] == sorted(
        ((one.created_at, one.id) for one in made), reverse=True
    )


async def test_a_wrong_cursor_is_refused(library: GenerationLibrary) -> None:
    with pytest.raises(InvalidRequest):
        await library.list_for_user("u", cursor="nonsense")


# Back to disk


async def test_a_path_that_no_file_can_have_is_not_found(library: GenerationLibrary) -> None:
    # PostgreSQL refuses NUL in a text: an address with %00 must not be an internal error.
    made = await library.create(user_id="u", project_id="p", name="", files=FILES)
    path = next(iter(FILES))
    assert await library.read_files(made.id, ["a\0b", path]) == {path: FILES[path]}


async def test_removals_at_the_same_moment_are_one(library: GenerationLibrary) -> None:
    made = await library.create(user_id="u", project_id="p", name="", files=FILES)
    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(library.removed.put_aside, made.id, "u")
    assert [one.id for one in await library.removed.list_for_user("u", 0)] == [made.id]


async def test_files_come_back_as_they_were(library: GenerationLibrary, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    made = await library.create(user_id="u", project_id="p", name="", files=FILES)
    await library.write_files(made.id, target)
    assert tree(target) == FILES


async def test_many_and_large_files_are_written_in_parts(library: GenerationLibrary, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    files = {f"small/{n}": str(n).encode() for n in range(450)}
    files |= {f"large/{n}": bytes([n]) * 3 * 1024 * 1024 for n in range(3)}
    made = await library.create(user_id="u", project_id="p", name="", files=files)
    with trio.fail_after(60):
        await library.write_files(made.id, target)
    assert tree(target) == files


async def test_a_generation_that_is_deleted_meanwhile_is_not_found(
    library: GenerationLibrary, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await library.create(user_id="u", project_id="p", name="", files=FILES)
    listed = await library.file_list(made.id)

    async def list_then_delete(_id: str) -> list[tuple[str, int]]:
        await library.delete(made.id)
        return listed

    monkeypatch.setattr(library, "file_list", list_then_delete)
    with pytest.raises(GenerationNotFound):
        await library.write_files(made.id, tmp_path)


async def test_rows_that_somebody_has_tampered_with_do_not_leave_the_folder(
    library: GenerationLibrary, database: Database, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    target.mkdir()
    made = await library.create(user_id="u", project_id="p", name="", files={"a": b""})
    row = {"generation_id": made.id, "path": "../escaped", "size_bytes": 1, "content": b"x"}
    await database.write(lambda connection: connection.execute(insert(generation_files).values(row)))
    with pytest.raises(InvalidGeneration, match="climbs"):
        await library.write_files(made.id, target)
    assert not (tmp_path / "escaped").exists()


async def test_users_and_projects_take_their_generations_along(library: GenerationLibrary, database: Database) -> None:
    await library.create(user_id="u", project_id="p", name="", files=FILES)
    await database.write(lambda connection: connection.execute(delete(users)))
    assert await count(database) == NOTHING
