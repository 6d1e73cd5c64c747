"""A restored service does not own the archive of the service that was saved, which may still run."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import insert

from preview.cli.backup import contents
from preview.errors import ConfigurationError
from preview.logs.archive.owner import MARK, claim, owner_of
from preview.logs.archive.place import Folder, name_of
from preview.settings import Settings
from preview.storage import migrate
from preview.storage.engine import make_engine
from preview.storage.tables import service_facts


def _owner(settings: Settings) -> str:
    engine = make_engine(settings.resolved_database_url)
    try:
        with engine.begin() as connection:
            return owner_of(connection)
    finally:
        engine.dispose()


def _add_fact(settings: Settings) -> None:
    engine = make_engine(settings.resolved_database_url)
    with engine.begin() as connection:
        connection.execute(insert(service_facts).values(name="another fact", value="7"))
    engine.dispose()


def test_a_restored_copy_is_refused_the_archive_of_its_original(tmp_path: Path) -> None:
    original, copy = Settings(data_dir=tmp_path / "original"), Settings(data_dir=tmp_path / "copy")
    original.data_dir.mkdir(mode=0o700)
    migrate.upgrade(original.resolved_database_url)
    _add_fact(original)
    place = Folder(tmp_path / "archive")
    claim(place, _owner(original), lambda _: False)
    contents.save(original, tmp_path / "saved.zip", lambda _: None)
    # A preview that has ended since.
    place.write(name_of("preview_later"), [b"lines"])

    with contents.open_backup(tmp_path / "saved.zip") as archive:
        contents.load(archive, copy, lambda _: None)
    with pytest.raises(ConfigurationError, match=r"To take it over after `preview restore`, .* remove preview-archive"):
        claim(place, _owner(copy), lambda _: True)
    # The original is not disturbed, in its place or in its database.
    claim(place, _owner(original), lambda _: False)

    # Taken over: files that the older database does not know are still not removed, but refuse the start.
    (tmp_path / "archive" / MARK).unlink()
    with pytest.raises(ConfigurationError, match="not in this database"):
        claim(place, _owner(copy), lambda names: names == [name_of("preview_later")])
    assert (tmp_path / "archive" / name_of("preview_later")).exists()
    place.remove(name_of("preview_later"))
    claim(place, _owner(copy), bool)
