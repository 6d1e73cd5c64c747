"""One service on one folder, and the note it leaves."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from preview.cli.data_folder import (
    DataFolderInUse,
    ServiceNote,
    hold_data_folder,
    hold_first_free_slot,
    publish_note,
    read_note,
)
from preview.errors import ConfigurationError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_first_start_makes_a_private_folder(tmp_path: Path) -> None:
    with hold_data_folder(tmp_path / "a" / "data"):
        assert mode(tmp_path / "a" / "data") == 0o700


def test_a_second_service_on_one_folder_is_refused_and_told_by_whom(tmp_path: Path) -> None:
    note = ServiceNote.of_this_process("http://127.0.0.1:8000")
    said = f"process {os.getpid()} at http://127.0.0.1:8000"
    with (
        hold_data_folder(tmp_path),
        publish_note(tmp_path, note),
        pytest.raises(DataFolderInUse, match=said),
        hold_data_folder(tmp_path),
    ):
        pass
    with hold_data_folder(tmp_path):
        pass


def test_a_service_that_is_just_starting_has_no_name_yet(tmp_path: Path) -> None:
    said = "just starting or ending"
    with hold_data_folder(tmp_path), pytest.raises(DataFolderInUse, match=said), hold_data_folder(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="PREVIEW_DATA_DIR"), hold_data_folder(tmp_path / "file" / "data"):
        pass


def test_the_note_is_private_and_goes_with_the_service(tmp_path: Path) -> None:
    note = ServiceNote.of_this_process("http://127.0.0.1:8000")
    with publish_note(tmp_path, note):
        assert mode(tmp_path / "service.json") == 0o600
        assert read_note(tmp_path) == note
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"url": 1}', '"text"'])
def test_a_note_that_cannot_be_read_is_no_service(text: str, tmp_path: Path) -> None:
    (tmp_path / "service.json").write_text(text)
    assert read_note(tmp_path) is None


def test_a_note_of_a_process_that_has_gone_is_no_service(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / "service.json").write_text(json.dumps({"url": "http://x", "pid": gone.pid, "created": 1.0}))
    assert read_note(tmp_path) is None


def test_a_pid_that_another_process_got_is_no_service(tmp_path: Path) -> None:
    (tmp_path / "service.json").write_text(json.dumps({"url": "http://x", "pid": os.getpid(), "created": 1.0}))
    assert read_note(tmp_path) is None


def test_slots_are_taken_from_the_lowest_and_taken_again(tmp_path: Path) -> None:
    with hold_first_free_slot(tmp_path) as first:
        with hold_first_free_slot(tmp_path) as second:
            assert (first.name, second.name) == ("0", "1")
        with hold_first_free_slot(tmp_path) as third:
            assert third.name == "1"


def test_a_slot_is_free_again_after_a_failure_inside(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="inside"), hold_first_free_slot(tmp_path):
        raise RuntimeError("inside")
    with hold_first_free_slot(tmp_path) as slot:
        assert slot.name == "0"
