"""One service on one folder, and the note it leaves."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from preview.cli.client import find_target
from preview.cli.data_folder import (
    DataFolderInUse,
    ServiceNote,
    hold_data_folder,
    hold_first_free_slot,
    publish_note,
    read_note,
)
from preview.cli.exits import CommandFailed, NoService
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


def test_commands_find_the_only_run_and_a_service_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREVIEW_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("PREVIEW_URL", raising=False)
    monkeypatch.delenv("PREVIEW_TOKEN", raising=False)
    first, second, service = (ServiceNote.of_this_process(f"http://127.0.0.1:{port}") for port in (1, 2, 3))
    slots = [tmp_path / "run" / name for name in ("0", "1", "2")]
    for slot in slots:
        slot.mkdir(parents=True)
    with pytest.raises(NoService, match="No service is running"):
        find_target(None)
    # The first slot is that of a run that has ended.
    with publish_note(slots[1], first):
        found = find_target(None)
        assert (found.url, found.settings.data_dir) == (first.url, slots[1])
        with publish_note(slots[2], second):
            with pytest.raises(NoService, match=f"name one with --url: {first.url}, {second.url}"):
                find_target(None)
            assert find_target(second.url).settings.data_dir == slots[2]
            with publish_note(tmp_path, service):
                found = find_target(None)
                assert (found.url, found.settings.data_dir) == (service.url, tmp_path)
        with pytest.raises(CommandFailed, match="needs a token"):
            find_target(second.url)


def test_a_runs_token_is_signed_with_its_own_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREVIEW_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("PREVIEW_JWT_SECRET", "the operator's secret, which a run does not have")
    monkeypatch.delenv("PREVIEW_TOKEN", raising=False)
    slot = tmp_path / "run" / "0"
    slot.mkdir(parents=True)
    with publish_note(slot, ServiceNote.of_this_process("http://127.0.0.1:1")):
        find_target("http://127.0.0.1:1")
    assert (slot / "secret").exists()
    assert not (tmp_path / "secret").exists()
