from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from preview.errors import ConfigurationError, SealedTextUnreadable
from preview.settings import Settings
from preview.storage.sealing import Sealer, open_sealer

OLD, NEW = "a" * 32, "b" * 32


def sealer(*keys: str) -> Sealer:
    return Sealer(keys or (OLD,), "PREVIEW_SEALING_KEYS")


@given(text=st.text(), place=st.text())
def test_a_text_comes_back_and_is_not_in_what_is_stored(text: str, place: str) -> None:
    sealed = sealer().seal(text, place)
    assert sealer().open(sealed, place) == text
    assert sealed.isascii()
    assert len(text) < 4 or text not in sealed


def test_each_text_has_a_nonce_of_its_own() -> None:
    assert sealer().seal("hunter2", "a") != sealer().seal("hunter2", "a")


def test_a_text_that_was_moved_to_another_row_is_refused() -> None:
    with pytest.raises(SealedTextUnreadable, match="changed outside the service"):
        sealer().open(sealer().seal("hunter2", "variable:project_a:TOKEN"), "variable:project_b:TOKEN")


@given(data=st.data())
def test_a_changed_text_is_refused_and_never_garbage(data: st.DataObject) -> None:
    sealed = sealer().seal("hunter2", "row:1")
    position = data.draw(st.integers(0, len(sealed) - 1))
    other = data.draw(st.characters().filter(lambda one: one != sealed[position]))
    with pytest.raises(SealedTextUnreadable):
        sealer().open(sealed[:position] + other + sealed[position + 1 :], "row:1")


@given(text=st.text(max_size=40))
def test_any_text_of_the_database_is_refused(text: str) -> None:
    with pytest.raises(SealedTextUnreadable):
        sealer().open(text, "row:1")


def test_an_old_key_still_opens_and_the_text_is_renewed_with_the_new_one() -> None:
    sealed = sealer(OLD).seal("hunter2", "row:1")
    rotated = sealer(NEW, OLD)
    assert rotated.open(sealed, "row:1") == "hunter2"
    renewed = rotated.renew(sealed, "row:1")
    assert renewed is not None
    assert sealer(NEW).open(renewed, "row:1") == "hunter2"
    assert rotated.renew(renewed, "row:1") is None


def test_a_lost_key_gives_one_error_that_names_the_setting() -> None:
    with pytest.raises(SealedTextUnreadable, match="Add that key to PREVIEW_SEALING_KEYS, or set the secret again"):
        sealer(NEW).open(sealer(OLD).seal("hunter2", "row:1"), "row:1")


def test_the_first_start_makes_a_private_file_and_the_next_one_finds_it(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    sealed = open_sealer(settings).seal("hunter2", "row:1")
    assert stat.S_IMODE((tmp_path / "sealing-keys").stat().st_mode) == 0o600
    assert open_sealer(settings).open(sealed, "row:1") == "hunter2"


def test_a_key_is_rotated_in_the_file_and_moves_to_the_setting(tmp_path: Path) -> None:
    path = tmp_path / "sealing-keys"
    sealed = open_sealer(Settings(data_dir=tmp_path)).seal("hunter2", "row:1")
    old = path.read_text()
    path.write_text(f"{NEW}\n{old}\n")
    assert open_sealer(Settings(data_dir=tmp_path)).open(sealed, "row:1") == "hunter2"
    by_setting = Settings(data_dir=tmp_path / "other", sealing_keys=SecretStr(f"{NEW}, {old.strip()}"))
    assert open_sealer(by_setting).open(sealed, "row:1") == "hunter2"
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("content", [b"", b"short\n", b"\xff" * 40, b"a" * 5000, b"\n".join([b"a" * 32] * 17)])
def test_a_key_file_that_is_no_key_file_stops_the_start(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "sealing-keys").write_bytes(content)
    with pytest.raises(ConfigurationError, match="sealing-keys"):
        open_sealer(Settings(data_dir=tmp_path))


def test_a_short_key_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigurationError, match="PREVIEW_SEALING_KEYS") as caught:
        open_sealer(Settings(sealing_keys=SecretStr("hunter2")))
    assert "hunter2" not in str(caught.value) + repr(caught.value.details)


def test_its_text_for_people_has_no_key() -> None:
    assert OLD not in repr(sealer(OLD))


def test_the_name_of_a_new_key_file_survives_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What is encrypted with the key is in a database that does.
    synced: list[str] = []
    fsync = os.fsync

    def noting(descriptor: int) -> None:
        synced.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    open_sealer(Settings(data_dir=tmp_path))
    assert synced == ["file", "folder"]
